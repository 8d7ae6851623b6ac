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
"""The driver ``snapshot``: real conductors, and a Nova behind HTTP."""

import contextlib
import gzip
import json
import pathlib
import signal
import subprocess
import sys

import pytest

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.conductor import process
from tests import fake_cinder
from tests import fake_glance
from tests import fake_neutron
from tests import fake_nova
from tests.functional import api_service
from tests.functional import conductors
from tests.functional.conductors import wait_for
from tests.functional.conductors import wait_until

ROOT = pathlib.Path(__file__).parents[2]
CONF = """
[keystone]
auth_type = none
endpoint = {glance}
[glance]
endpoint_override = {glance}
service_id = this-service
retry_timeout = 5
[snapshot]
endpoint_override = {nova}
volume_endpoint_override = {cinder}
network_endpoint_override = {neutron}
flavor = m1.tiny
poll_interval = 0.05
"""
PROGRAM = 'import sys; from imagebuild.cmd.conductor import main; main()'
MANIFEST = {
    'validators': [
        {'package': 'nginx'},
        {'script': {'greet': {'inline': 'echo "it\'s me"'}}},
    ]
}


@pytest.fixture
def glance():
    with fake_glance.FakeGlance() as server:
        yield server


@pytest.fixture
def cinder(glance):
    with fake_cinder.FakeCinder(glance) as server:
        yield server


@pytest.fixture
def nova(glance, cinder):
    with fake_nova.FakeNova(glance, cinder) as server:
        yield server


@pytest.fixture
def neutron(nova):
    with fake_neutron.FakeNeutron(nova) as server:
        # Of a network that is for documentation: nobody answers.
        server.address = '203.0.113.7'
        yield server


@pytest.fixture
def base_image(glance):
    """One that this service has made, of hardware of its own."""
    record = glance.add(
        b'disk',
        visibility='public',
        hw_disk_bus='virtio',
        imagebuild_build_id='another build',
        imagebuild_service='this-service',
    )
    return record['id']


@pytest.fixture
def database(tmp_path):
    made = conductors.make_database(tmp_path)
    yield made
    made.close()


@pytest.fixture
def write_conf(tmp_path, glance, nova, cinder, neutron):
    def write(name='c1', more='', **options):
        options = {
            'drivers': 'snapshot', 'store': 'glance', 'max_attempts': 1,
            **options,
        }  # fmt: skip
        path = conductors.write_conf(tmp_path, name, **options)
        conf = CONF.format(
            glance=glance.url,
            nova=nova.url,
            cinder=cinder.url,
            neutron=neutron.url,
        )
        path.write_text(path.read_text() + conf + more)
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
def add(database, base_image):
    def add(manifest=MANIFEST, boot_test=None, **options):
        return conductors.add_build(
            database,
            name='web',
            driver='snapshot',
            base={
                'kind': 'glance',
                'id': base_image,
                'driver': 'snapshot',
                'driver_options': options,
            },
            request={
                'name': 'web',
                'driver': 'snapshot',
                'driver_options': options,
                'manifest': manifest,
                'tags': ['prod'],
                **({'boot_test': boot_test} if boot_test else {}),
            },
        )

    return add


def nothing_is_left(glance, nova):
    return not nova.servers and not [
        id
        for id, record in list(glance.images.items())
        if artifacts.ATTEMPT in record
    ]


def test_what_is_in_it(database, nova, run, add):
    nova.listed = (
        'release\tdebian\t12\ndatabase\tdeb\n'
        'deb\tii \tzip\t3.0-1\tamd64\tzip\t3.0-1\ncomplete\n'
    )
    with run():
        build_id = add()
        build = wait_for(database, build_id, 'active', 'error')
        nova.listed = nova.listed.replace('complete', '')
        other_id = add()
        other = wait_for(database, other_id, 'active', 'error')
    assert build.status == 'active', build.status_reason
    made = json.loads(gzip.decompress(database.get_sbom(build_id)))
    [package] = made['packages'][1:]
    assert (package['name'], package['versionInfo']) == ('zip', '3.0-1')
    assert 'The image has 1 package.' in database.read_log(build_id)[0]
    # One that was cut off is none.
    assert other.status == 'active', other.status_reason
    with pytest.raises(exception.NotFound):
        database.get_sbom(other_id)
    assert (
        'There will be no list of packages. What is in the image cannot be '
        'listed: its system was not done with it.'
    ) in database.read_log(other_id)[0]


