"""Boot tests of builds: real jobs and machines, a sector for a system."""

import contextlib
import os
import pathlib
import signal

import pytest

from imagebuild.conductor import process
from tests.functional import conductors
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
    'timeout': 50,
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


def add(database, console=LOGIN, *, disk_format='qcow2', then='wait', **test):
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


def test_the_end_of_a_flood_is_kept(database, run):
    run()
    build_id = add(database, 'x' * 390 + '\r\n', then='repeat', timeout=15)
    build = wait_for(database, build_id, 'error', seconds=60)
    assert 'the time of 15 seconds is up' in build.status_reason
    log = database.read_log(build_id)[0]
    assert len(log) < 2 * 1024**2


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
    build_id = add(database, 'started\r\n')
    database.update_build(build_id, {'timeout': 8})
    build = wait_for(database, build_id, 'error', seconds=60)
    assert build.fault == 'user'
    assert 'booting the image' in build.status_reason
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
            wait_until(lambda: machines_in(f'{build_id}-2'))
            assert mine not in workspaces_in(tmp_path)
            database.request_cancel(build_id)
            wait_for(database, build_id, 'cancelled')
    if whom == 'conductor':
        with program(tmp_path, module=module, drivers='fake'):
            wait_until(lambda: machines_in(f'{build_id}-2'))
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
