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
"""Whose fault it is what a disk does to its appliance; there is none here."""

import concurrent.futures
import os
import pathlib
import threading
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from imagebuild import appliance as appliances
from imagebuild import exception
from imagebuild.disks import grow
from imagebuild.remotes import appliance_state
from imagebuild.remotes import guest_leftovers
from imagebuild.remotes import guestfs
from imagebuild.remotes import output
from imagebuild.remotes import output_channel
from imagebuild.remotes import qemu_events
from tests.unit.remotes import local_handle

PANIC = 'Kernel panic - not syncing: EXT4-fs (device sda): panic forced\n'
STATE = appliance_state.State({}, [], [], {}, [], [], 0)


def no_text(*_args: Any, **_kw: Any) -> str:
    return b'a\xff'.decode()


class Handle(local_handle.LocalHandle):
    """A disk with one file system, which is a directory."""

    _kind = 'ext4'
    _on_end: Callable[[], None] = print

    def get_pid(self) -> int:
        return os.getpid()

    def get_network(self) -> bool:
        return False

    def list_devices(self) -> list[str]:
        return ['/dev/sda']

    def list_partitions(self) -> list[str]:
        return []

    def blockdev_getsize64(self, _device: str) -> int:
        return 2**30

    def vfs_type(self, _device: str) -> str:
        return self._kind

    def list_filesystems(self) -> dict[str, str]:
        return {'/dev/sda': self._kind}

    def blkid(self, _device: str) -> dict[str, str]:
        return {'UUID': '1'}

    def umount_all(self) -> None:
        pass

    def mount(self, device: str, target: str) -> None:
        pass

    def mount_ro(self, device: str, target: str) -> None:
        pass

    def mountpoints(self) -> dict[str, str]:
        return {'/dev/sda': '/'}

    def close(self) -> None:
        pass


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the appliance is ended."""
    event = threading.Event()
    monkeypatch.setattr(appliances.Appliance, 'kill', lambda _: event.set())
    return event


@pytest.fixture
def handle(tmp_path: pathlib.Path, ended: threading.Event) -> Handle:
    root = tmp_path / 'root'
    for name in ('etc', 'bin', 'tmp'):
        (root / name).mkdir(parents=True)
    (root / 'etc/os-release').write_text('ID=debian\n')
    (root / 'bin/sh').write_text('#!')
    return Handle(root)


@pytest.fixture
def console() -> list[str]:
    """What the appliance's kernel has printed."""
    return []


@pytest.fixture
def opened(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    handle: Handle,
    console: list[str],
) -> Iterator[Callable[..., guestfs.GuestfsRemote]]:
    """Opens the disk."""
    for owner, name, value in (
        (output_channel.OutputChannel, 'connected', None),
        (qemu_events.QemuEvents, 'ended_by_guest', False),
        (appliance_state, 'look', STATE),
    ):
        stub = mock.create_autospec(getattr(owner, name), return_value=value)
        monkeypatch.setattr(owner, name, stub)
    work = tmp_path / 'work'
    work.mkdir()
    with concurrent.futures.ThreadPoolExecutor(1) as worker:
        appliance = appliances.Appliance(handle, 'tcg', work, None, worker)
        appliance.started()
        appliance.listen(console)
        # No kernel gives such an id.
        handle._on_end = lambda: setattr(appliance, '_pid', 2**22 + 1)
        monkeypatch.setattr(
            appliances,
            'launch',
            mock.create_autospec(appliances.launch, return_value=appliance),
        )
        drives = [appliances.Drive(tmp_path / 'disk', 'raw')]
        yield lambda **kw: guestfs.GuestfsRemote(drives, image='it', **kw)


Opened = Callable[..., guestfs.GuestfsRemote]


def dies(
    handle: Handle, console: list[str], *printed: str
) -> Callable[..., None]:
    def die(*_args: Any, **_kw: Any) -> None:
        handle._on_end()
        console.extend(printed)
        raise RuntimeError('appliance closed the connection unexpectedly')

    return die


def test_a_good_disk(opened: Opened) -> None:
    assert opened().root == '/dev/sda'


