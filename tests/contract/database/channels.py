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
"""Channels: one current build each, whatever happens."""

import concurrent.futures

import pytest

from imagebuild import db
from imagebuild import exception
from tests.contract.database import IMAGE
from tests.contract.database import claim
from tests.contract.database import finish
from tests.contract.database import image_row
from tests.contract.database import lost_commits
from tests.contract.database import values

TAG = 'imagebuild_channel:prod:web'


def made(database, image_id='glance-1', **columns):
    """A build that is active."""
    build = database.create_build(values(**columns))
    image = {**IMAGE, 'image_id': image_id}
    finish(database, claim(database, build.id, 'c1'), image=image)
    return database.get_build(build.id)


def promoted(database, *, channel='prod', **columns):
    build = made(database, **columns)
    return build, database.promote_build(build.id, channel)


def tags(database, channel):
    """Image id -> whether it is to have the tags, and what else it keeps."""
    return {
        each.image.image_id: (each.is_current, set(each.kept_tags))
        for each in database.images_of_channel(channel.id)
    }


def settle(database, channel):
    found = database.get_channel(channel.id)
    return database.settle_channel(channel.id, found.revision, '')


def actions(database, channel):
    return [
        (each.action, each.build_id)
        for each in database.list_promotions(channel.id)
    ]


