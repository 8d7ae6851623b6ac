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
"""Ends a job with everything it started, and nothing else.

A job leads a session of its own, but what it starts may leave the session
(daemons do). So every job gets a token in its environment, which its
descendants inherit, and the processes of a job are: its session, its
descendants, and whatever carries the token. No cgroup is needed, which
containers and unprivileged conductors may not have.

Pids are used again by the kernel. A process is therefore only signalled
through a handle (pidfd) that was taken before it was looked at.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import psutil

from imagebuild.common import processes

#: The variable that holds the token.
VARIABLE = 'IMAGEBUILD_JOB_MARK'

_ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
_PAUSE = 0.05


@dataclasses.dataclass(frozen=True)
class Leader:
    """The process of a job that leads its session.

    :ivar pid: also the number of its session and process group.
    :ivar started: its start time in ticks since boot.
    :ivar job_token: value of :data:`VARIABLE` in its environment.
    :ivar pid_namespace_id: boot and pid namespace that the pid belongs to.
    """

    pid: int
    started: int
    job_token: str
    pid_namespace_id: str

    def to_dict(self) -> dict[str, Any]:
        """As it is written into ``job.json``.

        The names of the file stay as they are: after an upgrade the new
        conductor reads what the old one has left.
        """
        return {
            'pid': self.pid,
            'started': self.started,
            'mark': self.job_token,
            'realm': self.pid_namespace_id,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Leader:
        """Read what :meth:`to_dict` wrote.

        :raises KeyError, TypeError, ValueError: something else wrote it.
        """
        return cls(
            int(raw['pid']),
            int(raw['started']),
            str(raw['mark']),
            str(raw['realm']),
        )

    @classmethod
    def of(cls, pid: int, job_token: str) -> Leader:
        """Describe a process; 0 is one that is not there yet."""
        return cls(
            pid,
            processes.start_time(pid) or 0,
            job_token,
            processes.pid_namespace_id(),
        )


def members(leader: Leader) -> set[int]:
    """The processes of a job that are left, zombies not counted.

    Processes of another boot or pid namespace are not looked for.
    """
    if leader.pid_namespace_id != processes.pid_namespace_id():
        return set()
    table = dict(_table())
    # While a session has members the kernel does not give its number to a
    # new process; with the leader gone a session of the same number may be
    # another one, and only the token tells.
    ours = processes.start_time(leader.pid) == leader.started
    found = {
        pid
        for pid, each in table.items()
        if (ours and leader.pid in (pid, _session(pid)))
        or _has_token(each['environ'], leader.job_token)
    }
    _add_descendants(found, table)
    return {pid for pid in found if table[pid]['status'] not in _ENDED} - {
        os.getpid()
    }


def end(leader: Leader, *, grace: float) -> bool:
    """End a job: SIGTERM, a little time, then SIGKILL until all are gone.

    :param grace: seconds between the two.
    :returns: whether anything was still there.
    """
    pids = members(leader)
    if not pids:
        return False
    if grace > 0:
        _signal(leader, pids, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and members(leader):
            time.sleep(_PAUSE)
    deadline = time.monotonic() + 10
    while (pids := members(leader)) and time.monotonic() < deadline:
        # Again until none is left: they may be starting others meanwhile.
        _signal(leader, pids, signal.SIGKILL)
        time.sleep(_PAUSE)
    return True


def _table() -> Iterator[tuple[int, dict[str, Any]]]:
    # Not process_iter(): it keeps its objects from one look to the next, and
    # passes over a pid that was given to another process in between.
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            yield pid, process.as_dict(['ppid', 'status', 'environ'])


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _has_token(environ: Mapping[str, str] | None, job_token: str) -> bool:
    # None: the process of another user, or one that has just ended.
    return environ is not None and environ.get(VARIABLE) == job_token


def _add_descendants(
    found: set[int], table: Mapping[int, Mapping[str, Any]]
) -> None:
    more = set(found)
    while more:
        more = {
            pid
            for pid, each in table.items()
            if each['ppid'] in more and pid not in found
        }
        found |= more


def _signal(leader: Leader, pids: set[int], number: signal.Signals) -> None:
    handles = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            handles[pid] = os.pidfd_open(pid)
    try:
        # Looked at again: whoever is a member still now is the process
        # that its handle was taken of.
        still = members(leader)
        for pid, handle in handles.items():
            if pid in still:
                with contextlib.suppress(OSError):
                    signal.pidfd_send_signal(handle, number)
    finally:
        for handle in handles.values():
            os.close(handle)
