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
"""What runs below the supervisor: a command, daemons."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
from collections.abc import Sequence
from typing import NoReturn

from imagebuild.sandbox import cgroups
from imagebuild.sandbox import commands
from imagebuild.sandbox import memory_watch
from imagebuild.sandbox import sandbox_settings
from imagebuild.sandbox import syscalls

_MOST_TEXT = 2000


class RunningCommand:
    """A command and its processes.

    :param pid: of the first process of its namespaces.
    :param failure: descriptor on which it told why it did not start.
    :param result: descriptor on which the job reads how it ended.
    :param watch: looks at its memory, None where the kernel does.
    """

    def __init__(
        self,
        pid: int,
        failure: int,
        result: int,
        groups: cgroups.ControlGroups,
        settings: sandbox_settings.SandboxSettings,
    ) -> None:
        self.pid = pid
        self._failure = failure
        self._result = result
        self._groups = groups
        self._killed_before = groups.killed()
        self._memory = settings.memory
        self._watch: memory_watch.MemoryWatch | None = None
        if 'memory' not in groups.limited:
            self._watch = memory_watch.MemoryWatch(pid, settings.memory)
        self._reason = ''
        self._error = ''

    @property
    def is_watched(self) -> bool:
        """Whether :meth:`look` is to be called often."""
        return self._watch is not None

    def look(self) -> None:
        """End it when it uses too much memory."""
        if self._watch is not None and self._watch.is_exceeded():
            self._reason = self._too_much
            self.kill()

    @property
    def _too_much(self) -> str:
        return f'it used more than {self._memory} MiB of memory'

    def kill(self) -> None:
        """End it with everything that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def fail(self, reason: str) -> None:
        """End it for a reason that is not its own."""
        self._error = reason
        self.kill()

    def end(self, status: int) -> None:
        """Tell the job how it ended.

        :param status: of its first process, which was waited for: nothing of
            it runs any more.
        """
        code = os.waitstatus_to_exitcode(status)
        told = os.read(self._failure, _MOST_TEXT).decode('utf-8', 'replace')
        if code and not self._reason:
            if self._groups.killed() > self._killed_before:
                self._reason = self._too_much
        ending = {
            'code': code if code >= 0 else 128 - code,
            'reason': self._reason,
            'error': self._error or told,
        }
        with contextlib.suppress(OSError):
            os.write(self._result, json.dumps(ending).encode())
        os.close(self._failure)
        os.close(self._result)


def start(
    command: sandbox_settings.Command,
    around: commands.Surroundings,
    groups: cgroups.ControlGroups,
    tree: int,
    came: list[int],
) -> RunningCommand:
    """Start a command.

    :param tree: descriptor of the guest's tree, detached.
    :param came: descriptors of its standard streams and of a pipe for its
        end; the last one is taken.
    """
    *streams, _ = came
    for stream in streams:
        _give(stream, around.root)
    told, failure = os.pipe()
    try:
        pid = commands.start(
            command, around, commands.Descriptors(tree, streams, failure)
        )
    except BaseException:
        os.close(told)
        raise
    finally:
        os.close(failure)
    return RunningCommand(pid, told, came.pop(), groups, around.settings)


def _give(stream: int, root: int) -> None:
    """Let the guest's root open a pipe again, as /dev/stdout."""
    if stat.S_ISFIFO(os.fstat(stream).st_mode):
        os.fchown(stream, root, root)


def spawn(argv: Sequence[str], place: int) -> int:
    """Start a daemon.

    :param place: descriptor of the mount namespace that it is to run in.
    :returns: its process id.
    :raises OSError: it cannot be started.
    """
    told, failure = os.pipe()
    pid = os.fork()
    if not pid:
        _become_daemon(argv, place, failure)
    os.close(failure)
    with open(told, 'rb') as stream:
        number = stream.read(16)
    if number:
        os.waitpid(pid, 0)
        raise OSError(int(number), os.strerror(int(number)), argv[0])
    return pid


def _become_daemon(argv: Sequence[str], place: int, failure: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(2, 1)
        os.setsid()
        syscalls.setns(place, syscalls.CLONE_NEWNS)
        # One that serves a disk must not wait for what is written to it.
        with contextlib.suppress(OSError):
            syscalls.prctl(syscalls.PR_SET_IO_FLUSHER, 1)
        os.execvp(argv[0], list(argv))  # noqa: S606
    except OSError as error:
        os.write(failure, str(error.errno).encode())
    finally:
        os._exit(1)
