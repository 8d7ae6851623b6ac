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
"""Claims jobs while there are free slots."""

from __future__ import annotations

import collections
import functools
import importlib.util
import logging
import random
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Protocol

from imagebuild import db
from imagebuild import exception
from imagebuild.common import placement
from imagebuild.conductor import claims
from imagebuild.conductor import disk_space
from imagebuild.conductor import lane_order
from imagebuild.conductor import periodic_task
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.db import transaction

LOG = logging.getLogger(__name__)

#: Starts a build that was claimed.
Begin = Callable[[db.Job], None]

#: What a conductor looks for, in this order: an upload ends a build.
KINDS = ('delete', 'upload', 'validate', 'build')

_PAUSE = 2.0
_STOP_TIMEOUT = 15.0
#: Seconds between the looks of two that were told of the same job: the first
#: one takes it, and the other finds nothing. Longer than a claim takes.
_TURN = 0.3
#: Seconds within which all look that have no turn.
_SPREAD = 0.3


class Running(Protocol):
    """A job that runs; see :class:`imagebuild.conductor.attempt.Attempt`."""

    build_id: str
    driver: str

    def stop(self, reason: claims.Interrupted) -> None: ...

    def join(self, seconds: float) -> bool: ...


@functools.cache
def _has_ssh() -> bool:
    """Whether the library that reaches machines is installed: an extra."""
    return importlib.util.find_spec('asyncssh') is not None


