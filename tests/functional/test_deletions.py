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
"""What is deleted goes, wherever it is and whoever is away meanwhile."""

import logging
import threading
import time
from unittest import mock

import pytest

from imagebuild import exception
from imagebuild.api import protection
from imagebuild.conductor import deletion_attempt
from tests.contract import database as contract
from tests.functional import conductors
from tests.functional import upload_service

DESTINATION = '[destination:{name}]\nstore = file\nfolder = {directory}\n'


@pytest.fixture
def service(tmp_path):
    made = upload_service.Service(tmp_path, hide_undeletable=True)
    made.start()
    yield made
    made.stop()
    made.conf.clear()


def test_nothing_of_a_deleted_build_stays(service):
    build = service.build(destinations=['', 'archive'])
    raw = service.upload(build, 'as-raw', disk_format='raw').json['id']
    assert service.ended(raw)['status'] == 'active'
    directory = service.conductor.context.repository.directory

    def files():
        return list((directory / 'artifacts').iterdir())

    # The file itself, and what it was converted to.
    assert len(files()) == 2
    answer = service.ask('DELETE', f'/v1/builds/{build.id}')
    assert answer.status_code == 204
    for name in ('images', 'as-raw', 'archive'):
        conductors.wait_until(lambda name=name: not service.stored(name))
    conductors.wait_until(
        lambda: not service.database.list_artifacts(build_id=build.id)
    )
    conductors.wait_until(lambda: not files())
    conductors.wait_until(lambda: not service.database.list_uploads())
    assert service.database.deleting_images() == []
    assert service.database.lanes(['delete']) == []
    later = service.database.now().replace(year=9999)
    assert service.database.purge(later) == 1
    assert service.database.list_artifacts(status=None) == []


def test_a_protected_image_waits_and_says_so(service, caplog):
    build = service.build(destinations=['', 'archive'])
    [upload] = [
        each
        for each in service.database.list_uploads(build_id=build.id)
        if each.destination
    ]
    service.protect('archive')

    def delete():
        answer = service.ask('DELETE', f'/v1/uploads/{upload.id}')
        assert answer.status_code == 204

    def shown():
        return service.ask('GET', f'/v1/uploads/{upload.id}').json

    def attempts():
        [image] = service.database.deleting_images()
        job = service.database.get_job(image.id)
        return job.attempt if job.state == 'waiting' else 0

    # It was protected a moment after the API had looked.
    with mock.patch.object(protection, 'check_upload', autospec=True):
        delete()
    conductors.wait_until(lambda: shown()['status_reason'])
    assert shown()['status'] == 'deleting'
    assert 'protected' in shown()['status_reason']
    [stored] = service.stored('archive')
    assert stored['os_hidden']
    listed = service.ask('GET', '/v1/uploads?status=deleting').json
    assert [each['id'] for each in listed['uploads']] == [upload.id]
    of_build = service.ask('GET', f'/v1/builds/{build.id}').json['images']
    assert [each['status_reason'] for each in of_build] == [
        None,
        shown()['status_reason'],
    ]
    # Another one would be taken for the one that is to go.
    answer = service.upload(build, 'archive')
    assert answer.status_code == 409
    assert 'being deleted' in answer.json['error']['message']
    # It is not fought, and the log does not say the same at each attempt.
    conductors.wait_until(lambda: attempts() == 1)
    delete()
    conductors.wait_until(lambda: attempts() == 2)
    said = [
        each.getMessage()
        for each in caplog.records
        if 'not deleted yet' in each.getMessage()
        and each.levelno >= logging.WARNING
    ]
    assert len(said) == 1
    service.protect('archive', False)
    delete()
    service.gone(upload.id)
    assert service.stored('archive') == []
    assert service.database.get_build(build.id).status == 'active'


