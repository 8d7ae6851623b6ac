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
"""The job's end of the supervisor."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any
from typing import Self

from imagebuild.sandbox import mounts
from imagebuild.sandbox import settings as sandbox_settings


class Supervisor:
    """A process that holds a guest's file systems and runs commands in them.

    Its methods may be called from several threads; one call is served after
    the other.

    :ivar pid: its process id here. When it is killed, everything that it
        started ends, and all it mounted is gone.
    """

    pid: int

    @classmethod
    def start(
        cls,
        settings: sandbox_settings.SandboxSettings,
        *,
        workspace: pathlib.Path,
    ) -> Self:
        """Start one; it ends when this process does, however that happens.

        :param workspace: a directory that is ours alone. A directory is made
            in it; what is mounted there is seen by the supervisor only.
        :raises SandboxFailed: it does not start.
        """
        raise NotImplementedError

    def spawn(self, argv: Sequence[str]) -> int:
        """Start a daemon beside the mounts, which ends with the supervisor.

        It sees this host's files, and what the supervisor mounts; its output
        goes where this process's errors go.

        :returns: its process id here.
        :raises SandboxFailed: it cannot be started.
        """
        raise NotImplementedError

    def mount(self, plan: mounts.Plan) -> None:
        """Make ready to mount what a plan allows.

        From now on :meth:`call` knows the operations of
        :class:`mounts.Mounts` and of its tree. Once for each supervisor.

        :raises NotForSandbox: this host cannot.
        :raises SandboxFailed: the supervisor is gone.
        """
        raise NotImplementedError

    def call(self, operation: str, *args: Any, **kw: Any) -> Any:
        """Call a public method of :class:`mounts.Mounts` or of its tree.

        :param operation: its name.
        :param args: numbers, texts, bytes, booleans and None.
        :raises RuntimeError: the guest's disk refuses, see there.
        :raises UnicodeDecodeError: a name is not UTF-8, see there.
        :raises SandboxFailed: the supervisor is gone.
        """
        raise NotImplementedError

    def exec(
        self,
        command: sandbox_settings.Command,
        *,
        stdin: int,
        stdout: int,
        stderr: int,
    ) -> Running:
        """Begin to run a command as root of the mounted guest.

        One at a time. Whatever it leaves behind, processes and mounts, ends
        with it.

        :param stdin: descriptor of what it reads; the caller closes it.
        :param stdout: descriptor of what it writes to, likewise.
        :param stderr: the same for errors.
        :raises SandboxFailed: it cannot be started.
        """
        raise NotImplementedError

    def freeze(self) -> None:
        """See :meth:`mounts.Mounts.freeze`."""
        self.call('freeze')

    def thaw(self) -> None:
        """See :meth:`mounts.Mounts.thaw`."""
        self.call('thaw')

    def unmount(self) -> None:
        """Unmount the guest in good order; the disk server is closed next.

        :raises RuntimeError: something is busy, or writes were lost.
        """
        self.call('umount_all')

    def close(self) -> None:
        """End it, with all that runs below and is mounted; never raises."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Running:
    """A command that runs."""

    def wait(self, timeout: float | None) -> sandbox_settings.Ending | None:
        """Wait for its end.

        :param timeout: seconds, None for no limit.
        :returns: None when it still runs.
        :raises SandboxFailed: the supervisor is gone.
        """
        raise NotImplementedError

    def kill(self) -> sandbox_settings.Ending:
        """End it with everything that it started.

        :raises SandboxFailed: that cannot be done within 30 seconds, or the
            supervisor is gone.
        """
        raise NotImplementedError
