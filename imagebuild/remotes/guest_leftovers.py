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
"""Undo what a command leaves behind in the appliance.

A swap file that is on, a loop device, a mount, or a daemon in a root of its
own keeps the guest's file systems busy: they could not be unmounted at the
end, and what is on the disk would not be whole. So what is there after each
command is compared with what was there before the first, and what is more is
undone from outside of the guest, by the appliance's own programs: nothing in
the guest is asked.
"""

from __future__ import annotations

import collections
import logging
import re
import time
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple
from typing import TypeVar

from imagebuild.common import control_characters
from imagebuild.remotes import appliance_state

LOG = logging.getLogger(__name__)
T = TypeVar('T')

#: How often it is tried: one thing may hold another (a loop device on a file
#: system on a loop device), and processes take their time to end.
_TIMES = 10
#: Seconds more to wait each time.
_PAUSE = 0.05
#: Seconds that the clock may be off before it is set again.
_CLOCK = 5
_PLAIN = re.compile(rb'[A-Za-z0-9/._+:@=,-]+')
_SHOWN = 3


class Leftover(NamedTuple):
    """One thing that was not there before.

    :ivar shown: what it is, for the user.
    :ivar undo: a shell command of the appliance that undoes it, '' if there
        is none.
    """

    shown: str
    undo: str


def undo(handle: Any, before: appliance_state.State) -> list[Leftover]:
    """Undo what is there now and was not before.

    :param handle: a libguestfs handle; no command may be running.
    :param before: what was there before the first command.
    :returns: what could not be undone.
    :raises RuntimeError: the appliance's state cannot be read.
    :raises ValueError: see :func:`appliance_state.look`.
    """
    for attempt in range(_TIMES):
        left = found(before, appliance_state.look(handle))
        commands = [each.undo for each in left if each.undo]
        if not commands:
            return left
        if not attempt:
            LOG.info('Undoing what a command left: %s', summary(left))
        time.sleep(attempt * _PAUSE)
        handle.debug('sh', ['; '.join([*commands, ':'])])
    return found(before, appliance_state.look(handle))


def summary(left: list[Leftover]) -> str:
    """Name what is left, the first of it if it is much."""
    more = len(left) - _SHOWN
    names = [each.shown for each in left[:_SHOWN]]
    return ', '.join([*names, *([f'{more} more'] if more > 0 else [])])


def found(
    before: appliance_state.State, now: appliance_state.State
) -> list[Leftover]:
    """Compare two moments.

    :returns: what to undo, in the order in which it is done best: what uses
        something goes before what is used.
    """
    return [
        *_processes(before, now),
        *_swaps(before, now),
        *_mounts(before, now),
        *_devices(before, now),
        *_clock(before, now),
        *_unmounted(before, now),
    ]


def _processes(
    before: appliance_state.State, now: appliance_state.State
) -> Iterator[Leftover]:
    """What is none of the appliance's and none of its children.

    The appliance's own start others at any time, udev for one. What a guest
    leaves behind has the first process as its parent.
    """
    guestfsd = {
        pid
        for pid, process in before.processes.items()
        if process.name == b'guestfsd'
    }

    def is_ours(process: appliance_state.Process) -> bool:
        known = before.processes.get(process.pid)
        return known is not None and known.started == process.started

    def is_child_of_ours(process: appliance_state.Process) -> bool:
        seen = {1, *guestfsd}
        while process.parent not in seen:
            seen.add(process.parent)
            parent = now.processes.get(process.parent)
            if parent is None:
                return False
            if is_ours(parent):
                return True
            process = parent
        return False

    for process in now.processes.values():
        if not is_ours(process) and not is_child_of_ours(process):
            yield Leftover(
                f'the process {process.pid} ({_text(process.name)})',
                f'kill -9 {process.pid}',
            )


def _swaps(
    before: appliance_state.State, now: appliance_state.State
) -> Iterator[Leftover]:
    for path in _more(before.swaps, now.swaps):
        yield Leftover(f'swap on {_path(path)}', f'swapoff {_word(path)}')


def _mounts(
    before: appliance_state.State, now: appliance_state.State
) -> Iterator[Leftover]:
    """The last one first: it may hide others."""
    for mount in reversed(list(_more(before.mounts, now.mounts))):
        yield Leftover(
            f'a file system mounted on {_path(mount.point)}',
            f'umount -i {_word(mount.point)}',
        )


def _unmounted(
    before: appliance_state.State, now: appliance_state.State
) -> Iterator[Leftover]:
    for mount in _more(now.mounts, before.mounts):
        yield Leftover(f'{_path(mount.point)} unmounted', '')


def _devices(
    before: appliance_state.State, now: appliance_state.State
) -> Iterator[Leftover]:
    for name in reversed(list(_more(before.mapped, now.mapped))):
        yield Leftover(
            f'the mapped device {_text(name)}',
            f'dmsetup remove {_word(name)}',
        )
    for device in _more(before.arrays, now.arrays):
        yield Leftover(f'the array {device}', f'mdadm --stop /dev/{device}')
    for device in _more(before.loops, now.loops):
        yield Leftover(
            f'the loop device {device} ({_path(now.loops[device])})',
            f'losetup -d /dev/{device}',
        )


def _clock(
    before: appliance_state.State, now: appliance_state.State
) -> Iterator[Leftover]:
    """What comes after it would be signed too late, or too early."""
    if abs(now.booted - before.booted) > _CLOCK:
        seconds = int(time.time())
        yield Leftover('another time on the clock', f'date -s @{seconds}')


def _more(before: Iterable[T], now: Iterable[T]) -> Iterator[T]:
    """What there is more often now than before."""
    known = collections.Counter(before)
    for each in now:
        if known[each] > 0:
            known[each] -= 1
        else:
            yield each


def _word(name: bytes) -> str:
    """A name as one word of a POSIX shell, in plain ASCII."""
    if _PLAIN.fullmatch(name):
        return name.decode()
    coded = ''.join(f'\\{byte:03o}' for byte in name)
    return f'"$(printf \'{coded}\')"'


def _path(path: bytes) -> str:
    """A path as the guest sees it, for people."""
    inside = path.removeprefix(appliance_state.ROOT)
    return _text(inside or b'/' if inside != path else path)


def _text(name: bytes) -> str:
    text = name.decode('utf-8', 'backslashreplace')
    return control_characters.escaped(text)[:200]
