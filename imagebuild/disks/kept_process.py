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
"""A daemon that ends when this process does, however that happens."""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.disks import keeper

#: Starts a program beside the caller's mounts (``Supervisor.spawn``), where
#: it ends with whatever runs there; returns its process id here.
Spawn = Callable[[Sequence[str]], int]

#: Seconds until what was told to end at once must be gone.
_KILL = 5.0
_LONGEST_MESSAGE = 1000
#: Program -> what to install.
_REMEDIES = {
    'qemu-storage-daemon': 'install the package that holds it '
    '(qemu-system-common or qemu-utils on Debian, qemu-img on Red Hat)',
    'qemu-system-x86_64': 'install qemu-system-x86 (Debian) or qemu-kvm-core '
    '(Red Hat)',
    'nbdfuse': 'install libnbd-bin (Debian) or nbdfuse (Red Hat)',
}


class KeptProcess:
    """A daemon and the small process that keeps it; see :mod:`keeper`.

    :param argv: program and arguments. Its current directory is
        ``directory``.
    :param directory: a directory that is ours alone.
    :param name: of its files there.
    :param spawn: starts it somewhere else.
    :param through: a command that becomes the daemon's, which follows it.
    :param pass_fds: descriptors that the daemon has, too; without ``spawn``.
    :ivar pid: process id of the process that keeps it; with its end the
        daemon's comes.
    :raises MissingDependency: there is no such program.
    """

    def __init__(
        self,
        argv: Sequence[str],
        directory: pathlib.Path,
        name: str,
        *,
        spawn: Spawn | None = None,
        through: Sequence[str] = (),
        pass_fds: Collection[int] = (),
    ) -> None:
        self.program = argv[0]
        if shutil.which(self.program) is None:
            raise exception.MissingDependency(
                what=self.program,
                remedy=_REMEDIES.get(self.program, 'install it'),
            )
        self._path = directory / name
        self._child: subprocess.Popen[bytes] | None = None
        owner = 0 if spawn else os.getpid()
        command = [sys.executable, '-I', '-S', keeper.__file__, str(owner)]
        command += [str(self._path), *through, *argv]
        if spawn:
            self.pid = spawn(command)
        else:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # A Ctrl-C on the terminal is not for it.
                start_new_session=True,
                pass_fds=pass_fds,
            )
            self.pid = self._child.pid
        self._handle = _handle_of(self.pid)

    @property
    def has_exited(self) -> bool:
        """Whether it is gone."""
        return self.wait(0)

    def wait(self, timeout: float) -> bool:
        """Wait for its end.

        :param timeout: seconds.
        :returns: whether it is gone.
        """
        if self._handle is None:
            return True
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    @property
    def exit_code(self) -> int | None:
        """Its exit code, of a signal 128 + its number; None if unknown."""
        with contextlib.suppress(OSError, ValueError):
            return int(self._path.with_suffix('.exit').read_text())
        return None

    @property
    def said(self) -> str:
        """The end of what it printed, in one line."""
        with contextlib.suppress(OSError):
            with open(self._path.with_suffix('.log'), 'rb') as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - _LONGEST_MESSAGE))
                text = log.read().decode('utf-8', 'replace')
            return ' '.join(text.replace(f'{self.program}: ', '').split())
        return ''

    def describe(self, reason: str) -> str:
        """Add what is known of its end to a reason."""
        code = self.exit_code
        if code is not None and code > 128:
            reason = f'{self.program} was ended by signal {code - 128}'
        said = self.said.rstrip('.')
        return f'{reason} ({said})' if said else reason

    def terminate(self) -> None:
        """Have the daemon end by its own means (SIGTERM)."""
        self._signal(signal.SIGUSR1)

    def kill(self) -> None:
        """End it at once; never raises."""
        for end in (signal.SIGTERM, signal.SIGKILL):
            if self.has_exited:
                break
            self._signal(end)
            self.wait(_KILL)
        if self._child:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(_KILL)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _signal(self, number: signal.Signals) -> None:
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)


def _handle_of(pid: int) -> int | None:
    """A handle that cannot become another process's; None if it is gone."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
