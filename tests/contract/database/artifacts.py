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
"""Files in repositories."""

import concurrent.futures
import datetime
import uuid

import pytest
import sqlalchemy as sa

from tests.contract.database import START
from tests.contract.database import claim
from tests.contract.database import finish
from tests.contract.database import start
from tests.contract.database import upload_row
from tests.contract.database.uploads import start_uploads

R1, R2 = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
LATER = START + datetime.timedelta(days=1)


def file(number=1, build='b1', **others):
    """Columns of an artifact, as a conductor tells them."""
    return {
        'id': str(uuid.UUID(int=number)),
        'build_id': build,
        'project_id': 'p1',
        'source_id': None,
        'disk_format': 'qcow2',
        'size': 3_000_000_000,
        'virtual_size': 5_000_000_000,
        'os_hash_algo': 'sha512',
        'os_hash_value': 'f' * 128,
        'status': 'present',
        'status_reason': '',
        **others,
    }


def states(database, repository=None):
    found = database.list_artifacts(repository_id=repository, status=None)
    return {uuid.UUID(each.id).int: each.status for each in found}


class ArtifactContract:
    def sync(self, database, *files, repository=R1, since=LATER, by='c1'):
        return database.sync_artifacts(repository, by, files, since=since)

    def test_added(self, database, clock):
        made = database.add_artifact(R1, 'c1', file())
        assert made == database.get_artifact(made.id)
        assert (made.status, made.created_at) == ('present', clock.time)
        assert database.list_artifacts(build_id='b1') == [made]
        assert database.list_artifacts(build_id='b2') == []
        assert database.get_artifact(R2) is None

    def test_added_again(self, database):
        database.add_artifact(R1, 'c1', file())
        database.mark_artifact(file()['id'], 'lost', 'its file is gone')
        made = database.add_artifact(R1, 'c2', file(size=7))
        assert (made.status, made.status_reason) == ('present', '')
        assert (made.size, made.conductor) == (7, 'c2')
        assert states(database) == {1: 'present'}

    def test_an_unknown_column_is_our_mistake(self, database):
        with pytest.raises(ValueError, match='colour'):
            database.add_artifact(R1, 'c1', file(colour='red'))

    def test_what_was_found_is_there(self, database):
        assert self.sync(database, file(1), file(2, status='corrupt')) == []
        before = database.list_artifacts(status=None)
        assert states(database) == {1: 'present', 2: 'corrupt'}
        assert self.sync(database, file(1), file(2, status='corrupt')) == []
        after = database.list_artifacts(status=None)
        assert [each.created_at for each in after] == [
            each.created_at for each in before
        ]
        assert all(
            now.checked_at > then.checked_at
            for now, then in zip(after, before, strict=True)
        )

    def test_what_was_not_found_is_lost(self, database):
        self.sync(database, file(1), file(2))
        self.sync(database, file(3), repository=R2)
        self.sync(database, file(2))
        assert states(database) == {1: 'lost', 2: 'present', 3: 'present'}
        assert database.get_artifact(file(1)['id']).status_reason
        self.sync(database, file(1), file(2))
        assert states(database, R1) == {1: 'present', 2: 'present'}
        assert database.get_artifact(file(1)['id']).status_reason == ''

    def test_what_was_put_in_meanwhile_is_not_lost(self, database, clock):
        began = clock()
        database.add_artifact(R1, 'c2', file())
        self.sync(database, since=began)
        assert states(database) == {1: 'present'}
        self.sync(database, since=clock())
        assert states(database) == {1: 'lost'}

    def test_what_was_given_up_is_to_be_removed(self, database):
        self.sync(database, file(1), file(2))
        assert database.retire_artifact(file(1)['id'])
        assert database.retire_artifact(file(1)['id'])
        assert self.sync(database, file(1), file(2)) == [file(1)['id']]
        assert states(database) == {1: 'removed', 2: 'present'}
        assert not database.mark_artifact(file(1)['id'], 'lost')
        assert self.sync(database, file(2)) == []
        assert states(database) == {1: 'removed', 2: 'present'}

    def test_conductors_that_share_a_repository(self, database):
        self.sync(database, file(1))
        self.sync(database, file(1), by='c2')
        [found] = database.list_artifacts(repository_id=R1)
        assert found.conductor == 'c2'

    def test_a_repository_that_got_another_id(self, database):
        self.sync(database, file(1))
        self.sync(database, file(1), repository=R2)
        assert states(database, R1) == {}
        assert states(database, R2) == {1: 'present'}

    def test_a_list_is_bounded(self, database):
        with pytest.raises(ValueError, match='50001'):
            self.sync(database, *[file()] * 50_001)

    def test_a_long_list_takes_few_statements(self, database):
        files = [file(number) for number in range(1, 1203)]
        self.sync(database, *files)
        seen = []
        sa.event.listen(
            database._engine,
            'before_cursor_execute',
            lambda *args: seen.append(args[2]),
        )
        self.sync(database, *files)
        assert len(seen) < 10
        assert len(states(database)) == 1000  # the limit of a list
        assert len(database.list_artifacts(limit=2000)) == 1202

    def test_all_at_once(self, crowded):
        """Two that share a directory, started at the same time."""
        files = [file(number) for number in range(1, 40)]

        def work(name):
            return crowded.sync_artifacts(R1, name, files, since=LATER)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, ['c1', 'c2', 'c3', 'c4'])) == [[]] * 4
        assert set(states(crowded).values()) == {'present'}

    def test_it_stays_while_its_build_runs(self, database):
        build = start(database)
        database.add_artifact(R1, 'c1', file(build=build.id))
        assert not database.retire_artifact(file()['id'])
        finish(database, build)
        assert database.retire_artifact(file()['id'])

    @pytest.mark.parametrize('status', ['queued', 'uploading'])
    def test_it_stays_while_uploads_are_to_come(self, database, status):
        build = start(database)
        database.add_artifact(R1, 'c1', file(build=build.id))
        finish(database, build)
        upload = upload_row(database, build_id=build.id, status=status)
        assert not database.retire_artifact(file()['id'])
        database.update_upload(upload.id, {'status': 'error'})
        assert database.retire_artifact(file()['id'])

    def test_an_attempt_that_died_leaves_no_file(self, database):
        """Its file is another one, and no upload may begin with it."""
        build = start(database)
        database.add_artifact(R2, 'c1', file(1, build=build.id))
        database.requeue_build(
            build.id, conductor='c1', attempt=1, reason='It died.'
        )
        build = claim(database, build.id, 'c2')
        # It had put in this one, too, and told nobody.
        former = file(2, build=build.id)
        assert self.sync(database, former, repository=R2, by='c1') == []
        database.add_artifact(R1, 'c2', file(3, build=build.id))
        start_uploads(database, build, '', artifact=file(3)['id'])
        assert states(database) == {1: 'removed', 2: 'removed', 3: 'present'}
        converted = file(4, build=build.id, source_id=file(3)['id'])
        database.add_artifact(R1, 'c2', converted)
        # Found after the uploads have begun.
        found = [file(number, build=build.id) for number in (1, 5)]
        assert self.sync(database, *found, repository=R2, by='c1') == [
            each['id'] for each in found
        ]
        database.retire_artifact(converted['id'])
        found = [file(3, build=build.id), {**converted, 'id': file(6)['id']}]
        assert self.sync(database, *found, repository=R1, by='c2') == []
        kept = database.list_artifacts(build_id=build.id)
        assert {uuid.UUID(each.id).int for each in kept} == {3, 6}

    def test_without_a_row_it_may_go(self, database):
        assert database.retire_artifact(R1)

    def test_rows_of_long_ago_are_purged(self, database, clock):
        self.sync(database, file(1), file(2), file(3))
        database.retire_artifact(file(1)['id'])
        database.mark_artifact(file(2)['id'], 'lost')
        clock.forward(100)
        database.purge(clock())
        assert states(database) == {3: 'present'}
