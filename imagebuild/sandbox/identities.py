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
"""Ids of this host that stand for a guest's, a range for each sandbox.

No process of a sandbox has an id that anything else on this host has. A range
is locked while a sandbox uses it: the kernel frees it with the last process
that has the lock open, however that ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib

#: Ids of one guest. Beside the 65536 of a plain Linux system these are the
#: ranges that its own users and containers have (/etc/subuid begins at 100000)
#: and ids of a directory service: what belongs to others can neither be made
#: nor be given away.
SIZE = 2**21
#: Behind what systemd gives to containers, below what does not fit in a
#: signed number.
_FIRST = 0x7000_0000
_RANGES = 128
#: root's alone, and empty after a boot.
_LOCKS = pathlib.Path('/run/imagebuild/sandbox-ids')
_PREFIX = 'imagebuild-'
_TABLES = ('passwd', 'group', 'subuid', 'subgid')


class NoneLeft(Exception):
    """All ranges are in use."""


class Identities:
    """A range of ids, this process's until it ends.

    :ivar first: the one that stands for root; :data:`SIZE` follow.
    :ivar lock: descriptor that keeps it; to be closed in every child.
    """

    def __init__(self, first: int, lock: int) -> None:
        self.first = first
        self.lock = lock

    @property
    def name(self) -> str:
        """What is named after it on this host; nobody else has the name."""
        return f'{_PREFIX}{self.first}'


def take(
    locks: pathlib.Path = _LOCKS, etc: pathlib.Path = pathlib.Path('/etc')
) -> Identities:
    """Take a range.

    :raises NoneLeft: there is none.
    :raises OSError: there is no place for locks.
    """
    taken = _taken(etc)
    for number in range(_RANGES):
        first = _FIRST + number * SIZE
        last = first + SIZE - 1
        if any(start <= last and first <= end for start, end in taken):
            continue
        found = claim(first, locks)
        if found is not None:
            return found
    raise NoneLeft(f'all {_RANGES} ranges of ids are in use')


def claim(first: int, locks: pathlib.Path = _LOCKS) -> Identities | None:
    """Take one range.

    :param first: id of the range.
    :returns: None when a sandbox has it.
    :raises OSError: there is no place for locks.
    """
    locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    lock = os.open(locks / str(first), flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return Identities(first, lock)


def named(name: str) -> int | None:
    """The first id of the range that a name is made of; None for others."""
    number = name.removeprefix(_PREFIX)
    if number == name or not number.isdecimal():
        return None
    return int(number)


def _taken(etc: pathlib.Path) -> list[tuple[int, int]]:
    """Ranges of ids that somebody of this host has, first and last."""
    found = []
    for name in _TABLES:
        with contextlib.suppress(FileNotFoundError):
            text = (etc / name).read_text('utf-8', 'replace')
            for line in text.splitlines():
                with contextlib.suppress(ValueError, IndexError):
                    found.append(_ids(line.split(':'), name))
    return found


def _ids(fields: list[str], table: str) -> tuple[int, int]:
    if table.startswith('sub'):
        return int(fields[1]), int(fields[1]) + int(fields[2]) - 1
    return int(fields[2]), int(fields[2])