class ChannelContract:
    def test_a_promotion_is_the_current_one(self, database):
        build = made(database)
        assert database.find_channel('p1', 'web', 'prod') is None
        found = database.promote_build(
            build.id, 'prod', tags=['amphora'], user_id='rose'
        )
        assert (found.name, found.channel) == ('web', 'prod')
        assert (found.project_id, found.user_id) == ('p1', 'rose')
        assert found.current_build_id == build.id
        assert found.current_image_id == 'glance-1'
        assert (found.previous_build_id, found.previous_image_id) == (
            None,
            None,
        )
        assert (found.tag, found.tags) == (TAG, ['amphora'])
        assert not found.is_settled
        assert database.get_channel(found.id) == found
        assert database.find_channel('p1', 'web', 'prod') == found
        assert database.list_channels(project_id='p1') == [found]
        assert database.list_channels(project_id='p2') == []
        [change] = database.list_promotions(found.id)
        assert (change.action, change.image_id) == ('promote', 'glance-1')
        assert change.user_id == 'rose'
        messages = [e.message for e in database.list_events(build.id)]
        assert 'Promoted to "prod" of "web"' in messages

    def test_the_one_before_comes_back(self, database):
        first, channel = promoted(database, image_id='one')
        second, _ = promoted(database, image_id='two')
        found = database.get_channel(channel.id)
        assert found.current_build_id == second.id
        assert found.previous_build_id == first.id
        found = database.roll_back(second.id, 'prod')
        assert found.current_build_id == first.id
        assert found.previous_build_id == second.id
        # Once more is not the same again: it is not the current one.
        with pytest.raises(exception.Conflict, match='not the current one'):
            database.roll_back(second.id, 'prod')
        assert database.roll_back(first.id, 'prod').current_build_id == (
            second.id
        )
        assert actions(database, channel) == [
            ('rollback', second.id),
            ('rollback', first.id),
            ('promote', second.id),
            ('promote', first.id),
        ]

    def test_a_build_of_two_names_is_taken_back_from_its_own(self, database):
        for names in (('web', 'shop'), ('shop2', 'web2')):
            builds = [made(database, name=names[0]) for _ in range(2)]
            for name in names:
                for build in builds:
                    database.update_build(build.id, {'name': name})
                    database.promote_build(build.id, 'prod')
            found = database.roll_back(builds[1].id, 'prod')
            assert found.name == names[1]
            former = database.find_channel('p1', names[0], 'prod')
            assert former.current_build_id == builds[1].id

    def test_there_is_nothing_before_the_first(self, database):
        build, _ = promoted(database)
        with pytest.raises(exception.Conflict, match='none before it'):
            database.roll_back(build.id, 'prod')
        with pytest.raises(exception.Conflict, match='not the current one'):
            database.roll_back(build.id, 'test')

    def test_no_way_back_to_an_image_that_is_gone(self, database):
        first, channel = promoted(database, image_id='one')
        second, _ = promoted(database, image_id='two')
        database.image_deleted(first.images[0].id)
        with pytest.raises(exception.Conflict, match='no image left'):
            database.roll_back(second.id, 'prod')
        found = database.get_channel(channel.id)
        assert found.current_build_id == second.id
        assert found.previous_image_id is None

    def test_an_image_of_another_cloud_is_none_of_this(self, database):
        """Its id may be that of anything here: builds begin with it."""
        build = database.create_build(values())
        image = {**IMAGE, 'image_id': 'theirs', 'destination': 'north'}
        finish(database, claim(database, build.id, 'c1'), image=image)
        channel = database.promote_build(build.id, 'prod')
        assert channel.current_image_id is None
        image_row(database, build, '')
        found = database.get_channel(channel.id)
        assert found.current_image_id == 'g-'
        assert database.list_channels() == [found]

    def test_channels_are_apart(self, database):
        build, prod = promoted(database)
        other = made(database, name='db', image_id='other')
        database.promote_build(other.id, 'prod')
        database.promote_build(build.id, 'test')
        foreign = made(database, project_id='p2', image_id='foreign')
        database.promote_build(foreign.id, 'prod')
        assert len(database.list_channels()) == 4
        assert len(database.list_channels(name='web')) == 3
        assert len(database.list_channels(build_id=build.id)) == 2
        first, *rest = database.list_channels(limit=4)
        assert first.id == prod.id
        assert database.list_channels(marker=prod.id) == rest
        assert database.get_channel(prod.id).current_build_id == build.id
        with pytest.raises(exception.NotFound):
            database.get_channel(prod.id, project_id='p2')

    def test_what_can_not_be_promoted(self, database):
        waiting = database.create_build(values())
        with pytest.raises(exception.Conflict, match='is queued: only an act'):
            database.promote_build(waiting.id, 'prod')
        gone = made(database)
        database.image_deleted(gone.images[0].id)
        with pytest.raises(exception.Conflict, match='without an image'):
            database.promote_build(gone.id, 'prod')
        deleted = made(database)
        database.delete_build(deleted.id)
        with pytest.raises(exception.NotFound):
            database.promote_build(deleted.id, 'prod')
        untested = made(database)
        with pytest.raises(exception.Conflict, match='passed a boot test'):
            database.promote_build(untested.id, 'prod', tested=True)
        database.update_build(untested.id, {'boot_test': {'passed': False}})
        with pytest.raises(exception.Conflict, match='passed a boot test'):
            database.promote_build(untested.id, 'prod', tested=True)
        assert database.list_channels() == []
        database.update_build(untested.id, {'boot_test': {'passed': True}})
        database.promote_build(untested.id, 'prod', tested=True)

    def test_only_in_place_of_what_was_expected(self, database):
        first, second, third = (made(database, image_id=i) for i in 'abc')
        none = db.Expectation(None)
        database.promote_build(first.id, 'prod', expected=none)
        with pytest.raises(exception.Conflict, match='another one was exp'):
            database.promote_build(second.id, 'prod', expected=none)
        wanted = db.Expectation(first.id)
        database.promote_build(second.id, 'prod', expected=wanted)
        with pytest.raises(exception.Conflict, match=second.id):
            database.promote_build(third.id, 'prod', expected=wanted)

    def test_the_same_again_changes_nothing_but_tags(self, database):
        build, channel = promoted(database)
        found = database.promote_build(build.id, 'prod', tags=['a', 'b'])
        assert found.previous_build_id is None
        assert found.tags == ['a', 'b']
        found = database.promote_build(build.id, 'prod', tags=['b'])
        assert (found.tags, found.dropped_tags) == (['b'], ['a'])
        assert database.promote_build(build.id, 'prod').tags == ['b']
        assert len(actions(database, channel)) == 1

    def test_one_channel_has_a_tag(self, database):
        build, _ = promoted(database)
        database.promote_build(build.id, 'prod', tags=['amphora'])
        with pytest.raises(exception.Conflict, match='goes with the channel'):
            database.promote_build(build.id, 'test', tags=['amphora'])
        foreign = made(database, project_id='p2')
        database.promote_build(foreign.id, 'prod', tags=['amphora'])

    def test_a_quota(self, database):
        build = made(database)
        limit = {'channels': 1}
        database.promote_build(build.id, 'prod', quotas=limit)
        with pytest.raises(exception.QuotaExceeded):
            database.promote_build(build.id, 'test', quotas=limit)
        # What is there goes on.
        database.promote_build(build.id, 'prod', quotas=limit)
        foreign = made(database, project_id='p2')
        database.promote_build(foreign.id, 'prod', quotas=limit)
        database.set_quota('p1', 'channels', 2)
        database.promote_build(build.id, 'test', quotas=limit)

    def test_what_a_channel_has_is_not_deleted(self, database):
        first, channel = promoted(database, image_id='one')
        second, _ = promoted(database, image_id='two')
        with pytest.raises(exception.Conflict, match='the image before'):
            database.delete_build(first.id)
        with pytest.raises(exception.Conflict, match='the current image'):
            database.delete_build(second.id)
        third, _ = promoted(database, image_id='three')
        assert database.delete_build(first.id).image_id == 'one'
        database.delete_channel(channel.id)
        assert database.delete_build(second.id).image_id == 'two'
        assert database.delete_build(third.id).image_id == 'three'

    def test_deleted_when_no_channel_has_it(self, database):
        first, channel = promoted(database, image_id='one')
        database.promote_build(first.id, 'test')
        assert database.delete_build(first.id, when_unused=True) is None
        assert database.get_build(first.id).delete_when_unused
        database.delete_build(first.id, when_unused=True)
        promoted(database, image_id='two')
        promoted(database, image_id='three')
        assert not database.deleting_images()
        # It was the only one there.
        database.delete_channel(database.find_channel('p1', 'web', 'test').id)
        with pytest.raises(exception.NotFound):
            database.get_build(first.id)
        assert database.count_deleting_images() == {'': 1}
        unused = made(database, image_id='four')
        database.delete_build(unused.id, when_unused=True)
        with pytest.raises(exception.NotFound):
            database.get_build(unused.id)
        assert database.get_channel(channel.id)

    def test_the_history_does_not_grow_for_ever(self, database):
        one, channel = promoted(database, image_id='one')
        two, _ = promoted(database, image_id='two')
        for _ in range(51):
            database.promote_build(one.id, 'prod')
            database.promote_build(two.id, 'prod')
        assert len(actions(database, channel)) == 100

    def test_one_of_many_at_once_is_current(self, crowded):
        builds = [made(crowded, image_id=f'i{n}') for n in range(4)]
        none = db.Expectation(None)

        def promote(build):
            try:
                return crowded.promote_build(build.id, 'prod', expected=none)
            except exception.Conflict:
                return None

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            won = [each for each in pool.map(promote, builds) if each]
        assert len(won) == 1
        [channel] = crowded.list_channels()
        assert channel.current_build_id == won[0].current_build_id
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            [*pool.map(lambda b: crowded.promote_build(b.id, 'prod'), builds)]
        found = crowded.get_channel(channel.id)
        newest, before, *_ = crowded.list_promotions(channel.id)
        assert found.current_build_id == newest.build_id
        assert found.previous_build_id == newest.replaced_build_id
        assert newest.replaced_build_id == before.build_id


