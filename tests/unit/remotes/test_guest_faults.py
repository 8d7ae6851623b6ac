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
"""Whose fault it is, and that it is said."""

import platform
from typing import Any

import pytest

from imagebuild import exception
from imagebuild.remotes import guest_faults
from imagebuild.remotes import guest_flags
from imagebuild.remotes import guest_shell
from imagebuild.remotes import guest_wrapper


@pytest.mark.parametrize(
    ('console', 'said'),
    [
        ('[   9.1] sysrq: Resetting\n', 'SysRq'),
        ('Kernel panic - not syncing: sysrq triggered crash', 'panicked'),
        ('[ 8.0] reboot: Restarting system\n', 'shut down from inside'),
        ('Out of memory: Killed process 181 (guestfsd)', 'the memory'),
    ],
)
def test_the_guest_ended_it(console: str, said: str) -> None:
    error = guest_faults.ended_by_guest('x.sh', console)
    assert error is not None
    assert (error.fault, error.exit_code) == ('user', 1)
    assert 'x.sh' in str(error)
    assert said in str(error)


def test_something_else_ended_it() -> None:
    assert guest_faults.ended_by_guest('x.sh', 'random: crng init') is None


def test_a_guest_that_silences_its_console() -> None:
    error = guest_faults.ended_by_guest('x.sh', '', by_guest=True)
    assert error is not None
    assert 'shut down from inside' in str(error)


def test_resolver_is_named() -> None:
    error = RuntimeError(
        'command: rename: /sysroot/etc/resolv.conf to /sysroot/etc/rt5: '
        'Operation not permitted'
    )
    assert 'immutable' in str(guest_faults.not_started(error))
    assert guest_faults.not_started(error).fault == 'user'


@pytest.mark.parametrize(
    ('line', 'flags', 'stuck'),
    [
        ('0 ended same -', '', False),
        ('0 ended changed -ia', 'ai', False),
        ('0 ended changed -i', 'i', False),
        ('0 ended same stuck', '', True),
        ('0 ended same stucki', 'i', True),
        # Whoever controls the guest can print anything.
        ('0 ended same -i--e/x', 'i', False),
    ],
)
def test_what_became_of_the_resolver(
    line: str, flags: str, *, stuck: bool
) -> None:
    ending = guest_wrapper.parse(f'noise\n{line}\n')
    assert (ending.flags, ending.stuck) == (flags, stuck)


class Shell:
    """A guest with this /bin/sh."""

    def __init__(self, header: bytes | None, error: str = '') -> None:
        self._header = header
        self._error = error

    def realpath(self, _path: str) -> str:
        if self._error:
            raise RuntimeError(self._error)
        return '/usr/bin/dash'

    def is_file(self, _path: str) -> bool:
        return self._header is not None

    def pread(self, _path: str, count: int, _offset: int) -> bytes:
        return (self._header or b'')[:count]


def elf(machine: int, order: Any = 'little') -> bytes:
    data = 2 if order == 'big' else 1
    head = b'\x7fELF\x02' + bytes([data, 1]) + bytes(9)
    return head + (3).to_bytes(2, order) + machine.to_bytes(2, order)


@pytest.mark.parametrize(
    ('shell', 'said'),
    [
        (Shell(elf(183)), 'it is for aarch64, and this host is x86_64'),
        (Shell(elf(22, 'big')), 'it is for s390x'),
        (Shell(elf(4711)), '4711'),
        (Shell(None), 'not a file'),
        (Shell(b'', 'realpath: Too many levels'), 'Too many levels'),
    ],
)
def test_shell_that_cannot_run(
    shell: Shell, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, 'machine', lambda: 'x86_64')
    with pytest.raises(exception.InvalidImage, match=said) as caught:
        guest_shell.check(shell, 'some.img')
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    'header', [elf(62), elf(3), b'#!/bin/busybox sh\n', b'']
)
def test_shell_that_can(
    header: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, 'machine', lambda: 'x86_64')
    guest_shell.check(Shell(header), 'some.img')


class Flags:
    """A guest whose resolv.conf has flags."""

    def __init__(self, flags: str) -> None:
        self.flags = set(flags)

    def is_file(self, _path: str) -> bool:
        return True

    def get_e2attrs(self, _path: str) -> str:
        return ''.join(sorted(self.flags))

    def set_e2attrs(
        self, _path: str, flags: str, *, clear: bool = False
    ) -> None:
        if clear:
            self.flags -= set(flags)
        else:
            self.flags |= set(flags)


def test_immutable_resolver() -> None:
    guest = Flags('eia')
    held = guest_flags.clear(guest)
    assert guest.flags == {'e'}
    guest_flags.put_back(guest, held)
    assert guest.flags == set('eia')