def test_a_server_becomes_an_image(
    database, glance, nova, run, add, base_image
):
    # A console that nobody has cleaned, in the middle of which we speak.
    nova.console = '\x1b[2J\x00\xff[ 12.3] =imagebuild= 00 over good - 0 =end='
    with run():
        build_id = add(availability_zone='here')
        build = wait_for(database, build_id, 'active', 'error')
    assert build.status == 'active', build.status_reason
    record = glance.images[build.image_id]
    assert record['owner'] == conductors.PROJECT
    assert (record['name'], record['tags']) == ('web', ['prod'])
    assert record['hw_disk_bus'] == 'virtio'
    assert record['imagebuild_build_id'] == build_id
    origin = {artifacts.ATTEMPT, *fake_nova.OF_A_SNAPSHOT}
    assert not origin & set(record)
    assert nova.servers == {}
    [server] = nova.made
    stamp = artifacts.AttemptStamp('this-service', build_id, 1)
    assert server.body['name'] == stamp.name
    assert server.body['metadata'] == stamp.properties()
    assert server.body['imageRef'] == base_image
    assert server.body['flavorRef'] == '1'
    assert server.body['networks'] == 'none'
    assert server.body['config_drive'] is True
    assert server.body['availability_zone'] == 'here'
    assert "echo \"it'\"'\"'s me\"" in server.program()
    steps = database.list_steps(build_id)
    assert [(each.path, each.result) for each in steps] == [
        ('manifest.validators[0].package', 'changed'),
        ('manifest.validators[1].script', 'changed'),
    ]


def test_what_fails_or_is_cancelled_leaves_nothing(
    database, glance, nova, run, add
):
    nova.failing = (7, 'Reading lists\r\n\x1b[31mE: no package\x07 nginx\n')
    nova.of_zones['slow'] = 'console'
    bob = {'validators': [{'user': {'bob': {}}}]}
    with run(max_builds=3):
        failing, refused = add(), add(manifest=bob)
        slow = add(availability_zone='slow')
        build = wait_for(database, refused, 'error')
        assert '"user bob" cannot be run by the guest' in build.status_reason
        assert build.fault == 'user'
        wait_until(lambda: in_zone(nova, 'slow'))
        database.request_cancel(slow)
        wait_for(database, slow, 'cancelled')
        build = wait_for(database, failing, 'error')
        wait_until(lambda: nothing_is_left(glance, nova))
    assert build.fault == 'user'
    assert 'E: no package' in build.status_reason
    assert '\x1b' not in build.status_reason
    [step] = database.list_steps(build.id)
    assert step.result == 'failed'
    assert 'Reading lists' in step.output
    assert '\x07' not in step.output
    # What cannot be run has not had a server.
    assert len(nova.made) == 2


FILES = [{'path': '/etc/motd', 'content': 'hello'}]
#: As it is stored.
BOOTED = {
    **{'console': [], 'cloud_init': True, 'systemd': False, 'ports': [22]},
    **{'commands': [], 'timeout': 60},
}


def test_what_it_has_made_is_booted(database, glance, nova, run, add):
    nova.console = '[ 0.5] booting\r\n\x1b[0;32m  OK  \x1b[0m reached\r\n'
    with run():
        build_id = add(boot_test=BOOTED)
        build = wait_for(database, build_id, 'active', 'error')
    assert build.status == 'active', build.status_reason
    assert build.boot_test['passed']
    assert [each['what'] for each in build.boot_test['findings']] == [
        'cloud-init ended without an error',
        'port 22 is listened on',
    ]
    assert build.phases['spent']['boot_test'] > 0
    log = database.read_log(build_id)[0]
    assert '  OK   reached' in log
    assert 'it boots as expected' in log
    assert 'imagebuild-boot-test' not in log
    assert artifacts.ATTEMPT not in glance.images[build.image_id]
    assert nova.servers == {}
    made = [server.body['imageRef'] for server in nova.made]
    assert made[1] == build.image_id


def test_what_does_not_boot_is_no_image(
    database, glance, nova, run, add, base_image
):
    nova.dies = '\nKernel panic - not syncing: no init\n'
    nova.of_zones['slow'] = 'boot'
    with run(max_builds=2):
        dies = add(boot_test=BOOTED)
        slow = add(boot_test=BOOTED, availability_zone='slow')
        build = wait_for(database, dies, 'error', 'active')
        wait_until(lambda: booted_in(nova, 'slow'))
        database.request_cancel(slow)
        wait_for(database, slow, 'cancelled')
        wait_until(lambda: nothing_is_left(glance, nova))
    assert (build.fault, build.attempt) == ('user', 1)
    assert build.status_reason.startswith(
        'The image does not boot as expected: the kernel panicked: no init ('
    )
    assert not build.boot_test['passed']
    assert build.boot_test['telling'] == [
        'Kernel panic - not syncing: no init'
    ]
    assert build.phases['current'] == 'boot_test'
    assert list(glance.images) == [base_image]