@pytest.mark.parametrize('call', ['mount_ro', 'mount', 'list_devices'])
def test_a_disk_that_panics_the_kernel(
    opened: Opened, handle: Handle, console: list[str], call: str
) -> None:
    setattr(handle, call, dies(handle, console, 'booting\n', PANIC))
    with pytest.raises(exception.GuestBroken) as caught:
        opened()
    assert str(caught.value) == (
        'What is on the disk broke the run: the appliance that has the disk '
        'ended: its kernel panicked.'
    )
    assert caught.value.fault == 'user'


def test_an_appliance_that_somebody_else_ended(
    opened: Opened, handle: Handle, console: list[str]
) -> None:
    setattr(handle, 'mount', dies(handle, console, 'booting\n'))  # noqa: B010
    with pytest.raises(exception.ApplianceFailed):
        opened()


def test_a_panic_where_labels_are_set(
    opened: Opened, handle: Handle, console: list[str]
) -> None:
    """No command runs, but what is read is the disk's."""
    remote = opened()
    setattr(handle, 'is_file', dies(handle, console, PANIC))  # noqa: B010
    with pytest.raises(exception.GuestBroken, match='kernel panicked'):
        remote.read_file('/etc/passwd')


def test_a_disk_without_an_end(
    monkeypatch: pytest.MonkeyPatch,
    opened: Opened,
    handle: Handle,
    ended: threading.Event,
) -> None:
    monkeypatch.setattr(guestfs, '_SHORT', 0.3)
    setattr(handle, 'mount', lambda *_: ended.wait(60))  # noqa: B010
    with pytest.raises(exception.GuestBroken) as caught:
        opened()
    assert str(caught.value) == (
        'What is on the disk broke the run: one look at its files or file '
        'systems took more than 0 seconds, and the appliance that has the '
        'disk was ended.'
    )


def rest(remote: guestfs.GuestfsRemote) -> None:
    with remote.quiesced():
        raise AssertionError


@pytest.mark.parametrize(
    ('call', 'end'),
    [
        ('sync', rest),
        ('fstrim', guestfs.GuestfsRemote.trim),
        ('umount_all', guestfs.GuestfsRemote.shutdown),
    ],
)
def test_a_disk_of_this_host_that_stalls(
    monkeypatch: pytest.MonkeyPatch,
    opened: Opened,
    handle: Handle,
    ended: threading.Event,
    call: str,
    end: Callable[[guestfs.GuestfsRemote], None],
) -> None:
    """How long it takes to write all is not the guest's doing."""
    remote = opened()
    monkeypatch.setattr(guestfs, '_SHORT', 0.3)
    setattr(handle, call, lambda *_: ended.wait(60))
    with pytest.raises(exception.ApplianceFailed) as caught:
        end(remote)
    assert 'no answer within 0.3 seconds' in str(caught.value)
    assert caught.value.fault == 'service'


def test_a_command_that_outlived_what_it_did(
    monkeypatch: pytest.MonkeyPatch,
    opened: Opened,
    handle: Handle,
    console: list[str],
) -> None:
    """The console shows it; that is not what ended the appliance."""
    memory = 'Out of memory: Killed process 9 (cc1plus)\n'
    remote = opened()

    def run(*_args: Any) -> str:
        console.append(memory)
        return '0 ended same -\n'

    for owner, name in (
        (output.Collector, 'finish'),
        (guest_leftovers, 'undo'),
    ):
        stub = mock.create_autospec(getattr(owner, name), return_value=[])
        monkeypatch.setattr(owner, name, stub)
    setattr(handle, 'command', run)  # noqa: B010
    remote.run(['some'])
    setattr(handle, 'is_file', dies(handle, console))  # noqa: B010
    with pytest.raises(exception.ApplianceFailed):
        remote.read_file('/etc/passwd')


@pytest.mark.parametrize(
    ('printed', 'fault'), [('', 'service'), (PANIC, 'user')]
)
def test_what_was_printed_before_a_command(
    opened: Opened,
    handle: Handle,
    console: list[str],
    printed: str,
    fault: str,
) -> None:
    remote = opened()
    remote.prepare()
    console.append('Out of memory: Killed process 9 (blkid)\n')
    setattr(handle, 'command', dies(handle, console, printed))  # noqa: B010
    with pytest.raises(exception.ImageBuildError) as caught:
        remote.run(['some'])
    assert caught.value.fault == fault


