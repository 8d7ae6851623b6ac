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
"""Runs a daemon that ends when whoever needs it does.

Run as a script, with ``python -I -S``, with these arguments: a process id (or
0), a path, and the daemon's program and arguments. The daemon is a child of
this process. It is killed when the process with that id has ended, however
that happened, and when this process has: neither the end of a thread nor an
inherited descriptor is mistaken for that or hides it, so the owner may have
threads and other children. With 0 nobody is watched: for a supervisor at whose
end the kernel ends all that it started.

What the daemon prints and its exit code go to files, since its owner may be
one that cannot wait for it.

* PATH.log is what it printed.
* PATH.exit is its exit code, of a signal 128 + its number; made when it has
  ended.

SIGTERM kills the daemon; SIGUSR1 has it end by its own means.

It imports nothing of ours: it stands in the way of every start.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_PR_SET_IO_FLUSHER = 57
#: Exit codes when the daemon cannot be started, as of a shell, and when its
#: owner was gone first.
_NOT_FOUND = 127
_NOT_WANTED = 125

_libc = ctypes.CDLL(None, use_errno=True)


def main(argv: Sequence[str]) -> int:
    """Run the daemon until it ends, or its owner does.

    :param argv: the owner's process id, the path, the command.
    :returns: the daemon's exit code.
    """
    owner, path, *command = argv
    # The names of the daemon's sockets can be short there.
    os.chdir(os.path.dirname(path))
    name = os.path.basename(path)
    code = _run(int(owner), command, f'{name}.log')
    # The directory may be gone by now, or full.
    with contextlib.suppress(OSError):
        with open(f'{name}.exit.new', 'w', encoding='ascii') as file:
            file.write(str(code))
        os.rename(f'{name}.exit.new', f'{name}.exit')
    return code


def _run(owner: int, command: Sequence[str], log: str) -> int:
    poll = select.poll()
    if owner:
        try:
            poll.register(os.pidfd_open(owner), select.POLLIN)
        except OSError:
            return _NOT_WANTED
        # The handle was taken first: it cannot be another's by now.
        if os.getppid() != owner:
            return _NOT_WANTED
    keeper = os.getpid()
    child = os.fork()
    if not child:
        _become(command, log, keeper)
    handle = os.pidfd_open(child)
    # Whoever tells us to end waits until the daemon is gone.
    _pass_on(signal.SIGTERM, handle, signal.SIGKILL)
    _pass_on(signal.SIGUSR1, handle, signal.SIGTERM)
    poll.register(handle, select.POLLIN)
    if handle not in dict(poll.poll()):
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def _pass_on(number: int, handle: int, as_number: int) -> None:
    def handler(*_: object) -> None:
        # It may have ended by itself a moment ago, and been waited for. By
        # its handle: its id may be another's by then.
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, as_number)

    signal.signal(number, handler)


def _become(command: Sequence[str], log: str, keeper: int) -> None:
    """Become the daemon; does not return."""
    try:
        # This process has one thread: it is our end that is meant.
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != keeper:
            return
        # One that serves a disk must not wait for memory whose content is to
        # be written to that disk. Root may ask for that.
        _libc.prctl(_PR_SET_IO_FLUSHER, 1, 0, 0, 0)
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        written = os.open(log, flags, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(written, 1)
        os.dup2(written, 2)
        # Its messages are searched for English texts.
        env = {**os.environ, 'LC_ALL': 'C'}
        os.execvpe(command[0], list(command), env)  # noqa: S606
    except OSError as error:
        print(f'{command[0]}: {error.strerror}', file=sys.stderr, flush=True)
    finally:
        os._exit(_NOT_FOUND)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
