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
"""A disk that is exported by NBD, shown as a raw file (nbdfuse).

qemu-storage-daemon could show one itself. That of qemu 7.2 (Debian 12) loses
writes: a request that comes while it writes is read into the buffer that it is
writing from, so two at a time, of which a loop device with direct I/O makes
many, damage a file system within a second. The repair was proposed to qemu in
2025, as "fuse: Copy write buffer content before polling"; no later release was
tried here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import time

from imagebuild import exception
from imagebuild.disks import kept_process

#: Seconds until it must be there, on a slow and busy machine.
_START = 60.0
#: Seconds until it must have ended, when told to.
_END = 30.0
_TICK = 0.005
_MNT_DETACH = 2


class RawFile:
    """A raw file that is an NBD export.

    :param socket: where NBD is spoken.
    :param export: the export's name.
    :param directory: a directory that is ours alone.
    :param spawn: see :class:`server.DiskServer`.
    :param readonly: whether the file is.
    :ivar path: the file, in the mount namespace of whoever starts it.
    :raises MissingDependency: nbdfuse is not installed.
    :raises DiskServerFailed: it does not start.
    """

    def __init__(
        self,
        socket: pathlib.Path,
        export: str,
        directory: pathlib.Path,
        *,
        spawn: kept_process.Spawn | None = None,
        readonly: bool = False,
    ) -> None:
        self.path = directory / 'disk.raw'
        self.path.touch(0o600)
        # Named as it is seen from its directory, if it lies there.
        here = socket.parent == directory
        name = socket.name if here else str(socket)
        command = ['nbdfuse', '-P', 'nbdfuse.pid']
        command += ['-r'] if readonly else []
        command += [str(self.path), f'nbd+unix:///{export}?socket={name}']
        self._here = spawn is None
        self._process = kept_process.KeptProcess(
            command, directory, 'nbdfuse', spawn=spawn
        )
        try:
            self._wait(directory / 'nbdfuse.pid')
        except BaseException:
            self.kill()
            raise

    def _wait(self, mark: pathlib.Path) -> None:
        """Wait until it is there: nbdfuse writes its process id down then."""
        end = time.monotonic() + _START
        while not mark.exists():
            if self._process.wait(_TICK):
                raise self._fault('its raw file cannot be made')
            if time.monotonic() > end:
                raise self._fault(
                    f'its raw file is not there after {_START:.0f} seconds'
                )

    def check(self, seconds: float = 0) -> None:
        """Look whether the program that makes the file runs.

        :param seconds: see :meth:`server.DiskServer.check`.
        :raises DiskServerFailed: it is gone.
        """
        if self._process.wait(seconds):
            raise self._fault('its raw file is gone')

    def close(self) -> None:
        """Let the file go; nothing may use it any more.

        What was written is with the server.

        :raises DiskServerFailed: it does not end.
        """
        self.check()
        self._process.terminate()
        if not self._process.wait(_END):
            raise self._fault(
                f'its raw file could not be closed within {_END:.0f} seconds'
            )
        code = self._process.exit_code
        if code is None or code > 128:
            raise self._fault('its raw file is gone')

    def kill(self) -> None:
        """End it at once; never raises."""
        self._process.kill()
        if self._here:
            # What one that was killed leaves.
            libc = ctypes.CDLL(None)
            with contextlib.suppress(OSError):
                libc.umount2(os.fsencode(self.path), _MNT_DETACH)

    def _fault(self, reason: str) -> exception.DiskServerFailed:
        return exception.DiskServerFailed(
            reason=self._process.describe(reason)
        )
