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
"""Boot tests of builds: real jobs and machines, a sector for a system."""

import contextlib
import os
import pathlib
import signal

import pytest

from imagebuild import job as jobs
from imagebuild.boot import availability
from imagebuild.conductor import process
from imagebuild.drivers import fake
from tests.functional import conductors
from tests.functional import job_process
from tests.functional import upload_service
from tests.functional.conductors import processes_with
from tests.functional.conductors import wait_for
from tests.functional.conductors import wait_until
from tests.functional.conductors import workspaces_in
from tests.functional.test_conductor_process import program

LOGIN = '\r\nfake login: '
WANTED = {
    'firmware': 'bios',
    'memory': 64,
    'cpus': 1,
    'disk_size': 0,
    'timeout': 200,
    'console': [],
    'cloud_init': False,
    'systemd': False,
    'ports': [],
    'commands': [],
}


@pytest.fixture
def database(tmp_path):
    return conductors.make_database(tmp_path)


@pytest.fixture
def run(tmp_path, database):
    """Start a conductor with real jobs."""
    started = []

    def run(boot_test='', **options):
        path = conductors.write_conf(
            tmp_path, 'c1', drivers='fake', max_attempts=2, **options
        )
        path.write_text(f'{path.read_text()}[boot_test]\n{boot_test}\n')
        started.append(process.from_conf(conductors.read_conf(path)))
        started[-1].start()
        return started[-1]

    yield run
    for each in started:
        each.stop()


def add(
    database,
    console=LOGIN,
    *,
    disk_format='qcow2',
    then='wait',
    seconds=240,
    **test,
):
    options = {'console': console, 'then': then}
    return conductors.add_build(
        database,
        request={
            'name': 'x',
            'driver': 'fake',
            'disk_format': disk_format,
            'driver_options': options,
            'boot_test': {**WANTED, **test},
        },
        base={'kind': 'none', 'driver_options': options},
        timeout=seconds,
    )


def in_the_machine(database, build_id, text='started'):
    def look():
        return text in database.read_log(build_id)[0]

    wait_until(look)


def test_formats(tmp_path, database, run):
    run(max_builds=2)
    ids = {
        each: add(database, disk_format=each)
        for each in ('qcow2', 'raw', 'vmdk', 'vdi', 'vhd')
    }
    for disk_format, build_id in ids.items():
        build = wait_for(database, build_id, 'active', 'error', seconds=60)
        assert build.status == 'active', (disk_format, build.status_reason)
        assert build.boot_test['passed']
        [finding] = build.boot_test['findings']
        assert finding['what'] == '"login:" on the console'
        assert build.phases['spent']['boot_test'] > 0
        log = database.read_log(build_id)[0]
        assert 'fake login:' in log
        assert 'it boots as expected' in log
        assert '\x1b' not in log
    assert workspaces_in(tmp_path) == []
    assert processes_with(str(tmp_path)) == []


def test_one_that_does_not_boot(tmp_path, database, run):
    run()
    build_id = add(
        database,
        '\r\nKernel panic - not syncing: VFS: Unable to mount root\r\n',
    )
    build = wait_for(database, build_id, 'error', seconds=60)
    assert build.fault == 'user'
    assert build.attempt == 1, 'it is not retried'
    assert build.status_reason == (
        'The image does not boot as expected: the kernel panicked: VFS: '
        'Unable to mount root ("login:" on the console: it was not there). '
        'The console says: Kernel panic - not syncing: VFS: Unable to mount '
        'root'
    )
    assert not build.boot_test['passed']
    assert build.boot_test['telling'] == [
        'Kernel panic - not syncing: VFS: Unable to mount root'
    ]
    assert build.phases['current'] == 'boot_test'
    assert conductors.images_in(tmp_path) == []
    assert database.list_artifacts(build_id=build_id) == []
    assert workspaces_in(tmp_path) == []


def test_a_host_without_qemu_is_no_fault_of_the_user(
    database, run, monkeypatch
):
    run(retry_delay=0)
    monkeypatch.setenv('PATH', '/nonexistent')
    build_id = add(database)
    build = wait_for(database, build_id, 'error', seconds=60)
    assert (build.fault, build.attempt) == ('service', 2)
    assert build.boot_test is None


def test_cancelled(tmp_path, database, run):
    run()
    build_id = add(database, 'started\r\n')
    in_the_machine(database, build_id)
    assert processes_with(f'{build_id}-1')
    database.request_cancel(build_id)
    wait_for(database, build_id, 'cancelled')
    assert processes_with(f'{build_id}-1') == []
    assert workspaces_in(tmp_path) == []


def test_the_time_of_the_build_is_up(database, run):
    run()
    build_id = add(database, 'started\r\n', seconds=6)
    build = wait_for(database, build_id, 'error', seconds=60)
    assert build.fault == 'user'
    assert 'limit of 6 seconds' in build.status_reason
    assert build.boot_test is None


