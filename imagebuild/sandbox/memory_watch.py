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
"""How much memory commands use, on hosts without control groups.

A rough limit: it is looked at several times a second, so more may be used for
a moment.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

_PAGE = os.sysconf('SC_PAGE_SIZE')
#: Descriptors of one process that are looked at for files in memory.
_MOST_FILES = 4096


class MemoryWatch:
    """Looks at the processes of a pid namespace.

    :param first: id of the first process of that namespace.
    :param limit: MiB.
    """

    def __init__(self, first: int, limit: int) -> None:
        self._namespace = os.readlink(f'/proc/{first}/ns/pid')
        self._limit = limit * 1024**2
        self._turn = 0

    def is_exceeded(self) -> bool:
        """Whether they use more than the limit now."""
        self._turn += 1
        processes = list(self._processes())
        # Cheap first: it counts what is shared once for each process.
        rough = sum(_resident(each) for each in processes)
        if self._turn % 5 == 0:
            rough += _files_in_memory(processes)
        if rough <= self._limit:
            return False
        exact = sum(_proportional(each) for each in processes)
        return exact + _files_in_memory(processes) > self._limit

    def _processes(self) -> Iterator[pathlib.Path]:
        for name in os.listdir('/proc'):
            if not name.isdecimal():
                continue
            with contextlib.suppress(OSError):
                if os.readlink(f'/proc/{name}/ns/pid') == self._namespace:
                    yield pathlib.Path('/proc', name)


def _resident(process: pathlib.Path) -> int:
    with contextlib.suppress(OSError, IndexError):
        return int((process / 'statm').read_bytes().split()[1]) * _PAGE
    return 0


def _proportional(process: pathlib.Path) -> int:
    """Its part of what it shares with others, and what is its own."""
    with contextlib.suppress(OSError):
        for line in (process / 'smaps_rollup').read_bytes().splitlines():
            if line.startswith(b'Pss:'):
                return int(line.split()[1]) * 1024
    return 0


def _files_in_memory(processes: list[pathlib.Path]) -> int:
    """Bytes in files that have no name anywhere (memfd_create(2)).

    Mapped or not: what is mapped is counted twice, which nobody needs.
    """
    found: dict[tuple[int, int], int] = {}
    for process in processes:
        with contextlib.suppress(OSError):
            for name in os.listdir(process / 'fd')[:_MOST_FILES]:
                path = process / 'fd' / name
                with contextlib.suppress(OSError):
                    if os.readlink(path).startswith('/memfd:'):
                        status = os.stat(path)
                        key = (status.st_dev, status.st_ino)
                        found[key] = status.st_blocks * 512
    return sum(found.values())
