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
"""A partition for the firmware, on a host whose kernel knows no vfat.

Its files are copied into memory by mtools(1), and back when they were
changed. So a host without the driver need not do without ``/boot/efi``; what
nobody has changed is not written.
"""

from __future__ import annotations

import errno
import os
import pathlib
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from collections.abc import Sequence

#: Seconds for one program.
_TIMEOUT = 120
_PROGRAMS = ('mdir', 'mcopy', 'mdeltree')
#: What the kernel's vfat shows of everything, as it is mounted elsewhere.
_MODE = 0o755
#: Bytes of the partition that are kept in memory.
LARGEST = 1024**3

#: The first Linux whose file systems in memory can have shifted ids.
_IDMAPPED = (6, 3)

_Entry = tuple[str, int, int, int]


def possible(size: int) -> bool:
    """Whether a partition can be read and written like this.

    :param size: bytes of it.
    """
    return (
        size <= LARGEST
        and _release() >= _IDMAPPED
        and all(map(shutil.which, _PROGRAMS))
    )


def _release() -> tuple[int, ...]:
    found = re.match(r'(\d+)\.(\d+)', os.uname().release)
    return tuple(map(int, found.groups())) if found else (0, 0)


class VfatCopy:
    """Stands where a loop device stands for other file systems.

    :param disk: the raw file.
    :param offset: byte at which the partition begins.
    :ivar path: names it.
    """

    def __init__(self, disk: pathlib.Path, offset: int) -> None:
        self._image = f'{disk}@@{offset}'
        self._disk = disk
        self._root = -1
        self._filled: list[_Entry] = []
        self.path = f'vfat:{self._image}'

    def fill(self, root: int) -> None:
        """Copy everything out.

        :param root: descriptor of the root of a file system in memory.
        :raises OSError: it cannot be read.
        """
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._root = os.open('.', flags, dir_fd=root)
        names = self._mtools(['mdir', '-b', '::/']).splitlines()
        if names:
            self._mtools(['mcopy', '-s', '-n', '-m', *names, '.'])
        for path, _ in self._walk():
            os.chmod(path, _MODE)
        self._filled = self._state()

    def sync(self) -> None:
        """Copy everything back, if anything has changed.

        :raises OSError: it cannot be written.
        """
        if self._root < 0:
            return
        state = self._state()
        if state == self._filled:
            return
        old = self._mtools(['mdir', '-b', '::/']).splitlines()
        if old:
            self._mtools(['mdeltree', *(each.rstrip('/') for each in old)])
        names = sorted(os.listdir(self._root))
        if names:
            self._mtools(
                ['mcopy', '-s', '-m', '-Q', *(f'./{n}' for n in names), '::/']
            )
        with self._disk.open('rb') as file:
            os.fsync(file.fileno())
        self._filled = state

    def wait_until_free(self, timeout: float) -> bool:
        """See :meth:`loop_devices.LoopDevice.wait_until_free`."""
        del timeout
        return True

    def close(self) -> None:
        """Let the copy go."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _state(self) -> list[_Entry]:
        """What is in the copy.

        :raises OSError: something that a vfat cannot hold.
        """
        found: dict[str, _Entry] = {}
        for path, status in self._walk():
            kind = stat.S_IFMT(status.st_mode)
            plain = kind == stat.S_IFREG
            # "x" and "X" are one name there.
            if path.lower() in found or not (plain or kind == stat.S_IFDIR):
                name = path.removeprefix(f'{self._here}/')
                raise OSError(errno.EPERM, f'{name} can be in no vfat')
            size, time = status.st_size, status.st_mtime_ns
            found[path.lower()] = (
                (path, kind, size, time) if plain else (path, kind, 0, 0)
            )
        return sorted(found.values())

    @property
    def _here(self) -> str:
        return f'/proc/self/fd/{self._root}'

    def _walk(self) -> Iterator[tuple[str, os.stat_result]]:
        for directory, directories, files in os.walk(self._here):
            for name in (*directories, *files):
                path = os.path.join(directory, name)
                yield path, os.lstat(path)

    def _mtools(self, argv: Sequence[str]) -> str:
        program, *arguments = argv
        try:
            done = subprocess.run(
                [program, '-i', self._image, *arguments],
                cwd=f'/proc/{os.getpid()}/fd/{self._root}',
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT,
                check=True,
                encoding='utf-8',
                errors='surrogateescape',
                # No drive letters of this host's.
                env={**os.environ, 'MTOOLSRC': os.devnull},
            )
        except subprocess.CalledProcessError as error:
            said = ' '.join(error.stderr.split())[:300]
            raise OSError(0, f'{program}: {said}') from error
        except subprocess.TimeoutExpired as error:
            raise OSError(0, f'{program} took too long') from error
        return done.stdout
