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
"""Limits of memory, processes and processors that the kernel keeps.

Control groups of either version, where this process may make some, below a
directory of ours at their top: those that it is in itself belong to somebody
else (to systemd, mostly). They are named after the sandbox's range of ids, so
whoever gets the range next finds and removes what was left there.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import time
from collections.abc import Iterator
from collections.abc import Mapping

from imagebuild.sandbox import sandbox_settings

_PARENT = 'imagebuild'
_PERIOD = 100_000
#: Seconds that what was killed may need to leave its group.
_LEAVING = 5.0

#: Controller -> file -> what is written; those of version 2. What is
#: missing is no limit of its own.
_Limits = Mapping[str, Mapping[str, str]]


def _limits_2(settings: sandbox_settings.SandboxSettings) -> _Limits:
    quota = f'{settings.cpus * _PERIOD}' if settings.cpus else 'max'
    return {
        'memory': {
            'memory.max': str(settings.memory * 1024**2),
            'memory.swap.max': '0',
            'memory.oom.group': '1',
        },
        'pids': {'pids.max': str(settings.processes)},
        'cpu': {'cpu.max': f'{quota} {_PERIOD}'},
    }


def _limits_1(settings: sandbox_settings.SandboxSettings) -> _Limits:
    quota = settings.cpus * _PERIOD if settings.cpus else -1
    return {
        'memory': {
            'memory.limit_in_bytes': str(settings.memory * 1024**2),
            'memory.swappiness': '0',
        },
        'pids': {'pids.max': str(settings.processes)},
        'cpu': {
            'cpu.cfs_period_us': str(_PERIOD),
            'cpu.cfs_quota_us': str(quota),
        },
    }


class ControlGroups:
    """The control groups of one sandbox.

    :ivar limited: what they limit, of ``memory``, ``pids`` and ``cpu``.
    :ivar joins: descriptors of files to which a process writes 0 to be
        limited with all that it starts.
    """

    def __init__(self) -> None:
        self.limited: set[str] = set()
        self.joins: list[int] = []
        self._directories: list[pathlib.Path] = []
        self._events: pathlib.Path | None = None

    def add(
        self,
        directory: pathlib.Path,
        limits: _Limits,
        events: str,
    ) -> None:
        """Use a group.

        :param directory: the group.
        :param limits: what to limit there.
        :param events: name of the file that counts what was killed for
            memory.
        """
        set_here = {
            name
            for name, files in limits.items()
            if name not in self.limited and _limit(directory, files)
        }
        if not set_here:
            directory.rmdir()
            return
        flags = os.O_WRONLY | os.O_CLOEXEC
        self.joins.append(os.open(directory / 'cgroup.procs', flags))
        self.limited |= set_here
        self._directories.append(directory)
        if 'memory' in set_here:
            self._events = directory / events

    @property
    def files(self) -> list[pathlib.Path]:
        """The files that :attr:`joins` has open."""
        return [each / 'cgroup.procs' for each in self._directories]

    def close(self) -> None:
        """Close the descriptors; the groups stay."""
        while self.joins:
            os.close(self.joins.pop())

    def killed(self) -> int:
        """How many processes the kernel killed here for lack of memory."""
        if self._events is not None:
            with contextlib.suppress(OSError):
                found = re.search(
                    r'^oom_kill (\d+)$', _read(self._events), re.M
                )
                return int(found[1]) if found else 0
        return 0


def _limit(directory: pathlib.Path, files: Mapping[str, str]) -> bool:
    """Write the limits; whether the first of them, the limit, holds."""
    held = []
    for name, value in files.items():
        try:
            _put(directory / name, value)
        except OSError:
            held.append(False)
        else:
            held.append(True)
    return held[0]


def make(
    name: str,
    settings: sandbox_settings.SandboxSettings,
    mountinfo: str = '/proc/self/mountinfo',
) -> ControlGroups:
    """Make the groups of a sandbox, as far as this host lets us.

    :param name: of the groups; those of this name that are there are ours,
        too, and left over.
    """
    made = ControlGroups()
    for point, controllers in _hierarchies(mountinfo):
        directory = point / _PARENT / name
        _clear(directory)
        with contextlib.suppress(OSError):
            if controllers is None:
                limits = _limits_2(settings)
                _delegate(point, limits)
                directory.mkdir(parents=True, exist_ok=True)
                _delegate(point / _PARENT, limits)
                made.add(directory, limits, 'memory.events')
            else:
                limits = {
                    key: value
                    for key, value in _limits_1(settings).items()
                    if key in controllers
                }
                if limits:
                    directory.mkdir(parents=True, exist_ok=True)
                    made.add(directory, limits, 'memory.oom_control')
    return made


def remove(name: str, mountinfo: str = '/proc/self/mountinfo') -> None:
    """Remove the groups of a sandbox, with what may still be in them."""
    for point, _controllers in _hierarchies(mountinfo):
        _clear(point / _PARENT / name)
        with contextlib.suppress(OSError):
            (point / _PARENT).rmdir()


def names(mountinfo: str = '/proc/self/mountinfo') -> set[str]:
    """The names of all sandboxes that have groups."""
    return {
        each.name
        for point, _controllers in _hierarchies(mountinfo)
        for each in (point / _PARENT).glob('*/')
    }


def _hierarchies(
    mountinfo: str,
) -> Iterator[tuple[pathlib.Path, set[str] | None]]:
    """Where control groups are mounted.

    :returns: mount point and controllers; None for those of version 2.
    """
    for line in _read(pathlib.Path(mountinfo)).splitlines():
        left, _, right = line.partition(' - ')
        fields, about = left.split(), right.split()
        if len(about) < 3 or fields[3] != '/':
            continue
        if about[0] == 'cgroup2':
            yield pathlib.Path(fields[4]), None
        elif about[0] == 'cgroup':
            yield pathlib.Path(fields[4]), set(about[2].split(','))


def _delegate(directory: pathlib.Path, controllers: _Limits) -> None:
    """Let groups below have those controllers that are available."""
    for name in controllers:
        with contextlib.suppress(OSError):
            _put(directory / 'cgroup.subtree_control', f'+{name}')


def _clear(directory: pathlib.Path) -> None:
    end = time.monotonic() + _LEAVING
    while directory.exists():
        with contextlib.suppress(OSError):
            _put(directory / 'cgroup.kill', '1')
        with contextlib.suppress(OSError):
            directory.rmdir()
            return
        if time.monotonic() > end:
            return
        time.sleep(0.02)


def _put(path: pathlib.Path, text: str) -> None:
    """Write to a file that the kernel made; it makes no others."""
    with open(os.open(path, os.O_WRONLY | os.O_CLOEXEC), 'w') as stream:
        stream.write(text)


def _read(path: pathlib.Path) -> str:
    return path.read_text('utf-8', 'replace')
