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
"""Logs, steps, events, uploads, and removing it all."""

import datetime

import pytest
import sqlalchemy as sa

from imagebuild import exception
from imagebuild.db import models
from tests.contract.database import IMAGE
from tests.contract.database import delete_image
from tests.contract.database import finish
from tests.contract.database import start
from tests.contract.database import upload_row
from tests.contract.database import values
from tests.contract.database import without_users

TEXT = 'aä€💾' * 5


def read_all(database, build_id, limit):
    text, offset = '', 0
    while True:
        part, following = database.read_log(build_id, offset, limit)
        if not part:
            assert following == offset
            return text
        assert following == offset + len(part.encode())
        assert len(part.encode()) <= max(limit, 4)
        text, offset = text + part, following


class LogContract:
    @pytest.fixture
    def build_id(self, database):
        return database.create_build(values()).id

    def test_append_and_read(self, database, build_id):
        assert database.read_log(build_id) == ('', 0)
        assert database.append_log(build_id, '') == 0
        size = 0
        for piece in ('one\n', TEXT, 'x' * 70_000, '\n'):
            size += len(piece.encode())
            assert database.append_log(build_id, piece) == size
        assert database.get_build(build_id).log_size == size
        whole = 'one\n' + TEXT + 'x' * 70_000 + '\n'
        assert database.read_log(build_id) == (whole, size)
        assert database.read_log(build_id, size) == ('', size)
        assert database.read_log(build_id, size + 5) == ('', size)
        assert database.read_log(build_id, -5, 3) == ('one', 3)
        assert database.append_log(build_id, 'more') == size + 4
        assert database.read_log(build_id, size) == ('more', size + 4)

    @pytest.mark.parametrize('limit', [1, 2, 3, 4, 5, 7, 1000])
    def test_no_character_is_split(self, database, build_id, limit):
        for character in TEXT:
            database.append_log(build_id, character)
        database.append_log(build_id, TEXT)
        assert read_all(database, build_id, limit) == TEXT * 2

    def test_offsets_inside_of_a_character(self, database, build_id):
        database.append_log(build_id, 'a€')
        database.append_log(build_id, '💾z')
        for offset, found in [
            (1, ('€💾z', 9)),
            (2, ('💾z', 9)),
            (3, ('💾z', 9)),
            (5, ('z', 9)),
            (7, ('z', 9)),
        ]:
            assert database.read_log(build_id, offset) == found

    def test_large_texts(self, database, build_id):
        text = TEXT * 30_000
        size = database.append_log(build_id, text)
        assert size == len(text.encode())
        assert read_all(database, build_id, 100_003) == text

    def test_a_full_log_says_so_once(self, database, build_id):
        database.append_log(build_id, 'aaaa', 10)
        size = database.append_log(build_id, 'bbbb€€', 10)
        text, _ = database.read_log(build_id)
        assert text == (
            'aaaabbbb\n[the log was cut here: its limit of 10 bytes is '
            'reached]\n'
        )
        assert size == len(text.encode())
        assert database.append_log(build_id, 'more', 10) == size
        assert database.read_log(build_id) == (text, size)

    def test_a_log_that_just_fits(self, database, build_id):
        assert database.append_log(build_id, 'a' * 10, 10) == 10
        assert database.read_log(build_id) == ('a' * 10, 10)
        # More does not, and there is no line that says so: it is full.
        assert database.append_log(build_id, 'b', 10) == 10

    def test_what_a_database_cannot_hold(self, database, build_id):
        database.append_log(build_id, 'a\0b\udcff')
        text, size = database.read_log(build_id)
        assert text == 'a\N{REPLACEMENT CHARACTER}b?'
        assert size == len(text.encode())

    def test_no_build(self, database):
        with pytest.raises(exception.NotFound):
            database.append_log('no-such', 'x')
        with pytest.raises(exception.NotFound):
            database.read_log('no-such')


