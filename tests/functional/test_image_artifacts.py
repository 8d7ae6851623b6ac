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
"""Builds whose image a cloud makes: adopted, or removed, and never doubled.

A real conductor with real jobs, the driver ``fake`` and a Glance behind HTTP.
"""

import contextlib
import pathlib
import signal
import subprocess
import sys
import uuid

import pytest

from imagebuild import artifacts
from imagebuild.conductor import attempt_reaper
from imagebuild.conductor import process
from imagebuild.drivers import fake
from tests import fake_glance
from tests.functional import conductors
from tests.functional.conductors import add_build
from tests.functional.conductors import wait_for
from tests.functional.conductors import wait_until

ROOT = pathlib.Path(__file__).parents[2]
CONF = """
[keystone]
auth_type = none
endpoint = {url}
[glance]
endpoint_override = {url}
service_id = this-service
retry_timeout = 5
"""
PROGRAM = 'import sys; from imagebuild.cmd.conductor import main; main()'


@pytest.fixture
def server():
    with fake_glance.FakeGlance() as server:
        yield server


@pytest.fixture
def database(tmp_path):
    made = conductors.make_database(tmp_path)
    yield made
    made.close()


@pytest.fixture
def write_conf(tmp_path, server):
    def write(name='c1', **options):
        options = {
            'drivers': 'fake', 'store': 'glance', 'max_attempts': 1, **options
        }  # fmt: skip
        path = conductors.write_conf(tmp_path, name, **options)
        path.write_text(path.read_text() + CONF.format(url=server.url))
        return path

    return write


@pytest.fixture
def run(write_conf):
    """A conductor in this process."""

    @contextlib.contextmanager
    def run(name='c1', **options):
        conf = conductors.read_conf(write_conf(name, **options))
        conductor = process.from_conf(conf)
        conductor.start()
        try:
            yield conductor
        finally:
            conductor.stop()

    return run


