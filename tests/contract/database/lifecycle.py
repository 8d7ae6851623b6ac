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
"""How builds end, and what becomes of their followers and images."""

import pytest

from imagebuild import exception
from tests.contract.database import IMAGE
from tests.contract.database import claim
from tests.contract.database import claimable
from tests.contract.database import finish
from tests.contract.database import image_row
from tests.contract.database import start
from tests.contract.database import values
from tests.contract.database import without_users


def flight(database, number=2, *, running=True):
    """A leader and its followers."""
    leader = database.create_build(values(content_key='k', secrets='s'))
    followers = [
        database.create_build(values(content_key='k', secrets='s'))
        for _ in range(number)
    ]
    if running:
        leader = claim(database, leader.id, 'c1')
    return leader, *followers


def reread(database, builds):
    return [database.get_build(build.id) for build in builds]


class LifecycleContract:
    def test_active(self, database, clock):
        build = start(database, secrets='s')
        done = finish(database, build, reason='All is well.')
        assert done.status == 'active'
        assert done.status_reason == 'All is well.'
        assert done.finished_at == clock.time
        assert done.secrets is None
        assert done.size == IMAGE['size']
        assert done.conductor == 'c1'
        [image] = done.images
        assert image.id == done.image_row_id
        assert (image.build_id, image.destination) == (build.id, '')
        assert image.status == 'active'
        assert image == database.get_image(image.id)
        assert finish(database, build) is None

    def test_error(self, database):
        done = finish(
            database, start(database), 'error', reason='Oh.', fault='service'
        )
        assert (done.status, done.fault) == ('error', 'service')
        assert done.status_reason == 'Oh.'
        event = database.list_events(done.id)[-1]
        assert (event.kind, event.message) == ('fault', 'error: Oh.')

    @pytest.mark.parametrize(
        'wrong', [{'status': 'building'}, {'status': 'active', 'image': None}]
    )
    def test_endings_that_are_none(self, database, wrong):
        build = start(database)
        with pytest.raises(ValueError):
            finish(database, build, **wrong)

    def test_followers_get_the_image(self, database):
        leader, *followers = flight(database)
        leader = finish(database, leader)
        for follower in reread(database, followers):
            assert follower.status == 'active'
            assert follower.reused_from == leader.id
            assert follower.image_id == 'glance-1'
            assert follower.size == IMAGE['size']
            assert follower.finished_at == leader.finished_at
            assert (follower.leader_id, follower.secrets) == (None, None)
        assert (
            database.create_build(values(content_key='k')).status == 'active'
        )

    def test_followers_get_the_error_of_the_user(self, database):
        leader, *followers = flight(database)
        phases = {'current': 'steps', 'spent': {'appliance': 4.2}}
        database.update_build(
            leader.id,
            {
                'progress_step': 'script',
                'phases': phases,
                'boot_test': {'passed': False},
            },
        )
        finish(database, leader, 'error', reason='No.', fault='user')
        for follower in reread(database, followers):
            assert (follower.status, follower.fault) == ('error', 'user')
            assert follower.status_reason == 'No.'
            assert follower.progress_step == 'script'
            assert follower.phases == phases
            assert follower.boot_test == {'passed': False}
            assert (follower.leader_id, follower.secrets) == (None, None)
        again = database.create_build(values(content_key='k'))
        assert (again.status, again.leader_id) == ('queued', None)

    @pytest.mark.parametrize(
        'ending',
        [
            {'status': 'error', 'fault': 'service'},
            {'status': 'cancelled'},
        ],
    )
    def test_followers_try_again(self, database, ending):
        leader, *followers = flight(database, 3)
        finish(database, leader, **ending)
        self.check_promoted(database, followers)

    def check_promoted(self, database, followers):
        first, *others = reread(database, followers)
        assert (first.status, first.leader_id) == ('queued', None)
        assert first.secrets == 's'
        assert {other.leader_id for other in others} == {first.id}
        assert claimable(database) == [first.id]
        late = database.create_build(values(content_key='k'))
        assert late.leader_id == first.id
        finish(database, claim(database, first.id, 'c2'))
        for other in reread(database, [*others, late]):
            assert other.reused_from == first.id

    # -- cancel -------------------------------------------------------------

    @pytest.mark.parametrize('call', ['request_cancel', 'delete_build'])
    def test_a_queued_leader_goes(self, database, call):
        leader, *followers = flight(database, running=False)
        getattr(database, call)(leader.id)
        self.check_promoted(database, followers)

    @pytest.mark.parametrize('call', ['request_cancel', 'delete_build'])
    def test_a_follower_goes(self, database, call):
        leader, first, second = flight(database)
        getattr(database, call)(first.id)
        finish(database, leader)
        assert database.get_build(second.id).status == 'active'
        if call == 'request_cancel':
            cancelled = database.get_build(first.id)
            assert cancelled.status == 'cancelled'
            assert (cancelled.leader_id, cancelled.secrets) == (None, None)
            assert cancelled.finished_at

    def test_cancel_a_running_build(self, database):
        leader, *followers = flight(database)
        build = database.request_cancel(leader.id)
        assert (build.status, build.cancel_requested) == ('building', True)
        assert database.request_cancel(leader.id) == build
        assert {b.leader_id for b in reread(database, followers)} == {
            leader.id
        }
        finish(database, leader, 'cancelled')
        self.check_promoted(database, followers)

    def test_cancel_what_has_ended(self, database):
        build = finish(database, start(database))
        assert database.request_cancel(build.id) == build
        with pytest.raises(exception.NotFound):
            database.request_cancel('no-such')

    # -- delete -------------------------------------------------------------

    def test_delete(self, database):
        build = database.create_build(values())
        assert database.delete_build(build.id) is None
        for call in (
            database.get_build,
            database.delete_build,
            database.request_cancel,
            database.read_log,
        ):
            with pytest.raises(exception.NotFound):
                call(build.id)
        assert database.list_builds() == []
        assert database.count_builds() == {}
        assert database.oldest_queued() is None
        assert not database.update_build(build.id, {'progress_done': 1})

    def test_the_last_user_takes_the_image_along(self, database):
        maker = finish(database, start(database, content_key='k'))
        user = database.create_build(values(content_key='k'))
        both = [build.id for build in database.users_of_image(user.id)]
        assert both == [maker.id, user.id]
        assert database.images_only_used_by(maker.id) == []
        assert database.images_only_used_by(user.id) == []
        assert database.delete_build(maker.id) is None
        assert without_users(database) == []
        assert database.get_build(user.id).image_id == 'glance-1'
        [left] = database.users_of_image(user.id)
        assert left.id == user.id
        [image] = database.images_only_used_by(user.id)
        assert image.id == maker.image_row_id
        image = database.delete_build(user.id)
        assert (image.id, image.status) == (maker.image_row_id, 'deleting')
        assert database.find_image('p1', 'k') is None
        assert without_users(database) == [image]
        again = database.create_build(values(content_key='k'))
        assert again.status == 'queued'
        database.image_deleted(image.id)
        assert without_users(database) == []
        assert database.get_image(image.id).deleted_at

    def test_further_images_go_along(self, database):
        build = start(database)
        image_row(database, build, 'east')
        build = finish(database, build)
        user = database.create_build(values(content_key=build.content_key))
        image_row(database, build, 'west')
        assert {
            i.destination for i in database.get_build(build.id).images
        } == {
            '',
            'east',
            'west',
        }
        database.delete_build(build.id)
        assert without_users(database) == []
        for look in (
            lambda: database.images_only_used_by(user.id),
            lambda: database.delete_build(user.id) and without_users(database),
        ):
            found = {image.image_id for image in look()}
            assert found == {'glance-1', 'g-east', 'g-west'}
        with pytest.raises(exception.NotFound):
            database.images_only_used_by(user.id)

    def test_images_of_a_failed_build_go_along(self, database):
        build = start(database)
        image_row(database, build, 'east')
        finish(database, build, 'error')
        assert without_users(database) == []
        database.delete_build(build.id)
        [image] = without_users(database)
        assert image.image_id == 'g-east'

    def test_delete_a_running_build(self, database):
        leader, *followers = flight(database)
        assert database.delete_build(leader.id) is None
        build = database.get_build(leader.id)
        assert (build.status, build.cancel_requested) == ('deleting', True)
        assert database.delete_build(leader.id) is None
        assert not database.update_build(
            leader.id, {'status': 'uploading'}, conductor='c1', attempt=1
        )
        self.check_promoted(database, followers)
        done = finish(database, leader, 'cancelled')
        assert done.deleted_at
        with pytest.raises(exception.NotFound):
            database.get_build(leader.id)

    def test_a_deleted_build_that_was_made_all_the_same(self, database):
        build = start(database, content_key='k')
        database.delete_build(build.id)
        done = finish(database, build)
        assert done.deleted_at
        assert database.find_image('p1', 'k') is None
        [image] = without_users(database)
        assert (image.image_id, image.status) == ('glance-1', 'deleting')

    def test_a_deleted_build_that_is_requeued(self, database):
        build = start(database)
        database.delete_build(build.id)
        assert database.requeue_build(
            build.id, conductor='c1', attempt=1, reason='It is dead.'
        )
        with pytest.raises(exception.NotFound):
            database.get_build(build.id)