class Away:
    """The store of a destination that does not answer."""

    def __init__(self):
        self.is_away = True
        self.hangs = threading.Event()
        self.hangs.set()
        self.asked = []
        self.at_once = self.most_at_once = 0

    def list_stamped(self):
        return iter(())

    def delete(self, image_id, *, hide_undeletable=False):
        self.asked.append(image_id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.hangs.wait(60)
        self.at_once -= 1
        if self.is_away:
            raise exception.ServiceUnavailable(
                service='image', reason='it does not answer'
            )


class Well(Away):
    def __init__(self):
        super().__init__()
        self.is_away = False


@pytest.fixture
def database(tmp_path):
    found = conductors.make_database(tmp_path)
    yield found
    found.close()


@pytest.fixture
def run(tmp_path):
    """Run a conductor that knows another cloud."""

    def run(**stores):
        path = conductors.write_conf(tmp_path, 'c1', max_deletions=2)
        path.write_text(
            path.read_text()
            + DESTINATION.format(name='north', directory=tmp_path / 'north')
        )
        made = conductors.make_conductor(
            conductors.read_conf(path),
            open_store=lambda name: stores[name or 'here'],
        )
        made.start()
        return made

    return run


def leave(database, destination, number):
    """Images that no build uses, to be deleted."""
    build = contract.start(database, project_id=conductors.PROJECT)
    for each in range(number):
        contract.image_row(database, build, f'{destination}-{each}')
    contract.finish(database, build, 'error')

    def move(session):
        for image in session.query(contract.models.Image):
            if image.destination.startswith(f'{destination}-'):
                image.destination = destination

    database._write(move)
    database.delete_build(build.id)
    if not destination:
        database.retire_unused_images()


def test_a_store_that_hangs_holds_up_no_other(tmp_path, database, run):
    north, here = Away(), Well()
    north.hangs.clear()
    leave(database, 'north', 30)
    leave(database, '', 30)
    conductor = run(here=here, north=north)
    try:
        conductors.wait_until(
            lambda: database.count_deleting_images() == {'north': 30}
        )
        assert len(here.asked) == 30
        # One of the two places, all the time.
        assert (north.asked, north.most_at_once) == (north.asked[:1], 1)
    finally:
        north.hangs.set()
        conductor.stop()


def test_a_store_that_is_away_for_long(
    tmp_path, database, run, caplog, monkeypatch
):
    """It fills no log, is asked by one, and everything goes in the end."""
    leave(database, 'north', 30)
    north = Away()
    conductor = run(here=Well(), north=north)
    try:
        conductors.wait_until(lambda: len(north.asked) >= 2)
        time.sleep(1)
        assert len(north.asked) <= 4
        said = [
            each.getMessage()
            for each in caplog.records
            if each.levelno >= logging.WARNING and 'north' in each.getMessage()
        ]
        assert len(said) == 1 and 'is away' in said[0]
        # Those that were not asked for say why, too.
        conductors.wait_until(
            lambda: all(
                image.status_reason and 'not answer' in image.status_reason
                for image in database.deleting_images()
            )
        )
        assert len(database.deleting_images()) == 30
    finally:
        conductor.stop()
    # What was waiting waits no longer than it has to, and nothing is lost.
    monkeypatch.setattr(deletion_attempt, '_LONGEST_PAUSE', 0.1)
    north.is_away = False
    conductor = run(here=Well(), north=north)
    try:
        conductors.wait_until(lambda: not database.deleting_images())
        assert database.lanes(['delete']) == []
    finally:
        conductor.stop()


def test_what_a_dead_conductor_was_deleting(tmp_path, database, run):
    leave(database, 'north', 1)
    [image] = database.deleting_images()
    # Of our name, by a process that was killed, and of another's.
    assert database.claim('c1', job=image.id)
    leave(database, '', 1)
    [other] = [i for i in database.deleting_images() if i.id != image.id]
    assert database.claim('c2', job=other.id)
    conductor = run(here=Well(), north=Well())
    try:
        conductors.wait_until(lambda: not database.deleting_images())
    finally:
        conductor.stop()


def test_a_destination_that_nobody_has(tmp_path, database, run, caplog):
    leave(database, 'gone', 2)
    conductor = run(here=Well(), north=Well())
    try:
        conductors.wait_until(
            lambda: all(
                'a destination "gone"' in (image.status_reason or '')
                for image in database.deleting_images()
            )
        )
        time.sleep(2.5)
        said = [e for e in caplog.records if '"gone"' in e.getMessage()]
        assert len(said) == 1
    finally:
        conductor.stop()