@pytest.fixture
def program(write_conf, tmp_path):
    """A conductor in a process of its own; killed at the end."""

    @contextlib.contextmanager
    def program(name='p1', **options):
        path = write_conf(name, **options)
        with (tmp_path / f'{name}.log').open('wb') as log:
            started = subprocess.Popen(
                [sys.executable, '-W', 'ignore', '-c', PROGRAM]
                + ['--config-file', str(path)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        try:
            yield started
        finally:
            started.kill()
            started.wait()

    return program


def add(database, *, request=None, **options):
    return add_build(
        database,
        name='web',
        options={'artifact': 'image', **options},
        request={
            'name': 'web',
            'driver': 'fake',
            'driver_options': {'artifact': 'image', **options},
            'tags': ['prod'],
            'properties': {'os_distro': 'debian'},
            **(request or {}),
        },
    )


def stamped(server):
    """The attempts that have an image there, by their stamps."""
    return {
        record[artifacts.ATTEMPT]
        for record in list(server.images.values())
        if artifacts.ATTEMPT in record
    }


def of_build(server, build_id):
    """The images that a build has made, adopted or not."""
    return [
        id
        for id, record in list(server.images.items())
        if record.get('imagebuild_build_id') == build_id
        or record.get(artifacts.ATTEMPT, '').startswith(build_id)
    ]


def test_what_a_cloud_has_made_is_adopted(
    database, server, write_conf, tmp_path
):
    path = write_conf()
    path.write_text(
        f'{path.read_text()}[destination:archive]\nstore = file\n'
        f'folder = {tmp_path}/archive\n'
    )
    conductor = process.from_conf(conductors.read_conf(path))
    conductor.start()
    try:
        build_id = add(database)
        build = wait_for(database, build_id, 'active', 'error')
        assert build.status == 'active', build.status_reason
        [record] = server.images.values()
        # No conductor has a file of it, and none was sent a second time.
        assert database.list_artifacts(build_id=build_id) == []
        sent = [path for method, path in server.requests if method == 'PUT']
        assert sent == [f'/v2/images/{record["id"]}/file']
        # An upload to another destination takes it from there.
        row = database.add_upload(
            build_id,
            {
                'id': str(uuid.uuid4()),
                'destination': 'archive',
                'disk_format': 'qcow2',
                'container_format': 'bare',
            },
        )
        wait_until(lambda: database.get_upload(row.id).status == 'active')
        # What is left is looked for after a success, too: not this.
        wait_until(lambda: not conductor.context.leftovers.by_driver())
    finally:
        conductor.stop()
    assert list(server.images.values()) == [record]
    assert build.image_id == record['id']
    assert record['owner'] == conductors.PROJECT
    assert (record['name'], record['tags']) == ('web', ['prod'])
    assert record['os_distro'] == 'debian'
    assert record['imagebuild_build_id'] == build_id
    assert record['imagebuild_image_id'] == record['id']
    # Of the base image; and what only the snapshot had.
    assert record['hw_disk_bus'] == 'virtio'
    origin = {artifacts.ATTEMPT, *fake._OF_A_SNAPSHOT} - {'hw_disk_bus'}
    assert not origin & set(record)
    here = {each.destination: each for each in database.list_uploads()}['']
    assert (here.image_id, here.disk_format) == (record['id'], 'qcow2')
    assert here.size == build.size == record['size']
    assert here.os_hash_value == record['os_hash_value']
    [there] = conductors.images_in(tmp_path, 'archive')
    assert there['os_hash_value'] == record['os_hash_value']
    assert conductors.workspaces_in(tmp_path) == []


def test_what_came_to_nothing_is_removed(database, server, run, caplog):
    # Of what is adopted, after it was made.
    server.fail('PATCH', '/v2/images/', 403, 'Too many tags.')
    server.fail('DELETE', '/v2/images/', 409, 'It is in use.', times=2)
    with run(max_builds=5):
        refused = add(database)
        cancelled = add(database, linger=60)
        failed = {
            fault: add(database, fail='It is Monday.', fault=fault)
            for fault in ('user', 'service', 'crash')
        }
        wait_until(lambda: of_build(server, cancelled))
        database.request_cancel(cancelled)
        wait_for(database, cancelled, 'cancelled')
        for fault, build_id in failed.items():
            build = wait_for(database, build_id, 'error')
            assert build.fault == ('user' if fault == 'user' else 'service')
        build = wait_for(database, refused, 'error')
        assert 'Too many tags' in build.status_reason
        assert build.fault == 'user'
        wait_until(lambda: not server.images)
    # Each had made one.
    sent = [path for method, path in server.requests if method == 'PUT']
    assert len(sent) == 5
    told = [
        each.getMessage()
        for each in caplog.records
        if 'was not removed, which is retried' in each.getMessage()
    ]
    assert told
    assert 'in use' in told[0]


def test_a_conductor_is_killed(database, server, program, run):
    """When nobody was told of an image yet, and before one is adopted.

    The one is made by another attempt again, and the other one is adopted; of
    a build that was cancelled meanwhile it is found by its stamp.
    """
    with program(max_uploads=0, max_builds=3) as killed:
        made, cancelled = add(database), add(database)
        wait_for(database, made, 'uploading')
        wait_for(database, cancelled, 'uploading')
        untold = add(database, linger=600)
        wait_until(lambda: of_build(server, untold))
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    # Its next attempt is as quick as others.
    base = database.get_build(untold).base
    del base['driver_options']['linger']
    assert database.update_build(untold, {'base': base})
    database.request_cancel(cancelled)
    assert database.get_build(cancelled).status == 'cancelled'
    [kept], [lost] = of_build(server, made), of_build(server, untold)
    assert stamped(server) == {f'{id}/1' for id in (made, cancelled, untold)}
    with run('c2', max_attempts=3, leak_grace=2):
        build = wait_for(database, made, 'active')
        assert (build.attempt, build.image_id) == (1, kept)
        wait_until(lambda: lost not in server.images)
        build = wait_for(database, untold, 'active')
        assert build.attempt == 2
        wait_until(lambda: not stamped(server))
    assert set(server.images) == {kept, build.image_id}


def test_what_is_made_or_of_others_stays(
    database, server, run, monkeypatch, caplog
):
    def have(stamp):
        return server.add(b'disk', **stamp.properties())['id']

    unknown = str(uuid.uuid4())
    monkeypatch.setattr(attempt_reaper, 'TIMEOUT', 2.0)
    with run(leak_grace=1):
        build_id = add(database, linger=60)
        wait_until(lambda: server.data)
        kept = {
            # This one goes on; no row knows that; it is another service's.
            *server.images,
            have(artifacts.AttemptStamp('this-service', unknown, 1)),
            have(artifacts.AttemptStamp('another', build_id, 7)),
        }
        gone = have(artifacts.AttemptStamp('this-service', build_id, 7))
        # A cloud that hangs: the process is ended, and all is done again.
        server.fail('DELETE', gone, fake_glance.HANG)
        wait_until(lambda: gone not in server.images)
        assert database.get_build(build_id).status == 'building'
        assert kept == set(server.images)
    told = ' '.join(each.getMessage() for each in caplog.records)
    assert 'The time limit of 2' in told
    assert 'does not know the builds of attempts with the driver fake' in told
    assert f'({unknown}/1)' in told


def test_without_glance_nobody_looks(database, tmp_path):
    path = conductors.write_conf(
        tmp_path, 'c1', drivers='fake', max_attempts=1
    )
    conductor = process.from_conf(conductors.read_conf(path))
    started = []
    conductor.attempts._run = lambda *args, **more: started.append(args)
    conductor.start()
    try:
        build_id = add_build(database, options={'fail': 'x'})
        wait_for(database, build_id, 'error')
        wait_until(lambda: not conductor.context.leftovers.by_driver())
    finally:
        conductor.stop()
    assert started == []


def test_what_a_driver_must_not_end_with(database, tmp_path):
    """Its image is that of another attempt, or in another cloud."""
    another = {
        'image_id': 'g-1', 'service': 's', 'build_id': 'x', 'attempt': 1
    }  # fmt: skip
    told = {
        'not made by this attempt': another,
        "did not report what it made: KeyError('service')": {'image_id': 'g'},
        'did not report what it made: ValueError': {**another, 'attempt': ''},
    }
    with conductors.running(tmp_path, max_attempts=1, max_builds=3):
        for reason, made in told.items():
            build_id = add_build(database, options={'made': made})
            build = wait_for(database, build_id, 'error')
            assert reason in build.status_reason
            assert build.fault == 'service'
            assert database.list_uploads(build_id=build_id) == []