def test_a_cloud_without_room_for_the_boot_is_asked_again(
    database, glance, nova, run, add
):
    nova.fault_of_booted = 'No valid host was found.'
    with run(max_attempts=2, retry_delay=0):
        build_id = add(boot_test=BOOTED)
        build = wait_for(database, build_id, 'error', 'active')
        wait_until(lambda: nothing_is_left(glance, nova))
    assert (build.fault, build.attempt) == ('service', 2)
    assert 'No host of the cloud has room' in build.status_reason
    assert build.boot_test is None


def test_asked_for_by_the_api(database, nova, run, base_image, tmp_path):
    """Where every image is booted, and only such are promoted."""
    conf = api_service.make_conf(tmp_path)
    conf.set_override('required', True, 'boot_test')
    conf.set_override('systemd', True, 'boot_test')
    conf.set_override('require_boot_test', ['prod'], 'promotion')
    client = api_service.over_bus(conf, database)
    asked = {'name': 'web', 'driver': 'snapshot', 'base_image': base_image}
    with run() as conductor:
        wait_until(lambda: conductor._server, what='the bus')
        answer = client.post(
            '/v1/builds', json={**asked, 'boot_test': {'firmware': 'uefi'}}
        )
        assert answer.status_code == 400
        [error] = answer.json['error']['errors']
        assert error['path'] == 'boot_test.firmware'
        answer = client.post(
            '/v1/builds', json={**asked, 'files': FILES, 'timeout': 300}
        )
        assert answer.status_code == 202, answer.json
        build_id = answer.json['id']
        build = wait_for(database, build_id, 'active', 'error')
        assert build.status == 'active', build.status_reason
        shown = client.get(f'/v1/builds/{build_id}').json
        assert shown['boot_test']['passed']
        # As much as is true of it.
        assert shown['request']['boot_test'] == {
            **BOOTED, 'cloud_init': False, 'systemd': True, 'ports': [],
            'timeout': 600,
        }  # fmt: skip
        answer = client.post(
            f'/v1/builds/{build_id}/promote', json={'channel': 'prod'}
        )
        assert answer.json['current_image_id'] == build.image_id, answer.json
    assert len(nova.made) == 2


def booted_in(nova, zone):
    with nova.lock:
        return [each for each in in_zone(nova, zone) if nova.boots_image(each)]


def in_zone(nova, zone):
    with nova.lock:
        return [
            server
            for server in nova.servers.values()
            if server.body.get('availability_zone') == zone
        ]


