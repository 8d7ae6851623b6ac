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
import dataclasses
import signal
import subprocess
from unittest import mock

import pytest

from imagebuild import appliance
from imagebuild import exception
from imagebuild.disks import image_file
from imagebuild.disks import server
from imagebuild.disks import workspaces
from imagebuild.drivers import base
from imagebuild.drivers import isolations
from imagebuild.drivers import open_disk
from imagebuild.drivers import openings
from imagebuild.drivers import sandboxed_disk
from imagebuild.remotes import guest_settings
from imagebuild.remotes import guestfs


@pytest.fixture
def workspace(tmp_path):
    made = workspaces.Workspace(tmp_path / 'image')
    return made.__enter__()


@pytest.fixture
def running():
    """A process that stands for the appliance; whoever sweeps ends it."""
    with subprocess.Popen(['sleep', '60']) as process:
        yield process
        process.kill()


@pytest.fixture
def remotes(monkeypatch, running):
    """The Remote that is made, and what it is made with."""
    made = mock.create_autospec(guestfs.GuestfsRemote, instance=True)
    made.__enter__.return_value = made
    made.__exit__.side_effect = lambda *_: made.close()
    made.relabel_selinux.return_value = ''
    made.appliance = mock.create_autospec(appliance.Appliance, instance=True)
    made.appliance.pid = running.pid

    def make(drives, *, on_started, **given):
        on_started(made.appliance)
        made.drives, made.given = drives, given
        return made

    made.factory = mock.Mock(side_effect=make)
    monkeypatch.setattr(guestfs, 'GuestfsRemote', made.factory)
    return made


@pytest.fixture
def opening(workspace):
    path = workspace.path / 'overlay.qcow2'
    return openings.Opening(
        image_file.ImageInfo(path, 'qcow2', 1024**3, 0),
        'the image',
        workspace,
        guest_settings.GuestSettings(),
    )


@pytest.fixture
def monitor():
    return mock.create_autospec(base.DiskMonitor, instance=True)


def open_it(opening, monitor, start=contextlib.nullcontext):
    return open_disk.opened(opening, start=start, notices=monitor)


def test_opened_and_closed_in_good_order(opening, remotes, monitor):
    remotes.relabel_selinux.return_value = 'labelled'
    with open_it(opening, monitor) as disk:
        assert disk.remote is remotes
        assert remotes.drives == [appliance.Drive(opening.disk.path, 'qcow2')]
        disk.close(trim=True)
    assert [call[0] for call in remotes.method_calls][-5:] == [
        'prepare', 'relabel_selinux', 'trim', 'shutdown', 'close'
    ]  # fmt: skip
    monitor.notice.assert_called_once_with('labelled')


def test_nothing_is_trimmed_unasked(opening, remotes, monitor):
    with open_it(opening, monitor) as disk:
        disk.close(trim=False)
    remotes.trim.assert_not_called()
    remotes.shutdown.assert_called_once_with()


def test_what_runs_ends_with_the_workspace(
    opening, remotes, monitor, workspace, running
):
    with open_it(opening, monitor):
        assert running.poll() is None
    workspace.__exit__(None, None, None)
    assert running.wait(60) == -signal.SIGKILL


def test_start_is_what_takes_time(opening, remotes, monitor):
    start = mock.MagicMock()
    with open_it(opening, monitor, start):
        start.assert_called_once_with('appliance')
        start.return_value.__exit__.assert_called_once()
        remotes.prepare.assert_called_once_with()


def test_closed_when_it_cannot_be_looked_at(opening, remotes, monitor):
    remotes.prepare.side_effect = exception.InvalidImage(
        path='image', reason='no shell'
    )
    with (
        pytest.raises(exception.InvalidImage, match='no shell'),
        open_it(opening, monitor),
    ):
        pytest.fail('it is open')
    remotes.close.assert_called_once_with()


@pytest.mark.parametrize(
    'option, message',
    [
        ('', 'The image holds .* with --root-filesystem: /dev/sda1'),
        ('the option x', 'the image holds .* with the option x: /dev/sda1'),
    ],
)
def test_several_systems(opening, remotes, monitor, option, message):
    remotes.factory.side_effect = exception.AmbiguousRoot(found='/dev/sda1')
    opening = dataclasses.replace(opening, root_option=option)
    with (
        pytest.raises(exception.AmbiguousRoot, match=message),
        open_it(opening, monitor),
    ):
        pytest.fail('it is open')


@pytest.fixture
def not_for_sandbox(monkeypatch):
    refuse = mock.Mock(
        side_effect=exception.NotForSandbox(path='x', reason='it has LVM')
    )
    monkeypatch.setattr(sandboxed_disk, 'opened', refuse)
    return refuse


def test_falls_back_and_says_why(opening, remotes, monitor, not_for_sandbox):
    opening = dataclasses.replace(
        opening, choice=isolations.Choice('sandbox', may_fall_back=True)
    )
    starts = []

    @contextlib.contextmanager
    def start(kind):
        yield
        # Not reached by a start that failed.
        starts.append(kind)

    with open_it(opening, monitor, start) as disk:
        assert disk.remote is remotes
    assert starts == ['sandbox', 'appliance']
    monitor.notice.assert_called_once_with(
        'x cannot be opened in the sandbox: it has LVM. The appliance is used.'
    )


def test_nothing_else_was_wanted(opening, remotes, monitor, not_for_sandbox):
    opening = dataclasses.replace(opening, choice=isolations.Choice('sandbox'))
    with (
        pytest.raises(exception.NotForSandbox, match='LVM'),
        open_it(opening, monitor),
    ):
        pytest.fail('it is open')
    remotes.factory.assert_not_called()


# -- layers -------------------------------------------------------------------


class Session:
    layers = 1

    def __init__(self, isolation: str) -> None:
        self.isolation = isolation


@pytest.mark.parametrize(
    ('choice', 'isolation', 'expected'),
    [
        (isolations.Choice('sandbox', True), 'sandbox', ('sandbox', False)),
        # The host's kernel does not read what an appliance's scripts wrote.
        (
            isolations.Choice('sandbox', True),
            'appliance',
            ('appliance', False),
        ),
        (isolations.Choice('appliance'), 'appliance', ('appliance', False)),
        (isolations.Choice('appliance'), 'sandbox', ('appliance', False)),
        (isolations.Choice('sandbox'), 'appliance', ('sandbox', False)),
    ],
)
def test_layers_are_opened_where_they_were_written(
    choice, isolation, expected
):
    found = choice.for_layers(Session(isolation))
    assert (found.first, found.may_fall_back) == expected
    assert choice.for_layers(None) == choice


def test_a_dead_disk_server_is_no_fault_of_a_step(
    opening, remotes, monitor, monkeypatch
):
    """Under an appliance, too: what it reads and writes fails."""
    served = mock.create_autospec(server.DiskServer, instance=True)
    served.socket, served.EXPORT_NAME = '/w/nbd', 'disk'
    served.__enter__.return_value = served
    served.__exit__.return_value = None
    served.check.side_effect = exception.DiskServerFailed(reason='it is gone')
    monkeypatch.setattr(server, 'DiskServer', lambda *_, **__: served)
    opening = dataclasses.replace(opening, served=True)
    remotes.close.return_value = None
    failed = exception.StepFailed('Input/output error')
    failed.report = mock.sentinel.report
    with pytest.raises(exception.DiskServerFailed) as caught:
        with open_it(opening, monitor):
            raise failed
    assert caught.value.report is mock.sentinel.report
