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
"""A system on a disk that nobody has booted: its beginning and its end."""

import pathlib
from typing import Any

import pytest

from imagebuild import exception
from imagebuild.remotes import base
from imagebuild.remotes import disk_remote
from imagebuild.remotes import guest_handle
from imagebuild.remotes import invocations
from tests.unit.remotes import local_handle
from tests.unit.remotes import test_guest_faults

RESOLVER = '/etc/resolv.conf'
CONTEXTS = '/etc/selinux/strict/contexts/files/file_contexts'


class Handle(local_handle.LocalHandle):
    """With one file system, and flags of chattr(1) that are only noted."""

    def __init__(self, root: pathlib.Path) -> None:
        super().__init__(root)
        self._flags: set[str] = set()
        self._busy = False
        self._done: list[str] = []
        self._labels: dict[str, str] = {}

    def mountpoints(self) -> dict[str, str]:
        return {'/dev/sda1': '/', '/dev/sda2': '/boot/efi'}

    def fstrim(self, target: str) -> None:
        self._done.append(f'trim {target}')
        if target != '/':
            raise RuntimeError('not supported')

    def umount_all(self) -> None:
        if self._busy:
            raise RuntimeError('umount: target is busy')
        self._done.append('unmount')

    def lsetxattr(self, name: str, value: str, size: int, path: str) -> None:
        self._labels[path] = value

    def get_e2attrs(self, path: str) -> str:
        return ''.join(sorted(self._flags))

    def set_e2attrs(
        self, path: str, attributes: str, *, clear: bool = False
    ) -> None:
        change = self._flags.difference if clear else self._flags.union
        self._flags = set(change(attributes))


class Remote(disk_remote.DiskRemote):
    def __init__(self, handle: Handle) -> None:
        super().__init__('some.qcow2')
        self.handle = handle
        self.code = 0
        self.printed = ''
        self.restless = False
        self.done: list[str] = []

    @property
    def _handle(self) -> guest_handle.MountHandle:
        handle: Any = self.handle
        return handle  # type: ignore[no-any-return]

    def _exec(
        self,
        invocation: invocations.Invocation,
        on_output: base.OutputCallback | None,
    ) -> invocations.Ending:
        self.done.append(' '.join(invocation.argv))
        printed = self.printed if '-n' in invocation.argv else ''
        return invocations.Ending(self.code, False, printed, '')

    def _quiesce(self) -> None:
        if self.restless:
            raise RuntimeError('no room')
        self.done.append('rest')

    def _unquiesce(self) -> None:
        self.done.append('wake')

    def _let_go(self) -> None:
        self.done.append('let go')

    def close(self) -> None:
        self.done.append('close')


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin/sh').write_text('#!/no/elf\n')
    (tmp_path / 'etc').mkdir()
    (tmp_path / 'etc/resolv.conf').touch()
    return tmp_path


@pytest.fixture
def remote(root: pathlib.Path) -> Remote:
    return Remote(Handle(root))


def test_a_shell_for_another_machine(
    remote: Remote, root: pathlib.Path
) -> None:
    (root / 'bin/sh').write_bytes(test_guest_faults.elf(2))
    with pytest.raises(exception.InvalidImage, match=r'some\.qcow2.*sparc'):
        remote.run(['true'])
    assert remote.done == []


def test_from_beginning_to_end(remote: Remote) -> None:
    """An immutable resolv.conf is one again in the end."""
    remote.handle._flags = {'e', 'i'}
    remote.run(['true'])
    assert remote.handle._flags == {'e'}
    remote.trim()
    remote.shutdown()
    assert remote.handle._flags == {'e', 'i'}
    assert remote.handle._done == ['trim /', 'trim /boot/efi', 'unmount']
    assert remote.done == ['true', 'let go', 'close']


def test_a_copy_of_a_disk_at_rest_is_as_the_guest_wants_it(
    remote: Remote,
) -> None:
    remote.handle._flags = {'e', 'i'}
    remote.run(['true'])
    with remote.quiesced():
        assert remote.handle._flags == {'e', 'i'}
        remote.done.append('copy')
    assert remote.handle._flags == {'e'}
    assert remote.done == ['true', 'rest', 'copy', 'wake']
    remote.shutdown()
    assert remote.handle._flags == {'e', 'i'}


def test_a_disk_that_cannot_be_quiesced(remote: Remote) -> None:
    remote.handle._flags = {'i'}
    remote.run(['true'])
    remote.restless = True
    with pytest.raises(exception.EnvironmentFault, match='no room'):
        with remote.quiesced():
            raise AssertionError
    assert remote.handle._flags == set()
    remote.shutdown()
    assert remote.handle._flags == {'i'}


@pytest.mark.parametrize(
    ('has_run', 'error'),
    [(True, exception.GuestBroken), (False, exception.EnvironmentFault)],
)
def test_what_cannot_be_unmounted(
    remote: Remote, has_run: bool, error: type[Exception]
) -> None:
    """Whose fault it is depends on whether something of theirs ran."""
    if has_run:
        remote.run(['true'])
    remote.handle._busy = True
    with pytest.raises(error, match=r'(?s)could not be unmounted.*is busy'):
        remote.shutdown()
    assert 'let go' not in remote.done


class TestLabels:
    @pytest.fixture(autouse=True)
    def selinux(self, root: pathlib.Path) -> None:
        contexts = root / CONTEXTS.lstrip('/')
        contexts.parent.mkdir(parents=True)
        contexts.touch()
        (root / 'etc/selinux/config').write_text(
            'SELINUX=enforcing\nSELINUXTYPE=strict\n'
        )

    def test_by_the_guests_own_program(self, remote: Remote) -> None:
        """Its resolv.conf has another name while the program runs."""
        label = 'system_u:object_r:net_conf_t:s0'
        remote.printed = f'Would relabel {RESOLVER} from (null) to {label}\n'
        assert 'were given' in remote.relabel_selinux()
        command, for_one = remote.done
        assert command.startswith('setfiles ')
        assert command.endswith(f'{CONTEXTS} /')
        assert for_one.endswith(f'-n -v {CONTEXTS} {RESOLVER}')
        assert remote.handle._labels == {RESOLVER: label}
        assert not remote.handle.exists('/.autorelabel')

    def test_at_the_first_boot_where_that_fails(self, remote: Remote) -> None:
        remote.code = 1
        assert 'first boot' in remote.relabel_selinux()
        assert remote.handle.is_file('/.autorelabel')

    def test_where_no_command_may(self, remote: Remote) -> None:
        """Then setfiles only tells, and is asked."""
        remote.commands_set_labels = False
        assert 'were given' in remote.relabel_selinux()
        (command,) = remote.done
        assert '-n -v' in command

    @pytest.mark.parametrize(
        'config', ['SELINUX=disabled\n', 'SELINUX=permissive\n', '']
    )
    def test_not_used_or_not_there(
        self, remote: Remote, root: pathlib.Path, config: str
    ) -> None:
        """A policy of the usual name is not installed here."""
        (root / 'etc/selinux/config').write_text(config)
        assert remote.relabel_selinux() == ''
        assert remote.done == []


def test_a_disk_that_cannot_be_looked_at(
    root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: Any) -> None:
        raise RuntimeError('Input/output error')

    remote = Remote(Handle(root))
    monkeypatch.setattr(disk_remote.guest_shell, 'check', refuse)
    with pytest.raises(exception.StepError, match='the image refuses'):
        remote.prepare()
