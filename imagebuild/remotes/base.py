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
"""What a Remote is: the way to reach inside a system.

The manifest engine knows Remotes and nothing else. A Remote may be a disk
image inside the libguestfs appliance, a running server behind SSH, or a
table of scripted answers in a test; the engine does not know which.

A call into a guest is expensive (half a second under emulation, however
little it does), so the contract is made of few, large operations: one
:meth:`Remote.run` or :meth:`Remote.run_script` is one call into the guest,
whatever it carries. ``tests/contract/remote_contract.py`` is this text as
tests; every implementation passes it, and those over a disk pass
``disk_contract.py``.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Literal
from typing import Self

Stream = Literal['stdout', 'stderr']

#: Called with pieces of a command's output while it runs. The pieces are
#: whole characters, not whole lines.
OutputCallback = Callable[[Stream, str], None]


@dataclasses.dataclass(frozen=True)
class CommandResult:
    """What one command did.

    :ivar argv: the command, as it was asked for.
    :ivar exit_code: 0 to 255; 128 + n when signal n ended it.
    :ivar stdout: everything it wrote to its standard output; bytes that are
        not UTF-8 are replaced.
    :ivar stderr: the same for its standard error, kept apart.
    :ivar seconds: wall time.
    """

    argv: tuple[str, ...]
    exit_code: int
    stdout: str = ''
    stderr: str = ''
    seconds: float = 0.0

    @property
    def output(self) -> str:
        """Both streams, for people: standard output, then errors."""
        return '\n'.join(
            part
            for part in (self.stdout.rstrip('\n'), self.stderr.rstrip('\n'))
            if part
        )


class Remote(abc.ABC):
    """A system that can be looked into and changed.

    Commands run as root, with ``/`` as working directory, the umask 022,
    without a terminal, with an empty standard input unless one is given, and
    with the environment described at :meth:`run`; of whoever runs them they
    have no variable, descriptor or blocked signal. With a command ends
    everything that it started. Its files stay, in ``/tmp`` and ``/run``, too.

    :cvar runs: whether it is a machine that runs, not what one is made of.
    """

    runs = False

    @abc.abstractmethod
    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b'',
        timeout: float | None = None,
        check: bool = True,
        on_output: OutputCallback | None = None,
    ) -> CommandResult:
        """Run one command and wait for its end.

        :param argv: program and arguments; no shell looks at them.
        :param env: variables set in addition to PATH, HOME, LC_ALL and
            DEBIAN_FRONTEND=noninteractive.
        :param stdin: what the command can read.
        :param timeout: seconds after which it is stopped with everything it
            started; None means the Remote's own limit per command.
        :param check: raise when the exit code is not 0.
        :param on_output: called with pieces of output while it runs.
        :raises RemoteCommandFailed: it exited with another code than 0 and
            ``check`` is set; 126 when it cannot be run, 127 when there is
            no such program.
        :raises StepError: an argument or variable is longer than 128 KiB,
            all of them are than 1984 KiB, or one holds a NUL character.
        :raises RemoteCommandTimeout: its time was up.
        :raises RunTimeout: the time of the whole run was up.
        :raises EnvironmentFault: the way to the guest broke.
        """

    @abc.abstractmethod
    def run_script(
        self,
        content: bytes,
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        check: bool = True,
        on_output: OutputCallback | None = None,
    ) -> CommandResult:
        """Run a script as a file of its own, removed afterwards.

        The script's shebang decides what interprets it; without one it is
        ``/bin/bash`` where the system has it (Sahara ran every script with
        bash), else ``/bin/sh``. It may read ``$0``. Parameters and errors
        are those of :meth:`run`; ``argv`` of the result is ``(name,)``.

        :param content: the script.
        :param name: what to call it in errors; only its last component
            reaches the guest's file system.
        """

    @abc.abstractmethod
    def read_file(self, path: str) -> bytes:
        """Return the content of a file, symbolic links followed.

        :param path: absolute.
        :raises RemoteFileNotFound: there is no such regular file.
        :raises StepError: it is larger than what a step may look at (8 MiB),
            or the guest's file system refuses.
        """

    @abc.abstractmethod
    def write_file(
        self,
        path: str,
        content: bytes,
        *,
        mode: int = 0o644,
        owner: str = 'root',
        group: str = 'root',
    ) -> None:
        """Write a file whole, missing parent directories included.

        These have mode 0755 and the file's owner and group, as those of
        cloud-init's write_files.

        :param path: absolute. A symbolic link is followed inside the guest;
            one to nothing, or to a file in /run, is replaced.
        :param mode: permission bits.
        :param owner: a user name of the guest, or a number as text.
        :param group: a group name of the guest, or a number as text.
        :raises StepError: the owner or group is unknown, or the guest's
            file system refuses (read only, full, a directory in the way).
        """

    @abc.abstractmethod
    def remove_file(self, path: str) -> None:
        """Remove a file, or a link itself; no error when there is none.

        :raises StepError: it is a directory, or the guest's file system
            refuses.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of the system. May be called more than once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
