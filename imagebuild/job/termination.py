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
"""The end of a job and of everything that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import psutil

_killing = threading.Event()


def own_group() -> None:
    """Be the leader of a process group, so that it can be killed."""
    if os.getpgrp() != os.getpid():
        with contextlib.suppress(PermissionError):
            os.setpgid(0, 0)


def kill_everything() -> None:
    """Kill every process that this one started, its group and itself.

    Programs that a job runs are in groups of their own, so the group is not
    enough.
    """
    _killing.set()
    kill_descendants()
    # Nobody but us has been put into it.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def wait_if_killing() -> None:
    """Never return once :func:`kill_everything` has begun.

    It may have begun in another thread. What fails from then on, fails
    because a process that it needed has been killed: nobody may be sent that,
    and the process may not end by itself with that as its result.
    """
    while _killing.is_set():
        time.sleep(1)


def kill_descendants() -> None:
    """Kill every process that this one started, and those they started."""
    # A process may start another one while it is being looked for.
    for _ in range(10):
        found = descendants(os.getpid())
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def descendants(of: int) -> list[int]:
    """The living processes below one, parents before children."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for each in psutil.Process(of).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if each.status() != psutil.STATUS_ZOMBIE:
                    found.append(each.pid)
    return found