@contextlib.contextmanager
def killed_after(path, tmp_path):
    """A conductor of its own, which is killed after the block."""
    with (tmp_path / 'killed.log').open('wb') as log:
        killed = subprocess.Popen(
            [sys.executable, '-W', 'ignore', '-c', PROGRAM]
            + ['--config-file', str(path)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        yield
        killed.send_signal(signal.SIGKILL)
    finally:
        killed.kill()
        killed.wait()


def test_a_conductor_is_killed_at_every_stage(
    database, glance, nova, write_conf, run, add, tmp_path
):
    stages = ('BUILD', 'console', 'stop', 'image', 'boot')
    nova.of_zones = {stage: stage for stage in stages}
    with killed_after(write_conf('p1', max_builds=5), tmp_path):
        builds = [
            add(
                availability_zone=stage,
                boot_test=BOOTED if stage == 'boot' else None,
            )
            for stage in stages
        ]
        wait_until(lambda: all(in_zone(nova, stage) for stage in stages), 60)
        wait_until(lambda: in_zone(nova, 'stop')[0].status == 'stopping', 60)
        wait_until(lambda: booted_in(nova, 'boot'), 60)
        wait_until(lambda: len(glance.images) == 3, 60)
    # Of another service in the same cloud; it has nothing of ours.
    foreign = artifacts.AttemptStamp('another', builds[0], 1)
    kept = fake_nova.Server(
        'b' * 8 + '-0000-0000-0000-' + '0' * 12,
        {'name': foreign.name, 'metadata': foreign.properties()},
    )
    with nova.lock:
        nova.servers[kept.id] = kept
        nova.of_zones.clear()
    with run('c2', leak_grace=2, max_attempts=3, max_builds=5):
        for build_id in builds:
            build = wait_for(database, build_id, 'active', seconds=60)
            assert build.attempt == 2
        wait_until(lambda: list(nova.servers) == [kept.id])
        # The base image, and one of each build.
        wait_until(lambda: len(glance.images) == 6)


def test_a_server_that_boots_from_a_volume(
    database, glance, nova, cinder, run, add
):
    """Its image has data, and is handed over as others are."""
    with run(more='boot_from = volume\nvolume_size = 2\n'):
        build = wait_for(database, add(), 'active', 'error', seconds=60)
        assert build.status == 'active', build.status_reason
        wait_until(lambda: not cinder.volumes)
    record = glance.images[build.image_id]
    assert record['owner'] == conductors.PROJECT
    assert (record['name'], record['min_disk']) == ('web', 2)
    assert record['size']
    assert record['hw_disk_bus'] == 'virtio'
    assert record['imagebuild_build_id'] == build.id
    assert artifacts.ATTEMPT not in record
    assert nova.servers == {}
    assert not [act for _, _, act in nova.acts if act == 'createImage']


def test_volumes_that_fail_or_are_cancelled_leave_nothing(
    database, glance, nova, cinder, run, add
):
    cinder.types += ['made', 'written']
    cinder.of_types = {'made': 'create', 'written': 'upload'}
    with run(more='boot_from = volume\n', max_builds=3):
        slow = {kind: add(volume_type=kind) for kind in cinder.of_types}
        wait_until(lambda: states(cinder) == {'creating', 'uploading'}, 60)
        for build_id in slow.values():
            database.request_cancel(build_id)
        for build_id in slow.values():
            wait_for(database, build_id, 'cancelled', seconds=60)
        cinder.of_types.clear()
        cinder.gigabytes = 0
        full = wait_for(database, add(), 'error', seconds=60)
        wait_until(lambda: not cinder.volumes, 60)
        wait_until(lambda: nothing_is_left(glance, nova), 60)
    assert full.fault == 'service'
    assert 'has no room for a volume more' in full.status_reason


def states(cinder):
    with cinder.lock:
        return {each.status for each in cinder.volumes.values()}


def test_a_conductor_with_volumes_is_killed_at_every_stage(
    database, glance, nova, cinder, neutron, write_conf, run, add, tmp_path
):
    """Also while it waits for a server that lets nobody in."""
    of_nova = ('BUILD', 'console', 'stop', 'delete')
    of_cinder = ('create', 'upload')
    nova.of_zones = {stage: stage for stage in of_nova}
    cinder.types += of_cinder
    cinder.of_types = {stage: stage for stage in of_cinder}
    network = '0a5c3ab8-5b5d-4a3c-8f60-1f3c0d1e2a9b'
    more = f'boot_from = volume\nfloating_network = {network}\n'
    with killed_after(write_conf('p1', more=more, max_builds=7), tmp_path):
        builds = [add(availability_zone=stage) for stage in of_nova]
        builds += [add(volume_type=stage) for stage in of_cinder]
        reached = add(configure='ssh', networks=[network])
        wait_until(lambda: all(in_zone(nova, stage) for stage in of_nova), 90)
        wait_until(lambda: in_zone(nova, 'stop')[0].status == 'stopping', 90)
        wait_until(lambda: states(cinder) >= {'creating', 'uploading'}, 90)
        wait_until(lambda: neutron.addresses, 90)
        wait_until(lambda: deletion_was_asked_for(nova), 90)
    assert len(cinder.volumes) == len(builds) + 1
    database.request_cancel(reached)
    with nova.lock, cinder.lock:
        nova.of_zones.clear()
        cinder.of_types.clear()
    with run('c2', more=more, leak_grace=2, max_attempts=3, max_builds=4):
        for build_id in builds:
            build = wait_for(database, build_id, 'active', seconds=120)
            assert build.attempt == 2
        wait_for(database, reached, 'cancelled', seconds=60)
        wait_until(lambda: not nova.servers, 60)
        wait_until(lambda: not neutron.addresses, 60)
        wait_until(lambda: not cinder.volumes, 60)
        # The base image, and one of each build.
        wait_until(lambda: len(glance.images) == 1 + len(builds), 60)


def deletion_was_asked_for(nova):
    """Of the server that does not go."""
    [server] = in_zone(nova, 'delete')
    return ('POST', f'/servers/{server.id}/action', 'forceDelete') in nova.acts
