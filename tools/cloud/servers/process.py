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
"""Start and stop programs that run in the background.

A program is a session of its own, led by the process that is recorded (id,
start time, boot), so that everything it starts is found and ended with it, and
so that Ctrl-C in a terminal does not reach it. Nothing is found by name.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import TextIO

from tools.cloud import cloud_state
from tools.cloud import errors
from tools.cloud.servers import proc

#: Set by the program's signal handlers (tools.cloud.__main__): every wait
#: ends with errors.Interrupted soon after.
interrupted = threading.Event()

_POLL = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A program to run in the background.

    :ivar env: its environment on top of ours.
    :ivar ready: asked until it answers True; an exception means not yet.
    :ivar ready_within: seconds until it must be ready.
    :ivar stop_signal: asks it to end well.
    :ivar stop_within: seconds until it is killed after that.
    :ivar files: configuration files; when they or the command line changed,
        starting it again replaces the one that runs.
    """

    name: str
    argv: Sequence[str]
    ready: Callable[[], bool]
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    directory: pathlib.Path | None = None
    ready_within: float = 180
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: float = 20
    files: Sequence[pathlib.Path] = ()

    def fingerprint(self) -> str:
        """What decides how it runs."""
        text = repr(
            (list(self.argv), sorted(self.env.items()), self.directory)
        )
        digest = hashlib.sha256(text.encode())
        for file in self.files:
            digest.update(file.read_bytes())
        return digest.hexdigest()


class Processes:
    """The background programs of one state directory."""

    def __init__(self, state: cloud_state.State) -> None:
        self.state = state

    def start(self, program: Program) -> bool:
        """Start it and wait until it is ready; False when it was running.

        :raises errors.CloudError: it ended, or was not ready in time.
        """
        started = False
        if not self._runs_as_wanted(program):
            self.stop(program.name, program=program)
            self._spawn(program)
            started = True
        self._wait_ready(program)
        return started

    def alive(self, name: str) -> bool:
        """Whether the recorded process is there."""
        return self.pid(name) is not None

    def pid(self, name: str) -> int | None:
        """The recorded process, or None when it has ended."""
        record = self.state.get('processes', name)
        return record['pid'] if record and proc.is_same(record) else None

    def names(self) -> list[str]:
        """Every recorded program, the newest first."""
        records = self.state.section('processes')
        return sorted(records, key=lambda n: -records[n]['number'])

    def stop(self, name: str, *, program: Program | None = None) -> bool:
        """End it and all that it started; False when nothing ran."""
        record = self.state.get('processes', name)
        if not record:
            return False
        ran = bool(proc.family(record))
        if proc.is_same(record):
            proc.send(record['pid'], signal.Signals(record['stop_signal']))
            _wait_gone(record, record['stop_within'])
        self._kill_group(record)
        self.state.set('processes', name, None)
        return ran

    def kill(self, name: str) -> None:
        """End it and all that it started with SIGKILL, as a crash would."""
        record = self.state.get('processes', name)
        if record:
            self._kill_group(record)
            self.state.set('processes', name, None)

    def run(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        within: float = 600,
        text: str = '',
    ) -> None:
        """Run a program to its end; its output goes to the log of this name.

        :raises errors.CloudError: it failed or took too long.
        """
        log = self.state.log(name)
        with _log_file(log) as output:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(env or {}),
                start_new_session=True,
                text=True,
            )
            self._record(f'{name}({process.pid})', process.pid, 1, 15, '')
        try:
            _feed(process, text)
            until(lambda: process.poll() is not None, within)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            self.state.set('processes', f'{name}({process.pid})', None)
        if process.returncode:
            command = ' '.join([os.path.basename(argv[0]), *argv[1:]])
            if process.returncode == -signal.SIGKILL:
                raise errors.CloudError(
                    f'{command} was not done in {within:.0f} s.', log
                )
            raise errors.CloudError(
                f'{command} failed with exit code {process.returncode}.', log
            )

    def _runs_as_wanted(self, program: Program) -> bool:
        record = self.state.get('processes', program.name)
        return bool(
            record
            and proc.is_same(record)
            and record['fingerprint'] == program.fingerprint()
        )

    def _spawn(self, program: Program) -> None:
        fingerprint = program.fingerprint()
        with _log_file(self.state.log(program.name)) as output:
            process = subprocess.Popen(
                program.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(program.env),
                cwd=program.directory or self.state.directory,
                start_new_session=True,
            )
        self._record(
            program.name,
            process.pid,
            program.stop_within,
            program.stop_signal,
            fingerprint,
        )
        # Reaps it when it ends before we do.
        threading.Thread(target=process.wait, daemon=True).start()

    def _record(
        self,
        name: str,
        pid: int,
        stop_within: float,
        stop_signal: int,
        fingerprint: str,
    ) -> None:
        record = {
            **proc.identity(pid),
            'number': time.time(),
            'stop_within': stop_within,
            'stop_signal': int(stop_signal),
            'fingerprint': fingerprint,
        }
        self.state.set('processes', name, record)

    def _wait_ready(self, program: Program) -> None:
        log = self.state.log(program.name)

        def settled() -> bool:
            return not self.alive(program.name) or _asked(program.ready)

        if not until(settled, program.ready_within):
            raise errors.CloudError(
                f'{program.name} was not ready in '
                f'{program.ready_within:.0f} s.',
                log,
            )
        if not self.alive(program.name):
            raise errors.CloudError(
                f'{program.name} ended while it was starting.', log
            )

    def _kill_group(self, record: Mapping[str, int]) -> None:
        family: dict[int, dict[str, Any]] = {}
        for _ in range(100):
            family |= {pid: proc.identity(pid) for pid in proc.family(record)}
            family = {p: i for p, i in family.items() if proc.is_same(i)}
            if not family:
                return
            for pid in family:
                proc.send(pid, signal.SIGKILL)
            time.sleep(_POLL)


def until(condition: Callable[[], bool], within: float) -> bool:
    """Ask until it is true; False when the seconds are over.

    :raises errors.Interrupted: we were asked to end.
    """
    end = time.monotonic() + within
    while not condition():
        if interrupted.is_set():
            raise errors.Interrupted
        if time.monotonic() > end:
            return False
        time.sleep(_POLL)
    return True


def _wait_gone(record: Mapping[str, int], within: float) -> None:
    """Wait for a process that was asked to end, interrupted or not."""
    end = time.monotonic() + within
    while proc.is_same(record) and time.monotonic() < end:
        time.sleep(_POLL)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours, without what would point a service at another cloud or code."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(('OS_', 'PYTHON'))
    }
    return kept | dict(more)


def _asked(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except (OSError, errors.CloudError):
        return False


def _feed(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None  # noqa: S101
    with contextlib.suppress(BrokenPipeError):
        with process.stdin as stdin:
            stdin.write(text)


@contextlib.contextmanager
def _log_file(path: pathlib.Path) -> Iterator[TextIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a') as file:
        yield file