class RunningJobs:
    """The jobs of one kind that run here; used by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}

    def add(self, id: str, running: Running) -> None:
        with self._lock:
            self._running[id] = running

    def remove(self, id: str, running: Running) -> None:
        """Take one out, unless another attempt at the job has begun."""
        with self._lock:
            if self._running.get(id) is running:
                del self._running[id]

    def ids(self) -> set[str]:
        with self._lock:
            return set(self._running)

    def of_build(self, build_id: str) -> list[Running]:
        """Those that are for a build."""
        return [each for each in self.all() if each.build_id == build_id]

    def by_driver(self) -> dict[str, int]:
        """How many there are, by the drivers of their builds."""
        return collections.Counter(each.driver for each in self.all())

    def all(self) -> list[Running]:
        with self._lock:
            return list(self._running.values())

    def __len__(self) -> int:
        with self._lock:
            return len(self._running)


class Scheduler:
    """A thread that claims; woken by a cast, or after a while without.

    :param running: the jobs that run here, by kind.
    :param begin: begins a claimed job; may raise.
    :param may_begin: whether a job of that kind, with these needs, may begin
        now.
    :param has_base: whether this host has the file that a job starts from;
        wakes this when it has found out.
    """

    def __init__(
        self,
        context: ConductorContext,
        *,
        get_capability: Callable[[], placement.Capability],
        running: Mapping[str, RunningJobs],
        begin: Begin,
        has_base: Callable[[placement.Needs], bool] = lambda _needs: True,
        may_begin: Callable[[str, placement.Needs], bool] = (
            lambda _kind, _needs: True
        ),
    ) -> None:
        self._context = context
        self._may_begin = may_begin
        self._has_base = has_base
        self._lacks_room = False
        self._is_draining = False
        #: When jobs of ours that wait are due, on the monotonic clock.
        self._due: list[float] = []
        self._get_capability = get_capability
        self._running = running
        self._begin = begin
        self._claiming = threading.Lock()
        self._sweep_interval = float(context.conf.conductor.sweep_interval)
        self._task = periodic_task.PeriodicTask('scheduler', self._work)

    def start(self) -> None:
        self._task.start()

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._task.wake()

    def call(self, id: str, turn: int | None) -> None:
        """As :meth:`wake`, when other conductors are told of it, too.

        :param id: of the job that was queued.
        :param turn: how many of them look before; None when nobody knows.
        """
        if turn == 0:
            self._task.wake()
            return
        if not any(self._free(kind) > 0 for kind in self._running):
            return
        pause = (
            random.uniform(0, _SPREAD)  # noqa: S311
            if turn is None
            else turn * _TURN
        )
        timer = threading.Timer(pause, self._wake_for, [id])
        timer.name = 'scheduler-turn'
        timer.daemon = True
        timer.start()

    def _wake_for(self, id: str) -> None:
        """Look, if nobody has taken a job meanwhile.

        Others may be queued by now: those are somebody else's turn.
        """
        try:
            if self._context.database.get_job(id).state != 'queued':
                return
        except exception.NotFound:
            return
        except exception.DatabaseUnavailable as error:
            LOG.warning('Job %s is left to others: %s', id, error)
            return
        self._task.wake()

    def wake_after(self, seconds: float) -> None:
        """As :meth:`wake`, and once more when a job that waits is due.

        :param seconds: until then; 0 when none waits.
        """
        if seconds:
            self._due.append(time.monotonic() + seconds)
        self._task.wake()

    def drain(self) -> None:
        """Claim no more builds; what was built here is still uploaded.

        Returns when that is certain.
        """
        self._is_draining = True
        with self._claiming:
            return

    def end(self) -> None:
        """Claim nothing more, but for what is being claimed."""
        self._task.end()

    def stop(self) -> None:
        """Claim nothing more; returns when that is certain."""
        deadline = time.monotonic() + _STOP_TIMEOUT
        self._task.stop(_STOP_TIMEOUT)
        # Builds that end claim their uploads in threads of their own.
        left = max(0.0, deadline - time.monotonic())
        if self._claiming.acquire(timeout=left):
            self._claiming.release()

    def _work(self) -> float:
        try:
            self.claim_all()
        except exception.DatabaseUnavailable as error:
            LOG.warning('Nothing can be claimed now: %s', error)
            return min(self._sweep_interval, _PAUSE)
        except Exception:
            LOG.exception('Unexpected error in the scheduler')
        now = time.monotonic()
        pauses = [each - now for each in self._due]
        return max(0.0, min([self._sweep_interval, *pauses]))

    def claim_all(self) -> None:
        """Claim jobs until the slots or the jobs run out.

        :raises DatabaseUnavailable: that could not be done.
        """
        with self._claiming:
            self._release_due()
            while (
                not self._task.stopped
                and (kinds := self._kinds())
                and self._claim_one(kinds)
            ):
                pass

    def _release_due(self) -> None:
        """Queue the jobs that have waited here for their time.

        All of the service that are due are queued: whoever looks first.
        """
        due = [each for each in self._due if each <= time.monotonic()]
        if due:
            self._context.database.release_waiting()
            # Others may be added meanwhile.
            for each in due:
                self._due.remove(each)

    def _kinds(self) -> list[str]:
        """What there is a slot for, and room."""
        return [
            kind
            for kind in KINDS
            if kind in self._running
            and self._free(kind) > 0
            and (kind != 'build' or self._room())
        ]

    def _free(self, kind: str) -> int:
        """How many more jobs of a kind may run here."""
        capable = self._get_capability()
        if kind == 'upload':
            slots = int(self._context.conf.conductor.max_uploads)
        elif kind == 'delete':
            # Nothing is lost by it, and there may be any number of them.
            wanted = int(self._context.conf.conductor.max_deletions)
            slots = 0 if self._is_draining else wanted
        elif kind == 'validate':
            wanted = int(self._context.conf.validation.max_running)
            slots = wanted if _has_ssh() and not self._is_draining else 0
        else:
            slots = capable.slots if capable.drivers else 0
            if self._is_draining:
                slots = 0
        return slots - len(self._running[kind])

    def _room(self) -> bool:
        lacks = not disk_space.is_enough_for_another(
            self._context.conf, self._context.work_dir
        )
        if lacks != self._lacks_room:
            LOG.warning(
                'The disk has no room for another build: none is claimed'
                if lacks
                else 'The disk has room again'
            )
            self._lacks_room = lacks
        return not lacks

    def _is_able(
        self,
        lane: db.Lane,
        capable: placement.Capability,
        running: Mapping[str, int],
    ) -> bool:
        needs = placement.Needs.from_dict(lane.needs)
        if lane.kind == 'build' and not placement.free_slots(
            needs, capable, running
        ):
            return False
        return (
            not placement.missing(needs, capable)
            and self._has_base(needs)
            and self._may_begin(lane.kind, needs)
        )

    def _claim_one(self, kinds: Sequence[str]) -> bool:
        """Claim the job that comes first; whether there was one.

        The lanes are read again for each, as others claim meanwhile. That is
        one short query, and most looks find nothing to claim, or one slot.
        """
        limit = int(self._context.conf.quota.running)
        for lane in self._lanes(kinds, limit):
            job = self._context.database.claim(
                self._context.name,
                lane=lane.id,
                running_limit=limit,
                exclude=self._context.declined.ids(),
            )
            if job is not None:
                self._begin(job)
                return True
        return False

    def _lanes(self, kinds: Sequence[str], limit: int) -> list[db.Lane]:
        """The lanes that have work for this conductor, the best first."""
        capable = self._get_capability()
        running = self._running['build'].by_driver()
        found: dict[str, list[db.Lane]] = {kind: [] for kind in kinds}
        for lane in self._context.database.lanes(kinds, running_limit=limit):
            if self._is_able(lane, capable, running):
                found[lane.kind].append(lane)
        return [
            lane
            for kind in kinds
            for lane in self._in_order(found[kind], capable)
        ]

    def _in_order(
        self, lanes: Sequence[db.Lane], capable: placement.Capability
    ) -> list[db.Lane]:
        def preference(lane: db.Lane) -> int:
            needs = placement.Needs.from_dict(lane.needs)
            return placement.preference(needs, capable)

        return lane_order.in_order(
            lanes,
            now=transaction.utcnow(),
            aging=float(self._context.conf.conductor.priority_aging),
            preference=preference,
        )