@pytest.mark.parametrize('whom', ['job', 'conductor'])
def test_killed(tmp_path, database, whom):
    """kill -9 leaves no machine, and another attempt is made."""
    module = 'imagebuild.cmd.conductor'
    with program(
        tmp_path, module=module, drivers='fake', max_attempts=5
    ) as conductor:
        build_id = add(database, 'started\r\n')
        in_the_machine(database, build_id)
        mine = f'{build_id}-1'
        machines = machines_in(mine)
        assert len(machines) == 1
        if whom == 'job':
            os.kill(job_in(mine), signal.SIGKILL)
        else:
            conductor.kill()
            conductor.wait()
        wait_until(lambda: not processes_with(mine))
        if whom == 'job':
            wait_until(lambda: machines_in(f'{build_id}-2'), seconds=90)
            assert mine not in workspaces_in(tmp_path)
            database.request_cancel(build_id)
            wait_for(database, build_id, 'cancelled')
    if whom == 'conductor':
        with program(tmp_path, module=module, drivers='fake'):
            wait_until(lambda: machines_in(f'{build_id}-2'), seconds=90)
            assert mine not in workspaces_in(tmp_path)
    wait_until(lambda: not processes_with(str(tmp_path)))


def machines_in(name):
    return [
        pid
        for pid in processes_with(f'{name}/')
        if program_of(pid).startswith('qemu-')
    ]


def job_in(name):
    [found] = [
        pid
        for pid in processes_with(name)
        if 'imagebuild.job' in program_of(pid)
    ]
    return found


def program_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().decode()
    return ''


def test_no_secret_is_said(tmp_path):
    """What a machine says has no values of hidden arguments in it."""
    workspace = tmp_path / 'workspace'
    workspace.mkdir()
    secret = 'correct horse'
    job = job_process.Job(jobs.command(), tmp_path / 'stderr')
    job.send(
        {
            'action': 'build',
            'build_id': 'b1',
            'attempt': 1,
            'workspace': str(workspace),
            'request': {
                'manifest': {
                    'arguments': {
                        'password': {'hidden': True, 'required': True}
                    },
                    'validators': [{'package': 'nginx'}],
                },
                'arguments': {'password': secret},
                'boot_test': {**WANTED, 'console': [secret, 'never']},
            },
            'base': {'kind': 'none', 'driver': 'fake'},
            'driver': 'fake',
            'driver_options': {
                'console': f'\r\nKernel panic - not syncing: {secret}\r\n'
            },
            'output': str(workspace / 'image'),
            'disk_format': 'qcow2',
            'config': {'disks': {'cache_dir': str(tmp_path / 'cache')}},
        }
    )
    assert job.wait() == 1
    said = b''.join(job.lines).decode() + job.stderr
    job.close()
    assert job.events[-1]['fault'] == 'user', job.events[-1]
    assert 'Kernel panic - not syncing: ***' in said
    assert secret not in said


# -- asked for by the API ----------------------------------------------------

SMALL = {'memory': 64, 'cpus': 1}


@pytest.fixture
def service(tmp_path):
    made = upload_service.Service(tmp_path)
    made.start()
    yield made
    made.stop()
    made.conf.clear()


def build(service, console=LOGIN, **request):
    return service.build(driver_options={'console': console}, **request)


def test_from_the_request_to_the_image(service):
    made = build(service, boot_test=SMALL)
    assert made.status == 'active', made.status_reason
    shown = service.ask('GET', f'/v1/builds/{made.id}').json
    assert shown['boot_test']['passed']
    assert shown['request']['boot_test'] == {**WANTED, 'timeout': 600}
    assert 'boot_test' in {
        each['name'] for each in shown['progress']['phases']
    }
    [listed] = service.ask('GET', '/v1/builds').json['builds']
    assert listed['boot_test']['findings'] == []
    assert 'boot_test' not in listed['request']
    [conductor] = service.ask('GET', '/v1/conductors').json['conductors']
    assert conductor['boot_tests']['bios'] == []

    # Nobody who wants it booted is given one that was not, or the reverse.
    again = build(service, boot_test=SMALL)
    assert again.reused_from == made.id
    assert again.boot_test == made.boot_test
    without = build(service)
    assert without.reused_from is None
    assert without.boot_test is None
    other = build(service, boot_test={**SMALL, 'console': ['fake']})
    assert other.reused_from is None


def test_from_the_request_to_the_error(service, tmp_path):
    made = build(
        service, '\r\nSHELL: no\r\n', boot_test={**SMALL, 'timeout': 4}
    )
    assert (made.status, made.fault) == ('error', 'user')
    assert 'the time of 4 seconds is up' in made.status_reason
    assert service.stored('images') == []
    assert [*(tmp_path / 'repository/artifacts').iterdir()] == []


