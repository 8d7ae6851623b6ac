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
"""Claims builds while there are free slots."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
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
Begin = Callable[[db.Build], None]

_PAUSE = 2.0
#: Builds that are looked at together.
_LOOK = 20
#: Looks in a row that others may win before it waits for the next cast.
_LOST = 5
_STOP_TIMEOUT = 15.0


class Running(Protocol):
    """A build that runs; see :class:`imagebuild.conductor.builds.Attempt`."""

    def stop(self, reason: claims.Interrupted) -> None: ...

    def join(self, seconds: float) -> bool: ...


class RunningBuilds:
    """The builds that run here; used by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}

    def add(self, build_id: str, running: Running) -> None:
        with self._lock:
            self._running[build_id] = running

    def remove(self, build_id: str) -> None:
        with self._lock:
            self._running.pop(build_id, None)

    def ids(self) -> set[str]:
        with self._lock:
            return set(self._running)

    def get(self, build_id: str) -> Running | None:
        with self._lock:
            return self._running.get(build_id)

    def all(self) -> list[Running]:
        with self._lock:
            return list(self._running.values())

    def __len__(self) -> int:
        with self._lock:
            return len(self._running)


class Scheduler:
    """A thread that claims; woken by a cast, or after a while without.

    :param begin: begins a claimed build; may raise.
    :param has_base: whether this host has the file that a job starts from;
        wakes this when it has found out.
    """

    def __init__(
        self,
        context: ConductorContext,
        *,
        get_capability: Callable[[], placement.Capability],
        running_builds: RunningBuilds,
        begin: Begin,
        has_base: Callable[[placement.Needs], bool] = lambda _needs: True,
    ) -> None:
        self._context = context
        self._has_base = has_base
        self._lacks_room = False
        self._get_capability = get_capability
        self._running_builds = running_builds
        self._begin = begin
        self._sweep_interval = float(context.conf.conductor.sweep_interval)
        self._task = periodic_task.PeriodicTask('scheduler', self._work)

    def start(self) -> None:
        self._task.start()

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._task.wake()

    def stop(self) -> None:
        """Claim nothing more; returns when that is certain."""
        self._task.stop(_STOP_TIMEOUT)

    def _work(self) -> float:
        try:
            self.claim_all()
        except exception.DatabaseUnavailable as error:
            LOG.warning('No builds can be claimed now: %s', error)
            return min(self._sweep_interval, _PAUSE)
        except Exception:
            LOG.exception('Unexpected error in the scheduler')
        return self._sweep_interval

    def claim_all(self) -> None:
        """Claim builds until the slots or the builds run out."""
        if self._get_capability().slots > len(self._running_builds):
            self._context.database.release_waiting()
        while not self._task.stopped and self._claim_one():
            pass

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
        self, needs: placement.Needs, capable: placement.Capability
    ) -> bool:
        return not placement.missing(needs, capable) and self._has_base(needs)

    def _claim_one(self) -> bool:
        """Claim the build that comes first; whether there was one.

        The lanes are read again for each, as others claim meanwhile. That is
        one short query: most looks find nothing to claim, or one slot.
        """
        capable = self._get_capability()
        free = capable.slots - len(self._running_builds)
        if free <= 0 or not capable.drivers or not self._room():
            return False
        database = self._context.database
        limit = int(self._context.conf.quota.running)
        lanes = [
            lane
            for lane in database.lanes(['build'], running_limit=limit)
            if self._is_able(placement.Needs.from_dict(lane.needs), capable)
        ]

        def preference(lane: db.Lane) -> int:
            needs = placement.Needs.from_dict(lane.needs)
            return placement.preference(needs, capable)

        for lane in lane_order.in_order(
            lanes,
            now=transaction.utcnow(),
            aging=float(self._context.conf.conductor.priority_aging),
            preference=preference,
        ):
            job = database.claim(
                self._context.name,
                lane=lane.id,
                running_limit=limit,
                exclude=self._context.declined.ids(),
            )
            if job is not None:
                self._begin(database.get_build(job.build_id))
                return True
        return False