class ChannelTagContract:
    def test_tags_follow(self, database):
        promoted(database, image_id='one')
        _, channel = promoted(database, image_id='two')
        promoted(database, image_id='three')
        # Nobody has settled anything: any of them may have a tag.
        assert tags(database, channel) == {
            'three': (True, set()),
            'two': (False, set()),
            'one': (False, set()),
        }
        assert settle(database, channel)
        assert set(tags(database, channel)) == {'three', 'two'}
        found = database.get_channel(channel.id)
        assert found.is_settled and found.dropped_tags == []

    def test_only_what_is_still_wanted_is_settled(self, database):
        first, channel = promoted(database, image_id='one')
        promoted(database, image_id='two')
        promoted(database, image_id='three')
        assert settle(database, channel)
        # Whoever was slow has given the first one the tags by now.
        touched = [first.images[0].id]
        assert not database.settle_channel(
            channel.id, channel.revision, '', touched
        )
        assert not database.get_channel(channel.id).is_settled
        assert tags(database, channel)['one'] == (False, set())

    def test_who_shares_an_image_takes_no_tag_from_it(self, database):
        one = made(database, content_key='k', request={'tags': ['mine']})
        two = database.create_build(values(content_key='k'))
        assert two.reused_from == one.id
        channel = database.promote_build(one.id, 'prod')
        database.promote_build(two.id, 'prod', tags=['t'])
        assert tags(database, channel) == {'glance-1': (True, {'mine'})}
        database.promote_build(one.id, 'test')
        assert tags(database, channel) == {
            'glance-1': (True, {'mine', 'imagebuild_channel:test:web'})
        }
        assert database.channel_tags(one.id) == sorted(
            [TAG, 't', 'imagebuild_channel:test:web']
        )

    def test_images_in_other_clouds_have_them_too(self, database):
        build = made(database)
        image_row(database, build, 'north')
        channel = database.promote_build(build.id, 'prod')
        found = database.images_of_channel(channel.id)
        assert [each.image.destination for each in found] == ['', 'north']

    def test_who_attends_to_it(self, database, clock):
        _, channel = promoted(database)
        assert database.channels_to_attend('c1', 600) == [channel.id]
        assert database.hold_channel(channel.id, 'c1', 60)
        assert database.channels_to_attend('c2', 600) == []
        assert database.hold_channel(channel.id, 'c2', 60) is None
        # A conductor that was killed and began again has it still.
        assert database.channels_to_attend('c1', 600) == [channel.id]
        clock.forward(61)
        assert database.hold_channel(channel.id, 'c2', 60)
        settle(database, channel)
        database.release_channel(channel.id, 'c2')
        assert database.channels_to_attend('c1', 600) == []
        clock.forward(601)
        assert database.channels_to_attend('c1', 600) == [channel.id]
        database.hold_channel(channel.id, 'c1', 60)
        database.release_channel(channel.id, 'c1', 30)
        assert database.channels_to_attend('c1', 600) == []
        # What has failed may do with another image.
        promoted(database)
        assert database.channels_to_attend('c1', 600) == [channel.id]

    def test_a_deleted_channel_takes_its_tags_back(self, database):
        build, channel = promoted(database)
        database.promote_build(build.id, 'prod', tags=['t'])
        assert database.count_channels() == {'settled': 0, 'waiting': 1}
        database.delete_channel(channel.id)
        assert database.list_channels() == []
        assert database.find_channel('p1', 'web', 'prod') is None
        for call in (database.get_channel, database.delete_channel):
            with pytest.raises(exception.NotFound):
                call(channel.id)
        assert tags(database, channel) == {'glance-1': (False, set())}
        held = database.hold_channel(channel.id, 'c1', 60)
        assert held.dropped_tags == sorted([TAG, 't'])
        assert database.settle_channel(channel.id, held.revision, '')
        assert database.channels_to_attend('c1', 600) == []
        assert database.images_of_channel(channel.id) == []

    def test_promoted_again_before_the_tags_are_gone(self, database):
        build, channel = promoted(database)
        database.delete_channel(channel.id)
        found = database.promote_build(build.id, 'prod')
        assert found.current_build_id == build.id
        assert found.previous_build_id is None
        assert tags(database, found) == {'glance-1': (True, set())}
        assert settle(database, found)
        assert database.get_channel(found.id).is_settled
        assert len(actions(database, found)) == 1


class LostChannelCommitContract(lost_commits.Losing):
    def test_promote(self, database, losing):
        first = made(database, image_id='one')
        losing()
        channel = database.promote_build(
            first.id, 'prod', expected=db.Expectation(None)
        )
        second = made(database, image_id='two')
        losing()
        found = database.promote_build(
            second.id, 'prod', expected=db.Expectation(first.id)
        )
        assert found.previous_build_id == first.id
        assert len(actions(database, channel)) == 2

    def test_roll_back(self, database, losing):
        first, channel = promoted(database, image_id='one')
        second, _ = promoted(database, image_id='two')
        losing()
        found = database.roll_back(second.id, 'prod')
        assert found.current_build_id == first.id
        assert database.get_channel(channel.id) == found

    def test_delete(self, database, losing):
        _, channel = promoted(database)
        losing()
        database.delete_channel(channel.id)
        assert database.list_channels() == []
