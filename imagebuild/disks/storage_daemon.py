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
"""Start qemu-storage-daemon, speak with it, and know how it ended."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild.disks import host_command
from imagebuild.disks import kept_process
from imagebuild.disks import qmp

PROGRAM = 'qemu-storage-daemon'
#: Seconds until it must have opened its files, on a slow and busy machine.
_START = 60.0
#: Seconds until it must have written what it holds: it may be much.
_END = 600.0
_TICK = 0.005
_ENDED = 'it has ended'

_LOCKED = ('Failed to get "', 'Failed to get shared "', 'Failed to lock byte')
_LOST_WRITES = ('Failed to flush', 'Input/output error', *host_command.FULL)


class StorageDaemon:
    """A running qemu-storage-daemon with nothing said about its disks.

    :param options: its command line options.
    :param directory: a directory of its own, which is its current one; it
        must be empty.
    :param image: the image in question, for messages.
    :param on_start: see :class:`server.DiskServer`.
    :raises MissingDependency: it is not installed.
    :raises ImageBusy: a file is used by another qemu process.
    :raises DiskServerFailed: it did not start.
    """

    def __init__(
        self,
        options: Sequence[str],
        directory: pathlib.Path,
        *,
        image: pathlib.Path,
        on_start: Callable[[int], None] | None = None,
    ) -> None:
        self._image = image
        self._monitor: qmp.Monitor | None = None
        command = [
            PROGRAM,
            '--chardev', 'socket,id=qmp,path=qmp,server=on,wait=off',
            '--monitor', 'chardev=qmp',
            *options,
        ]  # fmt: skip
        self._process = kept_process.KeptProcess(command, directory, 'qsd')
        try:
            if on_start:
                on_start(self._process.pid)
            self._monitor = self._greeted(directory / 'qmp')
        except BaseException:
            self.kill()
            raise

    def _greeted(self, path: pathlib.Path) -> qmp.Monitor:
        """Wait for the monitor: it answers when all disks are open."""
        end = time.monotonic() + _START
        while (left := end - time.monotonic()) > 0:
            try:
                return qmp.Monitor(path, timeout=left)
            except (FileNotFoundError, ConnectionRefusedError):
                pass
            except qmp.QmpError as error:
                raise self.fault(str(error)) from error
            if self._process.wait(_TICK):
                raise self.fault(_ENDED)
        raise self.fault(f'it did not start within {_START:.0f} seconds')

    def execute(self, command: str, **arguments: Any) -> Any:
        """Have a command done; see :meth:`qmp.Monitor.execute`.

        :raises qmp.QmpError: it refuses.
        :raises DiskServerFailed: it is gone.
        """
        if self._monitor is None:
            raise self.fault(_ENDED)
        try:
            return self._monitor.execute(command, **arguments)
        except qmp.QmpError as error:
            if error.gone:
                raise self.fault(str(error)) from error
            raise

    def check(self) -> None:
        """Look whether it runs; asks it nothing.

        :raises DiskServerFailed: it is gone.
        """
        monitor = self._monitor
        # It hangs up a moment before whoever keeps it has noticed.
        if monitor is None or not monitor.is_alive:
            raise self.fault(_ENDED)

    def check_writes(self) -> None:
        """Look whether it said that it could not write.

        :raises DiskFull: there was no room.
        :raises DiskServerFailed: of every other reason.
        """
        said = self._process.said
        if any(text in said for text in _LOST_WRITES):
            raise self.fault('it could not write')

    def quit(self) -> None:
        """End it; everything is written.

        :raises DiskFull: there was no room for it.
        :raises DiskServerFailed: it is not, or it was gone before.
        """
        self.execute('quit')
        if not self._process.wait(_END):
            raise self.fault(f'it did not end within {_END:.0f} seconds')
        if self._process.exit_code != 0:
            code = self._process.exit_code
            raise self.fault(f'it ended with exit code {code}')
        self.check_writes()

    def kill(self) -> None:
        """End it at once; never raises."""
        self._process.kill()
        if self._monitor:
            self._monitor.close()
            self._monitor = None

    def fault(self, reason: str) -> exception.EnvironmentFault:
        """What to raise when it failed.

        :param reason: what is known of it without what it printed.
        """
        if reason == _ENDED:
            # Whoever keeps it is about to tell how.
            self._process.wait(1)
        said = self._process.said
        if any(text in said for text in host_command.FULL):
            return exception.DiskFull(path=self._image)
        if any(text in said for text in _LOCKED):
            return exception.ImageBusy(path=self._image, by='')
        return exception.DiskServerFailed(
            reason=self._process.describe(reason)
        )
