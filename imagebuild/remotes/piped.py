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
"""Run a command whose streams are pipes of this host.

For every way to a system in which a command is, or looks like, a process of
this host. The appliance is none; it has ports (:mod:`output_channel`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Protocol
from typing import Self

from imagebuild.remotes import base
from imagebuild.remotes import guest_faults
from imagebuild.remotes import invocations
from imagebuild.remotes import output
from imagebuild.remotes import time_limit

#: Seconds between two looks at the clock and at whether the command runs.
_TICK = 0.1


class Ended(Protocol):
    """How a command ended; attributes as of :class:`invocation.Ending`."""

    @property
    def code(self) -> int:
        """0 to 255; 128 + n when signal n ended it."""

    @property
    def reason(self) -> str:
        """Why it was ended by what it ran in, '' if it was not."""


class Running(Protocol):
    """A command that was started."""

    def wait(self, timeout: float) -> Ended | None:
        """Wait for its end.

        :param timeout: seconds; 0 not to wait.
        :returns: None if it still runs.
        :raises EnvironmentFault: it cannot be told any more.
        """

    def kill(self) -> object:
        """End it and all that it started; no error if it has ended.

        It need not have ended yet when this returns.
        """


#: Starts a command with these descriptors as standard input, output and error.
#: They are closed here when it returns. The input is a file that can be read
#: again or /dev/null. Where the command's root is not this one's, they have
#: to be given to it (fchown), since scripts open /dev/stdout.
Start = Callable[[int, int, int], Running]


def run(
    start: Start,
    invocation: invocations.Invocation,
    on_output: base.OutputCallback | None,
    *,
    grace: float = 30.0,
) -> invocations.Ending:
    """Run one command to its end.

    :param start: starts it.
    :param invocation: what it is; its input, limit and name are used.
    :param on_output: called with pieces.
    :param grace: seconds in which it has to be gone when it is stopped.
    :raises GuestBroken: it was not, or its output has no end.
    """
    with _Streams(invocation.stdin) as streams:
        running = start(*streams.of_command)
        streams.started()
        collector = output.Collector(output.Pipes(streams.readers), on_output)
        watch = time_limit.TimeLimit(running.kill, invocation.seconds)
        try:
            ended = _follow(running, collector, watch, grace)
            if ended is None:
                raise guest_faults.never_ended(invocation.shown)
            collector.finish()
        except output.OutputLost as error:
            raise guest_faults.output_lost(invocation.shown) from error
        except BaseException:
            # Also KeyboardInterrupt: never leave it running.
            with contextlib.suppress(Exception):
                running.kill()
            raise
    return invocations.Ending(
        ended.code,
        watch.reached,
        collector.text('stdout'),
        collector.text('stderr'),
        ended.reason,
    )


def _follow(
    running: Running,
    collector: output.Collector,
    watch: time_limit.TimeLimit,
    grace: float,
) -> Ended | None:
    """Wait for its end; None when it does not come."""
    while not watch.is_over(grace):
        # A stream ends with the command, so its end wakes this.
        if not collector.ended:
            collector.drain(_TICK)
        ended = running.wait(_TICK if collector.ended else 0)
        if ended is not None:
            return ended
        watch.check()
    return None


class _Streams:
    """The descriptors of one command, all closed at the end."""

    def __init__(self, stdin: bytes) -> None:
        self._open = contextlib.ExitStack()
        self._given = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            undo.callback(self._close)
            source = _input(stdin)
            self._given.callback(os.close, source)
            out, out_end = self._pipe()
            err, err_end = self._pipe()
            undo.pop_all()
        self.of_command = (source, out_end, err_end)
        self.readers: dict[base.Stream, int] = {'stdout': out, 'stderr': err}

    def _pipe(self) -> tuple[int, int]:
        reader, writer = os.pipe()
        self._open.callback(os.close, reader)
        self._given.callback(os.close, writer)
        return reader, writer

    def started(self) -> None:
        """The command has its own: only when all are closed do they end."""
        self._given.close()

    def _close(self) -> None:
        self._given.close()
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._close()


def _input(content: bytes) -> int:
    """A file to read from; nobody has to feed it."""
    if not content:
        return os.open('/dev/null', os.O_RDONLY)
    with open(os.memfd_create('stdin'), 'wb') as file:
        file.write(content)
        file.flush()
        # Opened again: with a place of its own, and not to be written to.
        return os.open(f'/proc/self/fd/{file.fileno()}', os.O_RDONLY)