def test_required(service):
    service.conf.set_override('required', True, 'boot_test')
    service.conf.set_override('memory', 64, 'boot_test')
    made = build(service)
    assert made.boot_test['passed']
    service.conf.set_override('require_boot_test', ['prod'], 'promotion')
    promoted = service.ask(
        'POST', f'/v1/builds/{made.id}/promote', channel='prod'
    )
    assert promoted.status_code == 200, promoted.json
    assert promoted.json['current_image_id'] == made.image_id
    answer = service.ask(
        'POST', '/v1/builds', name='x', os='fake-os', boot_test=False
    )
    assert answer.status_code == 400
    assert 'boots every image' in answer.json['error']['message']


@pytest.mark.parametrize(
    ('section', 'boot_test', 'path', 'message'),
    [
        ({}, {'ports': ['ssh']}, 'boot_test.ports[0]', 'not of type'),
        ({}, {'memory': 8192}, 'boot_test.memory', 'at most 4096 MiB'),
        ({'enabled': False}, True, 'boot_test', 'boots no images'),
    ],
)
def test_refused(service, section, boot_test, path, message):
    for name, value in section.items():
        service.conf.set_override(name, value, 'boot_test')
    answer = service.ask(
        'POST', '/v1/builds', name='x', os='fake-os', boot_test=boot_test
    )
    assert answer.status_code == 400
    [error] = answer.json['error']['errors']
    assert error['path'] == path
    assert message in error['message']
    assert service.database.list_builds() == []


def test_no_conductor_boots_images(service, monkeypatch):
    monkeypatch.setattr(availability, 'missing', lambda _firmware: ['no QEMU'])
    service.stop()
    service.start()
    answer = service.ask(
        'POST', '/v1/builds', name='x', os='fake-os',
        boot_test={'firmware': 'uefi'},
    )  # fmt: skip
    assert answer.status_code == 400
    [error] = answer.json['error']['errors']
    assert error['path'] == 'boot_test'
    assert 'c1 boots no images with uefi (no QEMU)' in error['message']


def test_an_image_that_a_cloud_makes(service):
    answer = service.ask(
        'POST', '/v1/builds', name='x', os='fake-os', boot_test=True,
        driver_options={'artifact': 'image'},
    )  # fmt: skip
    assert answer.status_code == 400
    assert 'is not booted here' in answer.json['error']['message']


def test_a_driver_that_boots_what_it_makes(service, monkeypatch):
    """Nothing of this host is needed, and nothing is said of a machine."""
    monkeypatch.setattr(availability, 'missing', lambda _firmware: ['no QEMU'])
    monkeypatch.setattr(fake.FakeDriver, 'boots', True)
    service.stop()
    service.start()
    [conductor] = service.ask('GET', '/v1/conductors').json['conductors']
    assert conductor['boot_tests'] == {
        'bios': ['no QEMU'], 'uefi': ['no QEMU'], 'fake': []
    }  # fmt: skip
    plan = {'name': 'x', 'os': 'fake-os'}
    answer = service.ask(
        'POST', '/v1/builds/plan', **plan, boot_test={'systemd': True}
    )
    assert answer.json['conductors'] == ['c1'], answer.json
    answer = service.ask(
        'POST', '/v1/builds/plan', **plan, boot_test={'cpus': 2, 'memory': 512}
    )
    assert answer.status_code == 400
    assert {
        (each['path'], each['message'].partition(':')[0])
        for each in answer.json['error']['errors']
    } == {
        (f'boot_test.{name}', 'the driver "fake" has this cloud boot the '
         'image, in a machine as its flavor and the image say')
        for name in ('cpus', 'memory')
    }  # fmt: skip


def test_machines_wait_for_each_other(tmp_path, database, run):
    run('max_running = 1', max_builds=2)
    first = add(database, 'started\r\n')
    in_the_machine(database, first)
    second = add(database)
    in_the_machine(database, second, 'Waiting for other machines')
    database.request_cancel(first)
    assert wait_for(database, second, 'active', seconds=60)
    assert database.get_build(first).status == 'cancelled'


def test_runs_of_a_pipeline(tmp_path, database, run):
    run()
    options = {'console': LOGIN}
    id = database.create_pipeline(
        {
            'project_id': conductors.PROJECT,
            'name': 'web',
            'os': 'fake-os',
            'request': {
                'name': 'web',
                'os': 'fake-os',
                'driver_options': options,
                'boot_test': WANTED,
            },
            'max_age': 3600,
            'max_failures': 1,
            'current_tag': 'current',
        }
    ).id
    wait_until(lambda: database.get_pipeline(id).current_build_id, 60)
    [made] = database.builds_of_pipeline(id)
    assert made.boot_test['passed']