class HistoryContract:
    def test_earlier_builds(self, database, clock):
        def ended(name, status='active', took=1, **others):
            build = start(database, name=name, **others)
            if took:
                phases = {'spent': {'steps': took}}
                database.update_build(build.id, {'phases': phases})
            clock.forward(1)
            return finish(database, build, status)

        ended('old', took=5)
        ended('failed', 'error')
        ended('of others', project_id='p2')
        ended('another system', os='debian-13')
        ended('another driver', driver='bootstrap')
        ended('of an older release', took=None)
        deleted = ended('deleted', took=7)
        database.delete_build(deleted.id)
        build = start(database, name='mine')
        found = database.earlier_builds(build, 10)
        assert [(each.name, each.phases) for each in found] == [
            ('deleted', {'spent': {'steps': 7}}),
            ('old', {'spent': {'steps': 5}}),
        ]
        assert found[0].content_key == deleted.content_key
        assert len(database.earlier_builds(build, 1)) == 1

    def test_reused_images_were_not_built(self, database):
        build = start(database, content_key='k')
        database.create_build(values(content_key='k'))
        database.update_build(build.id, {'phases': {'spent': {}}})
        finish(database, build)
        database.create_build(values(content_key='k'))
        assert len(database.earlier_builds(start(database), 10)) == 1

    def test_steps(self, database):
        build = start(database)
        for attempt, number in [(1, 1), (1, 2), (2, 1)]:
            database.add_step(
                build.id,
                {
                    'attempt': attempt,
                    'number': number,
                    'path': f'validators[{number}]',
                    'validator': 'package',
                    'description': 'nginx',
                    'result': 'changed',
                    'seconds': 1.25,
                    'message': '',
                    'output': 'ünï\0',
                },
            )
        steps = database.list_steps(build.id)
        assert [(s.attempt, s.number) for s in steps] == [
            (1, 1),
            (1, 2),
            (2, 1),
        ]
        assert steps[0].seconds == 1.25
        assert steps[0].output == 'ünï\N{REPLACEMENT CHARACTER}'
        assert database.list_steps(build.id, attempt=2) == steps[2:]
        with pytest.raises(exception.NotFound):
            database.add_step('no-such', {'attempt': 1, 'number': 1})

    def test_a_page_of_steps_is_bounded_by_bytes(self, database):
        build = start(database)
        for number in range(3):
            step = {
                **{'attempt': 1, 'number': number, 'path': f'v[{number}]'},
                **{'validator': 'script', 'description': 'a script'},
                **{'result': 'ok', 'seconds': 1.0, 'message': ''},
                'output': '\N{EURO SIGN}' * 1000,
            }
            database.add_step(build.id, step)
        for most, expected in ((2500, 1), (6500, 2), (9500, 3)):
            found, more = database.page_of_steps(
                build.id, limit=10, max_bytes=most
            )
            assert (len(found), more) == (expected, expected < 3)

    def test_events(self, database, clock):
        build = database.create_build(values())
        database.add_event(build.id, 'Hello.')
        first, second = database.list_events(build.id)
        assert (first.kind, first.message) == ('status', 'queued')
        assert (second.kind, second.message) == ('note', 'Hello.')
        assert second.at == clock.time
        with pytest.raises(exception.NotFound):
            database.add_event('no-such', 'Hello.')

    def test_ping(self, database):
        database.ping()


class UploadContract:
    @pytest.fixture
    def build(self, database):
        return start(database)

    def test_upload(self, database, build):
        upload = upload_row(database, build_id=build.id)
        assert (upload.status, upload.destination) == ('queued', '')
        assert upload.project_id == 'p1'
        assert database.get_upload(upload.id) == upload
        assert database.get_upload(upload.id, project_id='p1') == upload
        with pytest.raises(exception.NotFound):
            database.get_upload(upload.id, project_id='p2')

    def test_update(self, database, build):
        id = upload_row(
            database,
            build_id=build.id,
            status='uploading',
            conductor='c1',
            attempt=1,
        ).id
        large = 5_000_000_000
        done = {'status': 'active', 'image_id': 'g', 'bytes_done': large}
        mine = {'conductor': 'c1', 'attempt': 1}
        assert not database.update_upload(id, done, conductor='c2')
        assert not database.update_upload(id, done, attempt=2)
        assert not database.update_upload(id, done, expected_status='queued')
        assert database.update_upload(id, done, **mine)
        found = database.get_upload(id)
        assert (found.image_id, found.bytes_done) == ('g', large)
        with pytest.raises(ValueError):
            database.update_upload(id, {'build_id': 'x'})

    def test_lists(self, database, build):
        other = start(database, project_id='p2')
        one, two, three = (
            upload_row(
                database,
                build_id=owner.id,
                conductor=conductor,
                status=status,
            )
            for owner, conductor, status in [
                (build, 'c1', 'uploading'),
                (build, None, 'queued'),
                (other, 'c1', 'error'),
            ]
        )
        for wanted, found in [
            ({}, [one, two, three]),
            ({'project_id': 'p1'}, [one, two]),
            ({'build_id': other.id}, [three]),
            ({'status': 'queued'}, [two]),
            ({'status': ['uploading', 'error']}, [one, three]),
            ({'conductor': 'c1'}, [one, three]),
            ({'limit': 1}, [one]),
            ({'marker': one.id}, [two, three]),
        ]:
            assert database.list_uploads(**wanted) == found, wanted
        database.delete_build(other.id)
        finish(database, other, 'cancelled')
        assert database.list_uploads() == [one, two]
        with pytest.raises(exception.NotFound):
            database.list_uploads(marker='no-such')

    @pytest.mark.parametrize(
        'status, is_deleted, is_abandoned',
        [
            ('building', False, False),
            ('building', True, False),
            ('active', False, False),
            ('active', True, True),
            ('error', False, True),
            ('cancelled', True, True),
        ],
    )
    def test_abandoned(
        self, database, build, status, is_deleted, is_abandoned
    ):
        """The image of a deleted build is not forgotten in the store."""
        upload = upload_row(database, build_id=build.id, status='uploading')
        upload_row(database, build_id=build.id, status='error')
        if status != 'building':
            finish(database, build, status)
        if is_deleted:
            database.delete_build(build.id)
        expected = [(upload, build.content_key)] if is_abandoned else []
        assert database.abandoned_uploads() == expected


