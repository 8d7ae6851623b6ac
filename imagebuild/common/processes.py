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
"""Processes by pid and start time, so that a reused pid is never mistaken.

A pid alone names nothing for long. Together with the tick at which the
process started, the boot of the host and the pid namespace it names one
process for ever.

psutil is not used here. Its create_time() is counted from the clock of the
host: two programs that ask for that of one process get different answers when
the clock was set in between, and what is compared here was written down by a
program that died. Its signals follow a look at the pid, ours a handle that
cannot change its process; and the local programs do without it.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import signal

_WAIT_FOR_END = 5000
_START_FIELD = 19


def start_time(pid: int) -> int | None:
    """When a process started.

    :returns: clock ticks since the host booted; None when there is no such
        process.
    """
    try:
        line = pathlib.Path(f'/proc/{pid}/stat').read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold anything, parentheses included.
    return int(line.rpartition(b')')[2].split()[_START_FIELD])


def pid_namespace_id() -> str:
    """Identify the boot and the pid namespace that pids belong to."""
    boot = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    return f'{boot}/{os.stat("/proc/self/ns/pid").st_ino}'


def kill(pid: int, started: int) -> bool:
    """Kill a process, if it still is the one that was meant.

    Waits up to 5 s until it is gone, so that its locks are gone too.

    :param pid: its process id.
    :param started: its :func:`start_time`.
    :returns: whether it was still there.
    """
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # The handle was taken first: it cannot change its process.
        if start_time(pid) != started:
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll(_WAIT_FOR_END)
        return True
    finally:
        os.close(handle)
