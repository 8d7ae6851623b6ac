# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""Connections that break after a commit, before its answer.

Then nobody knows whether the commit happened, and the call is run again.
"""

import pytest
import sqlalchemy as sa
from oslo_db import exception as oslo_exception
from sqlalchemy import orm

from tests.contract.database import IMAGE
from tests.contract.database import claim
from tests.contract.database import finish
from tests.contract.database import image_row
from tests.contract.database import start
from tests.contract.database import values
from tests.contract.database import without_users
from tests.contract.database.uploads import claim_upload
from tests.contract.database.uploads import finish_upload
from tests.contract.database.uploads import start_uploads


class Losing:
    """Has a connection that breaks when a test wants it to."""

    @pytest.fixture
    def losing(self):
        """Call it, and the answer to the next commit is lost."""
        left = []

        def lose(session):
            if left:
                left.pop()
                raise oslo_exception.DBConnectionError()

        sa.event.listen(orm.Session, 'after_commit', lose)
        yield lambda: left.append(True)
        sa.event.remove(orm.Session, 'after_commit', lose)
        assert not left, 'nothing was lost'


class LostCommitContract(Losing):
    def test_create(self, database, losing):
        losing()
        build = database.create_build(values(content_key='k'))
        assert database.list_builds() == [build]
        assert build.leader_id is None

    def test_claim(self, database, losing):
        build = database.create_build(values())
        losing()
        claimed = claim(database, build.id, 'c1')
        assert (claimed.conductor, claimed.attempt) == ('c1', 1)
        assert len(database.list_events(build.id)) == 2

    def test_update(self, database, losing):
        build = start(database)
        losing()
        assert database.update_build(
            build.id,
            {'status': 'uploading'},
            conductor='c1',
            expected_status='building',
        )

    def test_finish(self, database, losing):
        build = start(database, content_key='k')
        database.create_build(values(content_key='k'))
        losing()
        done = finish(database, build)
        assert done.status == 'active'
        assert len(done.images) == 1
        assert database.stored_bytes('p1') == IMAGE['size']
        assert database.count_builds() == {('active', None): 2}

    def test_finish_deleted(self, database, losing):
        build = start(database)
        database.delete_build(build.id)
        losing()
        assert finish(database, build).deleted_at
        assert len(without_users(database)) == 1

    def test_requeue(self, database, losing):
        build = start(database)
        losing()
        assert database.requeue_build(
            build.id, conductor='c1', attempt=1, reason='x'
        )
        assert claim(database, build.id, 'c2').attempt == 2

    def test_cancel(self, database, losing):
        build = database.create_build(values())
        losing()
        assert database.request_cancel(build.id).status == 'cancelled'
        assert len(database.list_events(build.id)) == 2

    def test_delete(self, database, losing):
        build = finish(database, start(database))
        losing()
        image = database.delete_build(build.id)
        assert image.id == build.image_row_id

    def test_log(self, database, losing):
        build = start(database)
        database.append_log(build.id, 'a')
        losing()
        assert database.append_log(build.id, 'bc') == 3
        assert database.read_log(build.id) == ('abc', 3)

    def test_the_end_of_a_full_log(self, database, losing):
        build = start(database)
        losing()
        size = database.append_log(build.id, 'x' * 20, 10)
        text, _ = database.read_log(build.id)
        assert text.count('cut') == 1
        assert len(text) == size

    def test_steps_and_events(self, database, losing):
        build = database.create_build(values())
        losing()
        database.add_event(build.id, 'Hello\0.')
        assert len(database.list_events(build.id)) == 2
        losing()
        database.add_step(build.id, {'attempt': 1, 'number': 1})
        assert len(database.list_steps(build.id)) == 1

    def test_uploads(self, database, losing):
        build = start(database)
        losing()
        assert start_uploads(database, build).status == 'uploading'
        losing()
        job = claim_upload(database, build)
        assert job.attempt == 1
        losing()
        assert database.requeue_upload(
            job.id, conductor='c1', attempt=1, reason='x'
        )
        job = claim_upload(database, build)
        assert job.attempt == 2
        losing()
        assert finish_upload(database, job).status == 'active'
        assert len(database.get_build(build.id).images) == 1

    def test_images(self, database, losing):
        build = start(database)
        image_row(database, build, 'east')
        finish(database, build)
        database.delete_build(build.id)
        losing()
        assert len(without_users(database)) == 2

    def test_conductors(self, database, losing):
        losing()
        database.register_conductor(
            {'name': 'c', 'drivers': [], 'architecture': 'x', 'slots': 1}
        )
        losing()
        assert database.heartbeat('c', running=1)
        losing()
        database.set_quota('p1', 'queued', 1)
        losing()
        database.set_quota('p1', 'queued', None)
        assert database.get_quotas('p1') == {}
