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
"""One job: a child process, its input and its events.

The protocol: one line of JSON on its standard input, which then stays open
for the job's parent-death watch (its end tells the job that the conductor is
dead); events as lines of JSON on its standard output; text for the log on its
standard error.

Nothing that a job writes is trusted: lines have a limit, what is not an event
goes to the log, and the pipes are always read, so a job never waits for us.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import secrets
import subprocess
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import IO
from typing import Any

from imagebuild.conductor import job_processes

LOG = logging.getLogger(__name__)

#: Called with each event but the last.
OnEvent = Callable[[dict[str, Any]], None]

_LONGEST_EVENT = 1024 * 1024
_LONGEST_LINE = 8192
_LAST_LINES = 20
_DRAIN = 2.0


@dataclasses.dataclass(frozen=True)
class JobCallbacks:
    """What a job calls, from threads of its own but for ``note``.

    :ivar on_event: with each event.
    :ivar wake: when there is something new.
    :ivar note: with its first process, before and after that is started.
    :ivar enter_thread: first in each thread (log context).
    """

    on_event: OnEvent
    wake: Callable[[], None]
    note: Callable[[job_processes.Leader], None]
    enter_thread: Callable[[], None] = lambda: None


class JobProcess:
    """A job from its start to its end.

    :param command: the program.
    :param request: its document.
    :param directory: where it runs.
    :param callbacks: what is called when something happens to it.
    :ivar leader: its first process.
    :ivar started_at: when it was first heard of (monotonic), as it counts its
        own time; None until then.
    :ivar last: its event ``finished`` or ``failed``; None until then.
    """

    def __init__(
        self,
        command: Sequence[str],
        request: Mapping[str, Any],
        directory: pathlib.Path,
        callbacks: JobCallbacks,
    ) -> None:
        job_token = secrets.token_hex(16)
        # Written down before it is there, so that it is found by its token
        # when this process dies right after starting it.
        callbacks.note(job_processes.Leader.of(0, job_token))
        self._process = subprocess.Popen(
            list(command),
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, job_processes.VARIABLE: job_token},
        )
        # The process is ours and not waited for, so it is still there, if
        # only as a zombie.
        self.leader = job_processes.Leader.of(self._process.pid, job_token)
        callbacks.note(self.leader)
        self.started_at: float | None = None
        self.last: dict[str, Any] | None = None
        self._callbacks = callbacks
        self._last_lines: collections.deque[str] = collections.deque(
            maxlen=_LAST_LINES
        )
        text = json.dumps(request, separators=(',', ':')) + '\n'
        self._threads = [
            self._thread('in', lambda: self._write_request(text.encode())),
            self._thread('out', self._read_events),
            self._thread('err', self._read_log),
        ]

    @property
    def last_lines(self) -> str:
        """The end of what it wrote to its standard error."""
        return '\n'.join(self._last_lines)

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs.

        When it is not None every event has been handed on, and nothing of
        the job is left.
        """
        code = self._process.poll()
        if code is None:
            return None
        self._join(_DRAIN)
        job_processes.end(self.leader, grace=0)
        self._join(_DRAIN)
        self._close()
        return code

    @property
    def has_closed_its_output(self) -> bool:
        """Whether no further event can come; then it is about to end."""
        return not self._threads[1].is_alive()

    def wait(self, seconds: float) -> None:
        """Give a process that closed its output time to end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def end(self, grace: float) -> None:
        """End it and everything it started.

        :param grace: seconds between SIGTERM and SIGKILL.
        """
        job_processes.end(self.leader, grace=grace)
        self._process.wait()
        self._join(_DRAIN)
        self._close()

    # -- the threads --------------------------------------------------------

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            self._callbacks.enter_thread()
            try:
                work()
            except (OSError, ValueError) as error:
                # A pipe that was closed.
                LOG.debug('job %s: %s', name, error)
            finally:
                self._callbacks.wake()

        thread = threading.Thread(
            target=run, name=f'job-{self._process.pid}-{name}', daemon=True
        )
        thread.start()
        return thread

    def _write_request(self, request: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(request)
        self._process.stdin.flush()

    def _read_events(self) -> None:
        assert self._process.stdout is not None  # noqa: S101
        for line in _lines(self._process.stdout, _LONGEST_EVENT):
            event = _parse(line)
            if self.started_at is None:
                self.started_at = time.monotonic()
            if event is None:
                LOG.warning('Not an event: %.500s', line)
                self._last_lines.append(line[:_LONGEST_LINE])
            elif event['event'] in ('finished', 'failed'):
                self.last = event
            else:
                self._callbacks.on_event(event)

    def _read_log(self) -> None:
        assert self._process.stderr is not None  # noqa: S101
        for line in _lines(self._process.stderr, _LONGEST_LINE):
            self._last_lines.append(line)
            LOG.info('job: %s', line)

    def _join(self, seconds: float) -> None:
        for thread in self._threads[1:]:
            thread.join(seconds)

    def _close(self) -> None:
        pipes = (
            self._process.stdin,
            self._process.stdout,
            self._process.stderr,
        )
        for thread, pipe in zip(self._threads, pipes, strict=True):
            # Closing a pipe that is being read waits for its reader.
            if pipe is not None and not thread.is_alive():
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()


def _lines(pipe: IO[bytes], longest: int) -> Iterator[str]:
    """Lines without their ends; what exceeds the limit is cut off."""
    while line := pipe.readline(longest + 1):
        whole = line.endswith(b'\n') or len(line) <= longest
        yield line[:longest].decode('utf-8', 'replace').rstrip('\r\n')
        while not whole:
            rest = pipe.readline(longest + 1)
            whole = rest.endswith(b'\n') or not rest


def _parse(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(event, dict) and isinstance(event.get('event'), str):
        return event
    return None
