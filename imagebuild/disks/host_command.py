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
"""The one place that runs programs of this host.

Commands are lists, no shell looks at them, their input is empty or a file, and
each runs in a process group of its own: a Ctrl-C on the terminal does not
reach it, and whatever ends the wait (time, cancellation, an interrupt) ends
the whole group before the exception goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import pathlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.common.counts import counted

LOG = logging.getLogger(__name__)

_TICK = 0.25
_LONGEST_REASON = 2000
#: Waits for a line, and becomes the program; $0 is the program's input.
_WAIT = 'read -r go && exec "$@" <"$0"'
#: What programs say, in English, when they find no room.
FULL = ('No space left on device', 'Disk quota exceeded')
_PACKAGES = {
    'qemu-img': 'install qemu-utils (Debian) or qemu-img (Red Hat)',
    'fallocate': 'install util-linux',
}


@dataclasses.dataclass(frozen=True)
class Files:
    """What a program reads and prints.

    :ivar input: its standard input; empty by default.
    :ivar output: for what it prints, on standard error, too.
    """

    input: pathlib.Path | None = None
    output: pathlib.Path | None = None


def unless(cancelled: Callable[[], bool] | None) -> Callable[[], None] | None:
    """What :func:`run` watches, to end when something is cancelled.

    :returns: raises Interrupted when ``cancelled`` returns True.
    """
    if cancelled is None:
        return None

    def watch() -> None:
        if cancelled():
            raise exception.Interrupted(signal='a cancellation')

    return watch


def run(
    argv: Sequence[str],
    *,
    timeout: float | None = None,
    on_start: Callable[[int], None] | None = None,
    writes_to: pathlib.Path | None = None,
    good_exit_codes: Collection[int] = (0,),
    files: Files = Files(),
    watch: Callable[[], object] | None = None,
) -> str:
    """Run a program and wait for its end.

    :param argv: program and arguments.
    :param timeout: seconds after which it is killed; None: never.
    :param on_start: called with its process id, so that it can be written
        down. The program begins when that is done, and never if this process
        is killed before.
    :param writes_to: what it writes, for the message when the disk is full.
    :param good_exit_codes: the codes that are no failure.
    :param files: what it reads and prints.
    :param watch: called four times a second; what it raises ends the
        program, see :func:`unless`.
    :returns: its standard output; '' when it went to a file.
    :raises MissingDependency: there is no such program.
    :raises HostCommandFailed: it failed or its time was up.
    :raises DiskFull: it found no room to write.
    """
    LOG.debug('Running %s', argv)
    process = _start(argv, files, waits=on_start is not None)
    try:
        if on_start:
            on_start(process.pid)
            _let_go(process)
        stdout, stderr = _wait(process, argv[0], timeout, watch)
    except BaseException:
        _kill(process)
        raise
    if process.returncode not in good_exit_codes:
        raise _failure(argv[0], process.returncode, stderr, writes_to)
    return stdout


def _start(
    argv: Sequence[str], files: Files, *, waits: bool
) -> subprocess.Popen[str]:
    """Start a program.

    :param waits: it is not run before :func:`_let_go`.
    """
    source = files.input or pathlib.Path(os.devnull)
    if waits:
        if shutil.which(argv[0]) is None:
            raise _missing(argv[0])
        argv = ['/bin/sh', '-c', _WAIT, str(source), *argv]
    try:
        with contextlib.ExitStack() as stack:
            stdin = stack.enter_context(source.open('rb'))
            output = None
            if files.output is not None:
                output = stack.enter_context(files.output.open('wb'))
            return subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE if waits else stdin,
                stdout=output or subprocess.PIPE,
                stderr=output or subprocess.PIPE,
                # Its process group is killed as a whole, and only by us.
                start_new_session=True,
                encoding='utf-8',
                errors='replace',
                # Messages are searched for English texts.
                env={**os.environ, 'LC_ALL': 'C'},
            )
    except FileNotFoundError as error:
        raise _missing(argv[0]) from error
    except OSError as error:
        raise exception.HostCommandFailed(
            program=argv[0],
            exit_code='none',
            reason=f'it cannot be started: {error.strerror}',
        ) from error


def _missing(program: str) -> exception.MissingDependency:
    remedy = _PACKAGES.get(program, 'install it')
    return exception.MissingDependency(what=program, remedy=remedy)


def _let_go(process: subprocess.Popen[str]) -> None:
    # communicate() would look at it again.
    gate, process.stdin = process.stdin, None
    if gate:
        # It may have been killed by somebody, which _wait() finds out.
        with contextlib.suppress(BrokenPipeError), gate:
            gate.write('go\n')


def _wait(
    process: subprocess.Popen[str],
    program: str,
    timeout: float | None,
    watch: Callable[[], object] | None,
) -> tuple[str, str]:
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        # In short pieces, so that time and cancellation are looked at; what
        # was read is kept between them.
        with contextlib.suppress(subprocess.TimeoutExpired):
            stdout, stderr = process.communicate(timeout=_TICK)
            return stdout or '', stderr or ''
        if watch:
            watch()
        if end is not None and time.monotonic() > end:
            raise exception.HostCommandFailed(
                program=program,
                exit_code='none',
                reason='it was stopped after '
                f'{counted(timeout or 0, "second")}',
            )


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def _failure(
    program: str,
    exit_code: int,
    stderr: str,
    writes_to: pathlib.Path | None,
) -> exception.EnvironmentFault:
    if any(text in stderr for text in FULL):
        return exception.DiskFull(path=writes_to or 'a temporary file')
    reason = stderr.strip()[-_LONGEST_REASON:].removeprefix(f'{program}: ')
    return exception.HostCommandFailed(
        program=program,
        exit_code=exit_code,
        reason=reason or _without_reason(exit_code),
    )


def _without_reason(exit_code: int) -> str:
    if exit_code >= 0:
        return 'it gave no reason'
    with contextlib.suppress(ValueError):
        name = signal.Signals(-exit_code).name
        return f'it was ended by signal {-exit_code} ({name})'
    return f'it was ended by signal {-exit_code}'