class PurgeContract:
    def fill(self, database, id):
        """Give a build one row in every table."""
        database.append_log(id, 'x')
        database.add_event(id, 'x')
        database.add_step(id, {'attempt': 1, 'number': 1})
        upload_row(database, build_id=id)

    def test_purge(self, database, clock):
        deleted = finish(database, start(database))
        failed = finish(database, start(database), 'error')
        active = finish(database, start(database))
        waiting = database.create_build(values())
        running = start(database)
        for build in (deleted, failed, active, waiting, running):
            self.fill(database, build.id)
        image = database.delete_build(deleted.id)
        database.register_conductor(ConductorValues)
        clock.forward(3600)
        late = finish(database, start(database), 'error')
        cut = clock.time - datetime.timedelta(seconds=1800)
        assert database.purge(cut) == 2
        left = {build.id for build in database.list_builds()}
        assert left == {active.id, waiting.id, running.id, late.id}
        assert database.list_conductors() == []
        # Glance still has it.
        assert without_users(database) == [image]
        delete_image(database, image)
        database.purge(clock.time + datetime.timedelta(seconds=1))
        with pytest.raises(exception.NotFound):
            database.get_image(image.id)
        assert database.get_image(active.image_row_id).status == 'active'

    def test_images_that_lost_their_user_unseen(self, database):
        """As a release may have left them that did not look."""
        builds = [finish(database, start(database)) for _ in range(3)]
        running = start(database)

        def lose(session):
            session.execute(
                sa.update(models.Build)
                .where(models.Build.id == builds[0].id)
                .values(deleted_at=session.now)
            )
            # Its build has not ended.
            session.execute(
                sa.update(models.Image)
                .where(models.Image.id == builds[1].image_row_id)
                .values(build_id=running.id)
            )
            session.execute(
                sa.update(models.Build)
                .where(models.Build.id == builds[1].id)
                .values(image_row_id=None)
            )

        database._write(lose)
        assert database.retire_unused_images() == 0
        assert database.retire_unused_images(thorough=True) == 1
        gone = database.get_image(builds[0].image_row_id)
        assert gone.status == 'deleting'
        finish(database, running, 'error')
        assert database.retire_unused_images(thorough=True) == 1
        gone = database.get_image(builds[1].image_row_id)
        assert gone.status == 'deleting'
        kept = database.get_image(builds[2].image_row_id)
        assert kept.status == 'active'

    def test_purge_in_batches(self, database, clock):
        for _ in range(230):
            database.delete_build(database.create_build(values()).id)
        assert database.purge(clock.time + datetime.timedelta(1)) == 230
        assert database.purge(clock.time + datetime.timedelta(1)) == 0

    def test_the_image_of_a_purged_maker_lives_on(self, database, clock):
        maker = finish(database, start(database))
        user = database.create_build(values(content_key=maker.content_key))
        database.delete_build(maker.id)
        database.purge(clock.time + datetime.timedelta(1))
        assert database.get_build(user.id).image_id == IMAGE['image_id']
        assert database.delete_build(user.id).image_id == IMAGE['image_id']


ConductorValues = {
    'name': 'old',
    'drivers': [],
    'architecture': 'x86_64',
    'slots': 1,
}
