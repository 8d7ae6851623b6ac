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
import contextlib
import pathlib
from unittest import mock

import pytest

from imagebuild import exception
from imagebuild import sandbox
from imagebuild.appliance import ApplianceSettings
from imagebuild.disks import grow
from imagebuild.disks import image_file
from imagebuild.disks import partitions
from imagebuild.disks import server
from imagebuild.disks import workspaces
from imagebuild.drivers import openings
from imagebuild.drivers import sandboxed_disk
from imagebuild.remotes import sandbox as remotes
from imagebuild.remotes import time_limit
from imagebuild.remotes.guest_settings import GuestSettings
from imagebuild.sandbox import mount_plan

BASE = image_file.ImageInfo(pathlib.Path('/base'), 'raw', 1024, 0)
TOP = image_file.ImageInfo(
    pathlib.Path('/overlay'), 'qcow2', 1024, 0, backing=BASE
)


@pytest.fixture
def order():
    """What was ended, in the order in which it was."""
    return []


@pytest.fixture
def supervisor(monkeypatch, order):
    made = mock.create_autospec(sandbox.Supervisor, instance=True)
    made.pid = 77
    made.__enter__.return_value = made
    made.__exit__.side_effect = lambda *_: order.append('supervisor')
    made.start = mock.create_autospec(
        sandbox.Supervisor.start, return_value=made
    )
    monkeypatch.setattr(sandbox.Supervisor, 'start', made.start)
    return made


@pytest.fixture
def disk_server(monkeypatch, order):
    made = mock.create_autospec(server.DiskServer, instance=True)
    made.path = pathlib.Path('/w/disk.raw')
    made.__enter__.return_value = made
    made.__exit__.side_effect = lambda *_: order.append('server')
    made.factory = mock.Mock(return_value=made)
    monkeypatch.setattr(server, 'DiskServer', made.factory)
    return made


@pytest.fixture
def remote(monkeypatch, order):
    made = mock.create_autospec(remotes.SandboxRemote, instance=True)
    made.__enter__.return_value = made
    made.__exit__.side_effect = lambda *_: order.append('remote')
    made.factory = mock.Mock(return_value=made)
    monkeypatch.setattr(remotes, 'SandboxRemote', made.factory)
    return made


@pytest.fixture
def workspace(tmp_path):
    made = mock.create_autospec(workspaces.Workspace, instance=True)
    made.path = tmp_path
    return made


@pytest.fixture
def opened(monkeypatch, supervisor, disk_server, remote, workspace):
    read = mock.Mock(return_value='layout')
    plan = mock.Mock(return_value='plan')
    monkeypatch.setattr(partitions, 'read', read)
    monkeypatch.setattr(mount_plan, 'plan', plan)

    @contextlib.contextmanager
    def opened(appliance=None, *, grown=False):
        settings = GuestSettings(
            appliance=appliance or ApplianceSettings(),
            root_filesystem='/dev/sda2',
            command_timeout=5,
            run_timeout=50,
        )
        opening = openings.Opening(
            TOP, 'the image', workspace, settings, grown=grown
        )
        notices = mock.create_autospec(openings.Notices, instance=True)
        with sandboxed_disk.opened(opening, notices) as found:
            read.assert_called_once_with(
                pathlib.Path('/proc/77/root/w/disk.raw'), image='the image'
            )
            yield found.remote

    opened.plan = plan
    return opened


def test_what_is_given_to_whom(opened, disk_server, remote, workspace):
    with opened() as found:
        assert found is remote
    [call] = disk_server.factory.mock_calls
    # The base first, as a server wants it.
    assert call.args == ((BASE, TOP), workspace.path)
    assert call.kwargs['export'] == 'fuse'
    assert workspace.record_process in call.kwargs.values()
    workspace.record_process.assert_called_once_with(77)
    opened.plan.assert_called_once_with(
        'layout', disk_server.path, image='the image'
    )
    given = remote.factory.mock_calls[0].kwargs
    settings = given['settings']
    assert settings.root_filesystem == '/dev/sda2'
    assert settings.command_timeout == 5
    assert given['image'] == 'the image'
    assert 49 < given['run_limit'].within(100) <= 50
    assert given['on_unmounted'] == disk_server.close
    remote.prepare.assert_called_once_with()


def test_limits_are_those_of_the_appliance(opened, supervisor):
    settings = ApplianceSettings(
        memory=900, cpus=3, network=False, allow_host_network=True
    )
    with opened(settings):
        pass
    assert supervisor.start.mock_calls[0].args == (
        sandbox.SandboxSettings(
            memory=900, cpus=3, network=False, allow_host_network=True
        ),
    )


def test_the_server_ends_last(opened, order):
    """The supervisor may still write to what is served."""
    with opened():
        assert order == []
    assert order == ['remote', 'supervisor', 'server']


def test_nothing_stays_of_a_disk_that_is_not_for_it(opened, order):
    opened.plan.side_effect = exception.NotForSandbox(path='x', reason='LVM')
    with pytest.raises(exception.NotForSandbox), opened():
        pytest.fail('it is open')
    assert order == ['supervisor', 'server']


@pytest.mark.parametrize(
    'code, raised',
    [(1, exception.NotForSandbox), ('none', exception.HostCommandFailed)],
)
def test_a_table_that_sfdisk_refuses(opened, monkeypatch, code, raised):
    """The appliance may do it; not where sfdisk does not run at all."""
    failed = exception.HostCommandFailed(
        program='sfdisk', exit_code=code, reason='overlapping.'
    )
    partition = mock.create_autospec(grow.partition, side_effect=failed)
    monkeypatch.setattr(grow, 'partition', partition)
    with pytest.raises(raised, match='overlapping'), opened(grown=True):
        pytest.fail('it is open')


STEP = exception.StepFailed('no space left')


@pytest.mark.parametrize(
    'failed, found, raised',
    [
        (STEP, None, exception.StepFailed),
        (STEP, exception.DiskFull(path='/w'), exception.DiskFull),
        (
            STEP,
            exception.DiskServerFailed(reason='it is gone'),
            exception.DiskServerFailed,
        ),
        (
            exception.EnvironmentFault('x'),
            exception.DiskFull(path='/w'),
            exception.EnvironmentFault,
        ),
    ],
)
def test_the_hosts_fault_is_not_the_users(
    opened, disk_server, failed, found, raised
):
    disk_server.check.side_effect = found
    failed.report = mock.sentinel.report
    with pytest.raises(exception.ImageBuildError) as caught, opened():
        raise failed
    assert type(caught.value) is raised
    assert caught.value.report is mock.sentinel.report


@pytest.mark.parametrize(
    'seen',
    [
        exception.NoOperatingSystem(path='x'),
        RuntimeError('/etc/fstab: Input/output error'),
        OSError(107, 'Transport endpoint is not connected'),
    ],
)
def test_a_daemon_that_dies_while_the_disk_is_mounted(
    opened, remote, disk_server, seen
):
    remote.factory.side_effect = seen
    disk_server.check.side_effect = exception.DiskServerFailed(reason='gone')
    with pytest.raises(exception.DiskServerFailed), opened():
        pytest.fail('it is open')


def test_its_start_is_within_the_limit_of_the_run(
    opened, supervisor, remote, monkeypatch
):
    now = [0.0]
    monkeypatch.setattr(
        time_limit.RunLimit.__init__, '__defaults__', (lambda: now[0],)
    )
    supervisor.start.side_effect = lambda *_, **__: (
        now.__setitem__(0, 30.0) or supervisor
    )
    with opened():
        pass
    [call] = remote.factory.mock_calls
    assert call.kwargs['run_limit'].within(100) == 20
