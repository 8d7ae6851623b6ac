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
"""Images of this service that no row knows."""

import pytest

from imagebuild import db
from imagebuild.db import transaction
from tests.contract.database import IMAGE
from tests.contract.database import claim
from tests.contract.database import delete_image
from tests.contract.database import finish
from tests.contract.database import lost_commits
from tests.contract.database import start
from tests.contract.database import upload_row
from tests.contract.database import values
from tests.contract.database.uploads import claim_upload
from tests.contract.database.uploads import finish_upload
from tests.contract.database.uploads import start_uploads


def mark(image_id, upload_id='', build_id=''):
    return db.ImageMark(
        image_id,
        upload_id or transaction.new_id(),
        build_id or transaction.new_id(),
    )


class LeakContract:
    def unknown(self, database, *marks):
        return database.unknown_images(list(marks))

    def test_without_any_row(self, database):
        many = [mark(f'g-{number}') for number in range(1201)]
        assert self.unknown(database) == []
        assert self.unknown(database, *many) == [one.image_id for one in many]
        # Whatever others write into their images is put up with.
        odd = mark('g', 'x\0' * 5000, "';--")
        assert self.unknown(database, odd) == ['g']

    def test_what_a_build_has(self, database, clock):
        build = finish(database, start(database))
        mine = mark(IMAGE['image_id'], build_id=build.id)
        another = mark('another', build_id=build.id)
        assert self.unknown(database, another, mine) == ['another']
        database.delete_build(build.id)
        # To be deleted, and then gone.
        assert self.unknown(database, mine) == []
        [image] = database.deleting_images()
        delete_image(database, image)
        assert self.unknown(database, mine) == []
        clock.forward(10)
        database.purge(clock())
        assert self.unknown(database, mine) == [mine.image_id]

    @pytest.mark.parametrize(
        'status, own, known',
        [
            ('queued', None, True),
            ('uploading', None, True),
            ('active', 'g-1', True),
            ('active', 'g-2', False),
            ('deleting', 'g-1', True),
            ('error', None, False),
        ],
    )
    def test_what_an_upload_makes(self, database, status, own, known):
        build = finish(database, start(database))
        row = upload_row(
            database, build_id=build.id, status=status, image_id=own
        )
        found = self.unknown(database, mark('g-1', row.id, build.id))
        assert found == ([] if known else ['g-1'])

    @pytest.mark.parametrize('deleted', [True, False])
    def test_of_a_build_that_has_not_ended(self, database, deleted):
        build = start(database)
        if deleted:
            database.delete_build(build.id)
        one = mark('g-1', build_id=build.id)
        assert self.unknown(database, one) == []
        finish(database, build, 'error')
        assert self.unknown(database, one) == ['g-1']

    def test_seen_twice(self, database, clock):
        def note(*ids, destination=''):
            found = database.note_leaks(destination, ids, grace=60)
            return list(found.new), list(found.due)

        assert note('a', 'b', 'a') == (['a', 'b'], [])
        assert note('a', destination='north') == (['a'], [])
        assert note('a', 'b') == ([], [])
        clock.forward(59)
        # It is gone meanwhile, or somebody knows it: it begins again.
        assert note('b', 'c') == (['c'], [])
        clock.forward(1)
        assert note('a', 'b', 'c') == (['a'], ['b'])
        # Not deleted, for what reason ever.
        assert note('a', 'b', 'c') == ([], ['b'])
        assert note('a', destination='north') == ([], ['a'])
        assert note() == ([], [])
        clock.forward(100)
        assert note('b') == (['b'], [])

    def test_one_searches_at_a_time(self, database, clock):
        def begin(destination=''):
            return database.begin_leak_search(destination, every=60, gap=240)

        since = begin()
        assert since and begin() is None
        assert begin('north') > since
        clock.forward(60)
        assert begin() == since
        assert begin() is None
        # Nobody has looked, or this is a backup.
        clock.forward(241)
        later = begin()
        assert later > since
        clock.forward(60)
        assert begin() == later

    def test_which_attempts_have_ended(self, database):
        first, second = start(database), start(database)
        waiting = database.create_build(values())
        unknown = transaction.new_id()
        asked = [
            *((first.id, 1), (first.id, 2), (second.id, 1)),
            *((waiting.id, 1), (unknown, 1)),
        ]
        found = database.judge_attempts(asked)
        # What was never made has ended, too, should anything have its stamp.
        assert found.ended == {(first.id, 2), (waiting.id, 1)}
        assert found.unknown == {(unknown, 1)}
        # Until what it has made is uploaded, or adopted.
        start_uploads(database, first)
        assert (first.id, 1) not in database.judge_attempts(asked).ended
        finish_upload(database, claim_upload(database, first))
        assert (first.id, 1) in database.judge_attempts(asked).ended
        database.requeue_build(
            second.id, conductor='c1', attempt=1, reason='It died.'
        )
        assert (second.id, 1) in database.judge_attempts(asked).ended
        claim(database, second.id, 'c1')
        found = database.judge_attempts([*asked, (second.id, 2)])
        assert (second.id, 1) in found.ended
        assert (second.id, 2) not in found.ended
        database.request_cancel(second.id)
        assert (second.id, 2) not in (
            database.judge_attempts([(second.id, 2)]).ended
        )
        many = [(transaction.new_id(), 1) for _ in range(1201)]
        assert database.judge_attempts(many).unknown == set(many)
        assert database.judge_attempts([]).ended == set()


class LostLeakCommitContract(lost_commits.Losing):
    """The connection breaks at a commit: nothing is done twice."""

    def test_search(self, database, losing, clock):
        losing()
        since = database.begin_leak_search('', every=60, gap=240)
        assert since
        clock.forward(60)
        losing()
        assert database.begin_leak_search('', every=60, gap=240) == since

    def test_notes(self, database, losing):
        losing()
        found = database.note_leaks('', ['a'], grace=0)
        assert (found.new, found.due) == (('a',), ())
