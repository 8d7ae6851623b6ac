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
"""What is running, mounted and active in an appliance, at one moment.

Read by the appliance's own shell, outside of the guest's root and with none
of the guest's programs: one call of one program, some 20 ms when emulated.
Names in it are chosen by guests and may hold anything, newlines too; so every
line comes with the name of the file that it is from.
"""

from __future__ import annotations

import base64
import collections
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

#: Where libguestfs mounts the guest.
ROOT = b'/sysroot'

_FILES = (
    '/proc/swaps /proc/self/mountinfo /proc/stat /proc/[0-9]*/stat '
    '/sys/block/*/loop/backing_file /sys/block/*/dm/name '
    '/sys/block/*/md/array_state'
)
_LOOK = f"echo $$; LC_ALL=C grep -aHs '' {_FILES}"
#: Of /proc/PID/stat, counted behind the name.
_STATE, _PARENT, _FLAGS, _THREADS, _START = 0, 1, 6, 17, 19
_KERNEL_THREAD = 0x00200000
_DEVICE, _WITHIN, _POINT = 2, 3, 4
_OCTAL = re.compile(rb'\\([0-7]{3})')


class Process(NamedTuple):
    """A process that is none of the kernel's.

    :ivar started: when, in ticks since the appliance was; with the process
        id nothing else has it.
    """

    pid: int
    started: int
    parent: int
    name: bytes


class Mount(NamedTuple):
    """What is mounted where.

    :ivar device: numbers of the file system.
    :ivar within: its part that is mounted.
    :ivar point: where, as the appliance sees it.
    """

    device: bytes
    within: bytes
    point: bytes


class State(NamedTuple):
    """One moment.

    :ivar processes: by process id, without the one that looked.
    :ivar swaps: what is swapped to: files and devices, paths as the
        appliance sees them.
    :ivar mounts: in the order in which they were made.
    :ivar loops: name of a loop device -> what is behind it.
    :ivar mapped: names of devices of the device mapper (LVM, crypt).
    :ivar arrays: names of active md devices.
    :ivar booted: when the appliance was started by its own clock, in seconds;
        that moves when the clock is set.
    """

    processes: Mapping[int, Process]
    swaps: Sequence[bytes]
    mounts: Sequence[Mount]
    loops: Mapping[str, bytes]
    mapped: Sequence[bytes]
    arrays: Sequence[str]
    booted: int


def look(handle: Any) -> State:
    """Read the state of a running appliance.

    :param handle: a libguestfs handle.
    :raises RuntimeError: it cannot be read, or is longer than libguestfs'
        messages may be.
    :raises ValueError: it is not of the form that Linux gives it.
    """
    try:
        text = handle.debug('sh', [f'{_LOOK} || :']).encode()
    except UnicodeDecodeError:
        # Half as fast again, and hardly ever needed.
        coded = handle.debug('sh', [f'{{ {_LOOK}; }} | base64'])
        text = base64.b64decode(coded)
    return parse(text)


def parse(text: bytes) -> State:
    """Read what the appliance's shell printed.

    :raises ValueError: it is of another form.
    """
    own, _, rest = text.partition(b'\n')
    files = _files(rest)
    if '/proc/self/mountinfo' not in files:
        raise ValueError('no mount is listed')
    return State(
        processes=_processes(files, int(own)),
        swaps=[
            _unescaped(line.split()[0])
            for line in files.get('/proc/swaps', b'').split(b'\n')[1:]
        ],
        mounts=[
            _mount(line) for line in files['/proc/self/mountinfo'].split(b'\n')
        ],
        loops=dict(_of_devices(files, 'loop/backing_file')),
        mapped=[name for _, name in _of_devices(files, 'dm/name')],
        arrays=[
            device
            for device, state in _of_devices(files, 'md/array_state')
            if state not in (b'clear', b'inactive')
        ],
        booted=_booted(files.get('/proc/stat', b'')),
    )


def _files(text: bytes) -> dict[str, bytes]:
    """Put the lines of each file together again."""
    lines: dict[str, list[bytes]] = collections.defaultdict(list)
    for line in text.split(b'\n'):
        name, _, content = line.partition(b':')
        lines[name.decode('ascii', 'replace')].append(content)
    return {name: b'\n'.join(held) for name, held in lines.items()}


def _processes(files: Mapping[str, bytes], own: int) -> dict[int, Process]:
    """All but the shell that looks, and what it has started."""
    found = {}
    for path, content in files.items():
        name = path.split('/')[-2] if path.endswith('/stat') else ''
        process = _process(int(name), content) if name.isdigit() else None
        if process is not None:
            found[process.pid] = process
    looking = {own}
    while started := {
        pid
        for pid, process in found.items()
        if process.parent in looking and pid not in looking
    }:
        looking |= started
    return {
        pid: process for pid, process in found.items() if pid not in looking
    }


def _process(pid: int, content: bytes) -> Process | None:
    """One process; None for a thread of the kernel and for what has ended."""
    head, _, tail = content.rpartition(b')')
    fields = tail.split()
    if len(fields) <= _START:
        raise ValueError(f'/proc/{pid}/stat has {len(fields)} fields')
    ended = fields[_STATE] in (b'Z', b'X') and int(fields[_THREADS]) <= 1
    if ended or int(fields[_FLAGS]) & _KERNEL_THREAD:
        return None
    name = head.partition(b'(')[2]
    return Process(pid, int(fields[_START]), int(fields[_PARENT]), name)


def _mount(line: bytes) -> Mount:
    fields = line.split(b' ')
    return Mount(
        fields[_DEVICE],
        _unescaped(fields[_WITHIN]),
        _unescaped(fields[_POINT]),
    )


def _of_devices(
    files: Mapping[str, bytes], attribute: str
) -> Iterator[tuple[str, bytes]]:
    for path, content in files.items():
        if path.startswith('/sys/block/') and path.endswith(f'/{attribute}'):
            yield path.split('/')[3], content


def _booted(content: bytes) -> int:
    for line in content.split(b'\n'):
        if line.startswith(b'btime '):
            return int(line.split()[1])
    return 0


def _unescaped(name: bytes) -> bytes:
    r"""A name as it is: the kernel writes a space as \040."""
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), name)