@pytest.mark.parametrize('call', ['part_expand_gpt', 'part_resize'])
def test_a_partition_table_that_cannot_be_changed(
    opened: Opened, handle: Handle, call: str
) -> None:
    def refuse(*_args: Any) -> None:
        raise RuntimeError(f'{call}: sgdisk: invalid\npartition table')

    for name, value in {
        'part_get_parttype': lambda _: 'gpt',
        'part_list': lambda _: [{'part_num': 1, 'part_start': 1}],
        'part_expand_gpt': lambda _: None,
        call: refuse,
    }.items():
        setattr(handle, name, value)
    with pytest.raises(exception.InvalidImage) as caught:
        opened(before_mount=grow.partition)
    assert str(caught.value) == (
        'it cannot be used: the partition table cannot be made as large as '
        f'the disk is to be ({call}: sgdisk: invalid partition table).'
    )


def test_a_file_system_that_tells_nothing(
    opened: Opened, handle: Handle
) -> None:
    def refuse(*_args: Any) -> None:
        raise RuntimeError('no')

    remote = opened()
    setattr(handle, 'vfs_type', refuse)  # noqa: B010
    with pytest.raises(exception.StepError, match='the image refuses: no'):
        remote.with_handle(grow.filesystem, '/dev/sda')


# -- text that is none ------------------------------------------------------


def test_a_command_that_writes_where_its_wrapper_does(
    opened: Opened, handle: Handle
) -> None:
    """As ``printf '\\377' >/proc/$PPID/fd/1`` does."""
    remote = opened()
    setattr(handle, 'command', no_text)  # noqa: B010
    with pytest.raises(exception.GuestBroken) as caught:
        remote.run(['some'])
    assert 'some broke the run: its output was lost' in str(caught.value)


def test_names_of_subvolumes(
    opened: Opened, handle: Handle, tmp_path: pathlib.Path
) -> None:
    (tmp_path / 'root/etc/os-release').unlink()
    handle._kind = 'btrfs'
    setattr(handle, 'btrfs_subvolume_list', no_text)  # noqa: B010
    with pytest.raises(exception.NoOperatingSystem):
        opened()


def test_names_of_subvolumes_in_libguestfs_own_list(
    opened: Opened, handle: Handle
) -> None:
    handle._kind = 'btrfs'
    setattr(handle, 'list_filesystems', no_text)  # noqa: B010
    with pytest.raises(exception.InvalidImage, match='it is no text'):
        opened()


def test_a_label(
    opened: Opened, handle: Handle, tmp_path: pathlib.Path
) -> None:
    setattr(handle, 'blkid', no_text)  # noqa: B010
    notices: list[str] = []
    (tmp_path / 'root/etc/fstab').write_text('LABEL=x /data ext4 defaults\n')
    assert opened(on_notice=notices.append).root == '/dev/sda'
    assert 'its /etc/fstab mounts LABEL=x on /data' in notices[0]


# -- more than is looked at -------------------------------------------------


def test_a_table_of_many_mounts(
    opened: Opened, tmp_path: pathlib.Path
) -> None:
    lines = [f'/dev/sda /m{number} ext4\n' for number in range(9000)]
    (tmp_path / 'root/etc/fstab').write_text(''.join(lines))
    with pytest.raises(exception.InvalidImage) as caught:
        opened()
    assert str(caught.value) == (
        'it cannot be used: its /etc/fstab mounts 9000 file systems, and 500 '
        'are the most that are mounted.'
    )


@pytest.mark.parametrize('number', ['27', '9' * 5000])
def test_a_disk_that_nobody_has(
    opened: Opened, tmp_path: pathlib.Path, number: str
) -> None:
    notices: list[str] = []
    spec = f'/dev/nvme{number}n1'
    (tmp_path / 'root/etc/fstab').write_text(f'{spec} /data ext4 defaults\n')
    opened(on_notice=notices.append)
    assert f'mounts {spec} on /data' in notices[0]
