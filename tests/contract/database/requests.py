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
"""Taking requests in, looking at builds, changing them."""

import pytest
import sqlalchemy as sa

from imagebuild import exception
from imagebuild.db import models
from imagebuild.db import records
from tests.contract.database import IMAGE
from tests.contract.database import claim
from tests.contract.database import finish
from tests.contract.database import image_row
from tests.contract.database import start
from tests.contract.database import upload_row
from tests.contract.database import values
from tests.contract.database import without_users

NASTY = 'Grüße 💾 \' " % \\ ; -- \n\t'


class RequestContract:
    def test_a_build_is_queued(self, database, clock):
        build = database.create_build(values(name=NASTY, secrets='cipher'))
        assert build == database.get_build(build.id)
        assert build.status == 'queued'
        assert build.name == NASTY
        assert build.secrets == 'cipher'
        assert 'cipher' not in repr(build)
        assert build.request == {'name': 'web', 'packages': ['nginx']}
        assert build.created_at == build.updated_at == clock.time
        assert (build.attempt, build.conductor) == (0, None)
        assert build.images == ()
        assert build.image_id is None

    def test_json_keeps_the_order_of_keys(self, database):
        request = {'b': 1, 'a': {'z': NASTY, 'y': None}, 'aa': [1.5, True]}
        build = database.create_build(values(request=request))
        found = database.get_build(build.id).request
        assert found == request
        assert list(found) == ['b', 'a', 'aa']

    def test_what_a_database_cannot_hold_is_replaced(self, database):
        build = database.create_build(values(name='a\0b\ud800c'))
        assert (
            database.get_build(build.id).name
            == 'a\N{REPLACEMENT CHARACTER}b?c'
        )

    def test_large_requests(self, database):
        request = {'manifest': 'x' * 3_000_000}
        build = database.create_build(values(request=request))
        assert database.get_build(build.id).request == request

    def test_an_unknown_column_is_our_mistake(self, database):
        with pytest.raises(ValueError, match='colour'):
            database.create_build(values(colour='red'))

    def test_an_id_is_used_once(self, database):
        build = database.create_build(values())
        with pytest.raises(exception.Conflict):
            database.create_build(values(id=build.id))

    def test_builds_of_others_are_not_found(self, database):
        build = database.create_build(values())
        assert database.get_build(build.id, project_id='p1') == build
        with pytest.raises(exception.NotFound):
            database.get_build(build.id, project_id='p2')
        with pytest.raises(exception.NotFound):
            database.get_build('no-such')

    # -- reuse --------------------------------------------------------------

    def test_the_same_content_is_reused(self, database):
        made = start(database, content_key='k')
        booted = {'passed': True}
        database.update_build(made.id, {'boot_test': booted})
        first = finish(database, made)
        assert first.image_id == 'glance-1'
        again = database.create_build(values(content_key='k', secrets='x'))
        assert again.boot_test == first.boot_test == booted
        assert again.status == 'active'
        assert again.reused_from == first.id
        assert again.image_row_id == first.image_row_id
        assert again.image_id == 'glance-1'
        assert again.size == IMAGE['size']
        assert again.os_hash_value == IMAGE['os_hash_value']
        assert again.finished_at == again.created_at
        assert again.secrets is None

    @pytest.mark.parametrize(
        'others',
        [
            {'project_id': 'p2'},
            {'reuse': 'never'},
            {'content_key': 'other'},
            {'max_age': 9},
        ],
    )
    def test_other_content_is_built(self, database, clock, others):
        finish(database, start(database, content_key='k'))
        clock.forward(10)
        again = database.create_build(values(**{'content_key': 'k', **others}))
        assert again.status == 'queued'
        assert again.leader_id is None

    def test_an_image_of_the_right_age_is_reused(self, database, clock):
        finish(database, start(database, content_key='k'))
        clock.forward(10)
        again = database.create_build(values(content_key='k', max_age=11))
        assert again.status == 'active'

    def test_an_image_that_is_gone_is_not_reused(self, database):
        build = finish(database, start(database, content_key='k'))
        assert database.find_image('p1', 'k').id == build.image_row_id
        database.image_deleted(build.image_row_id)
        assert database.find_image('p1', 'k') is None
        again = database.create_build(values(content_key='k'))
        assert again.status == 'queued'

    def test_the_newest_image_is_found(self, database, clock):
        finish(database, start(database, content_key='k'))
        clock.forward(60)
        newer = finish(
            database, start(database, content_key='k', reuse='never')
        )
        assert database.find_image('p1', 'k').id == newer.image_row_id
        assert database.find_image('p1', 'k', 30).id == newer.image_row_id
        clock.forward(60)
        assert database.find_image('p1', 'k', 30) is None
        assert database.find_image('p2', 'k') is None

    # -- single flight ------------------------------------------------------

    def test_the_same_content_at_once_follows(self, database):
        leader = database.create_build(values(content_key='k'))
        follower = database.create_build(values(content_key='k'))
        third = database.create_build(values(content_key='k'))
        assert leader.leader_id is None
        assert follower.leader_id == third.leader_id == leader.id
        assert follower.status == 'queued'

    def test_a_running_build_is_followed(self, database):
        leader = start(database, content_key='k')
        assert database.update_build(leader.id, {'status': 'uploading'})
        follower = database.create_build(values(content_key='k'))
        assert follower.leader_id == leader.id

    @pytest.mark.parametrize(
        'others', [{'project_id': 'p2'}, {'reuse': 'never'}]
    )
    def test_others_do_not_follow(self, database, others):
        database.create_build(values(content_key='k'))
        other = database.create_build(values(content_key='k', **others))
        assert other.leader_id is None

    def test_a_build_that_is_not_reused_leads_nobody(self, database):
        database.create_build(values(content_key='k', reuse='never'))
        other = database.create_build(values(content_key='k'))
        assert other.leader_id is None

    # -- quotas -------------------------------------------------------------

    def test_quota_of_queued_builds(self, database):
        first = database.create_build(values(), quotas={'queued': 2})
        database.create_build(
            values(content_key=first.content_key), quotas={'queued': 2}
        )
        with pytest.raises(exception.QuotaExceeded) as caught:
            database.create_build(values(), quotas={'queued': 2})
        assert caught.value.kwargs == {
            'project': 'p1',
            'resource': 'queued',
            'limit': 2,
            'used': 2,
        }
        assert len(database.list_builds()) == 2
        database.create_build(values(project_id='p2'), quotas={'queued': 2})
        claim(database, first.id, 'c1')
        database.create_build(values(), quotas={'queued': 2})

    def test_reuse_needs_no_quota(self, database):
        finish(database, start(database, content_key='k'))
        build = database.create_build(
            values(content_key='k'), quotas={'queued': 0, 'stored_bytes': 0}
        )
        assert build.status == 'active'

    def test_quota_of_stored_bytes(self, database):
        limit = {'stored_bytes': IMAGE['size']}
        build = start(database)
        database.create_build(values(), quotas=limit)
        finish(database, build)
        assert database.stored_bytes('p1') == IMAGE['size']
        with pytest.raises(exception.QuotaExceeded):
            database.create_build(values(), quotas=limit)
        database.image_deleted(database.get_build(build.id).image_row_id)
        assert database.stored_bytes('p1') == 0
        database.create_build(values(), quotas=limit)

    def test_stored_bytes_are_of_images_that_exist(self, database):
        size = IMAGE['size']
        maker = finish(database, start(database, content_key='k'))
        # Used by two, and in two clouds.
        user = database.create_build(values(content_key='k'))
        image_row(database, maker, 'edge')
        assert database.stored_bytes('p1') == 2 * size
        finish(database, start(database, project_id='p2'))
        finish(database, start(database), 'error')
        assert database.stored_bytes('p1') == 2 * size
        database.delete_build(maker.id)
        assert database.stored_bytes('p1') == 2 * size
        database.delete_build(user.id)
        # To be deleted, but still there.
        gone = without_users(database)
        assert database.stored_bytes('p1') == 2 * size
        database.image_deleted(gone[0].id)
        assert database.stored_bytes('p1') == size
        database.image_deleted(gone[1].id)
        assert database.stored_bytes('p1') == 0

    def test_quota_of_kept_builds(self, database):
        limit = {'builds': 2}
        active = finish(database, start(database, content_key='k'))
        failed = finish(database, start(database), 'error')
        database.create_build(values(project_id='p2'), quotas=limit)
        for key in ('k', 'other'):
            with pytest.raises(
                exception.QuotaExceeded,
                match='for builds is 2, and 2 are used: delete builds',
            ):
                database.create_build(values(content_key=key), quotas=limit)
        database.delete_build(failed.id)
        build = database.create_build(values(content_key='k'), quotas=limit)
        assert build.reused_from == active.id

    def test_quota_of_request_bytes(self, database):
        limit = {'request_bytes': 1000}
        database.create_build(
            values(request={'files': 'x' * 500}), quotas=limit
        )
        large = values(request={'files': 'x' * 480})
        with pytest.raises(
            exception.QuotaExceeded, match='is 1000, and 513 are used: ask'
        ):
            database.create_build(large, quotas=limit)
        [build] = database.list_builds()
        # What a change adds counts, what it takes away does not.
        database.update_build(build.id, {'request': {'files': 'x'}})
        small = database.create_build(large, quotas=limit)
        database.delete_build(build.id)
        database.delete_build(small.id)
        database.create_build(large, quotas=limit)

    def test_quota_of_request_bytes_that_are_added(self, database):
        build = database.create_build(values(request={'name': 'x' * 500}))
        grown = {'name': 'x' * 900}
        database.check_growth(build, grown, {'request_bytes': 1000})
        for smaller in ({'name': 'x' * 400}, build.request):
            database.check_growth(build, smaller, {'request_bytes': 0})
        with pytest.raises(exception.QuotaExceeded, match='ask for less'):
            database.check_growth(build, grown, {'request_bytes': 800})
        database.set_quota('p1', 'request_bytes', -1)
        database.check_growth(build, grown, {'request_bytes': 800})

    def test_deleted_builds_are_not_kept_without_end(self, database):
        limit = {'builds': 3}
        for _ in range(20):
            build = database.create_build(values(), quotas=limit)
            database.delete_build(build.id)

        def rows(session):
            return session.execute(
                sa.select(models.Build.deleted_at, models.Build.request)
            ).all()

        found = database._read(rows)
        assert len(found) == 4
        assert all(each.request == {} for each in found)
        database.create_build(values(), quotas={'builds': -1})
        assert len(database._read(rows)) == 5

    def test_a_deleted_build_waits_for_its_upload(self, database):
        build = start(database)
        upload = upload_row(database, build_id=build.id, status='uploading')
        database.delete_build(build.id)
        finish(database, build, 'cancelled')
        for _ in range(3):
            database.delete_build(database.create_build(values()).id)
        database.create_build(values(), quotas={'builds': 1})
        [(row, _)] = database.abandoned_uploads()
        assert row.id == upload.id

    def test_a_quota_of_its_own(self, database):
        database.set_quota('p1', 'queued', 0)
        with pytest.raises(exception.QuotaExceeded):
            database.create_build(values(), quotas={'queued': 9})
        database.set_quota('p1', 'queued', -1)
        database.create_build(values(), quotas={'queued': 0})
        assert database.get_quotas('p1') == {'queued': -1}
        database.set_quota('p1', 'queued', None)
        database.set_quota('p1', 'queued', None)
        assert database.get_quotas('p1') == {}
        with pytest.raises(exception.InvalidInput, match='stored_bytes'):
            database.set_quota('p1', 'beds', 1)

    # -- lists --------------------------------------------------------------

    def test_lists_newest_first(self, database):
        ids = [database.create_build(values()).id for _ in range(3)]
        assert [b.id for b in database.list_builds()] == ids[::-1]

    def test_filters(self, database):
        one = database.create_build(values(name='a'))
        two = start(database, name='A', project_id='p2')
        three = finish(
            database, start(database, name='b'), 'error', fault='user'
        )
        for wanted, found in [
            ({'name': 'a'}, [one]),
            ({'name': ['a', 'A']}, [one, two]),
            ({'status': 'building'}, [two]),
            ({'status': ['building', 'error'], 'name': 'b'}, [three]),
            ({'status': []}, []),
            ({'fault': None}, [one, two]),
            ({'conductor': 'c1'}, [two, three]),
            ({'driver': 'guestfs'}, []),
        ]:
            builds = database.list_builds(
                filters=wanted, sort=[('created_at', 'asc')]
            )
            assert [b.id for b in builds] == [b.id for b in found], wanted
        [only] = database.list_builds(project_id='p2')
        assert only == two

    @pytest.mark.parametrize('direction', ['asc', 'desc'])
    @pytest.mark.parametrize('key', records.SORT_KEYS)
    def test_pages_are_complete(self, database, key, direction):
        for number in range(7):
            database.create_build(
                values(
                    name=f'n{number % 3}',
                    priority=number % 2,
                    os=(None, 'a', 'b')[number % 3],
                )
            )
        whole = database.list_builds(sort=[(key, direction)])
        paged, marker = [], None
        while page := database.list_builds(
            sort=[(key, direction)], limit=2, marker=marker
        ):
            paged += page
            marker = page[-1].id
        assert [b.id for b in paged] == [b.id for b in whole]
        keys = [getattr(build, key) for build in whole]
        # What has no value comes last, whatever the direction.
        having = [value for value in keys if value is not None]
        assert keys == having + [None] * (len(keys) - len(having))
        keys = having
        assert keys == sorted(keys, reverse=direction == 'desc')

    def test_a_page_is_bounded_by_bytes(self, database):
        big, small = {'manifest': 'x' * 10_000}, {'name': 'x'}
        for request in (big, small, big, big, small):
            database.create_build(values(request=request))
        whole = database.list_builds()
        sizes, marker, more, seen = [], None, True, []
        while more:
            page, more = database.page_of_builds(
                limit=3, max_bytes=11_000, marker=marker
            )
            sizes.append(len(page))
            seen += page
            marker = page[-1].id
        assert seen == whole
        # Newest first: small and big, big, small, big.
        assert sizes == [2, 2, 1] or sizes == [2, 1, 2]
        assert database.page_of_builds(limit=3, max_bytes=1)[1] is True
        assert database.page_of_builds(
            limit=3, max_bytes=1, filters={'name': 'nobody'}
        ) == ([], False)

    def test_several_sort_keys(self, database):
        for name, priority in [('b', 1), ('a', 0), ('a', 1), ('b', 0)]:
            database.create_build(values(name=name, priority=priority))
        order = [('name', 'asc'), ('priority', 'desc')]
        page = database.list_builds(sort=order, limit=1)
        rest = database.list_builds(sort=order, marker=page[0].id)
        found = [(b.name, b.priority) for b in [*page, *rest]]
        assert found == [('a', 1), ('a', 0), ('b', 1), ('b', 0)]

    def test_a_page_after_a_build_deleted_meanwhile(self, database):
        ids = [database.create_build(values()).id for _ in range(3)]
        database.delete_build(ids[1])
        [last] = database.list_builds(marker=ids[1])
        assert last.id == ids[0]

    @pytest.mark.parametrize(
        'wrong',
        [
            {'filters': {'secrets': 'x'}},
            {'sort': [('secrets', 'asc')]},
            {'sort': [('name', 'up')]},
        ],
    )
    def test_lists_that_cannot_be(self, database, wrong):
        with pytest.raises(exception.InvalidInput):
            database.list_builds(**wrong)

    def test_markers_of_others_are_not_found(self, database):
        other = database.create_build(values(project_id='p2'))
        with pytest.raises(exception.NotFound):
            database.list_builds(project_id='p1', marker=other.id)
        with pytest.raises(exception.NotFound):
            database.list_builds(marker='no-such')

    def test_images_of_many_builds(self, database):
        one = finish(database, start(database))
        image_row(database, one, 'east')
        two = finish(database, start(database))
        three = database.create_build(values(content_key=one.content_key))
        found = {b.id: b for b in database.list_builds()}
        assert [i.image_id for i in found[one.id].images] == [
            'glance-1',
            'g-east',
        ]
        assert found[three.id].images == found[one.id].images
        assert len(found[two.id].images) == 1

    # -- changes ------------------------------------------------------------

    def test_compare_and_swap(self, database):
        build = start(database)
        for expected, done in [
            ({}, True),
            ({'conductor': 'c1', 'attempt': 1}, True),
            ({'conductor': 'c2'}, False),
            ({'attempt': 2}, False),
            ({'expected_status': 'building'}, True),
            ({'expected_status': ('queued', 'building')}, True),
            ({'expected_status': 'queued'}, False),
        ]:
            change = {'progress_done': build.progress_done + 1}
            assert database.update_build(build.id, change, **expected) is done
        assert not database.update_build('no-such', {'progress_done': 1})
        # The same values once more are a change as well.
        assert database.update_build(build.id, change)

    def test_an_ended_build_is_nobodys(self, database):
        build = start(database)
        finish(database, build)
        assert not database.update_build(
            build.id, {'progress_done': 3}, conductor='c1', attempt=1
        )
        assert not database.update_build(build.id, {'status': 'uploading'})

    @pytest.mark.parametrize(
        'change',
        [
            {'status': 'active'},
            {'status': 'queued'},
            {'conductor': 'c2'},
            {'id': 'x'},
            {'colour': 'red'},
        ],
    )
    def test_changes_that_are_not_made_this_way(self, database, change):
        build = database.create_build(values())
        with pytest.raises(ValueError):
            database.update_build(build.id, change)

    def test_counts(self, database, clock):
        assert database.count_builds() == {}
        assert database.oldest_queued() is None
        oldest = database.create_build(values())
        database.create_build(values())
        finish(database, start(database), 'error', fault='user')
        assert database.count_builds() == {
            ('queued', None): 2,
            ('error', 'user'): 1,
        }
        assert database.oldest_queued() == oldest.created_at
