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
from imagebuild.conductor import capability
from imagebuild.conductor import claims
from imagebuild.conductor import disk_space
from imagebuild.conductor import periodic_task
from imagebuild.conductor.conductor_context import ConductorContext

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
    """

    def __init__(
        self,
        context: ConductorContext,
        *,
        get_capability: Callable[[], capability.Capability],
        running_builds: RunningBuilds,
        begin: Begin,
    ) -> None:
        self._context = context
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
        lost = 0
        while not self._task.stopped and lost < _LOST:
            claimed = self._claim_some()
            if claimed is None:
                return
            # Others had them all; there may be more behind those.
            lost = 0 if claimed else lost + 1

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

    def _claim_some(self) -> int | None:
        """Claim what one look shows.

        :returns: how many; None when there was nothing to be claimed.
        """
        capable = self._get_capability()
        free = capable.slots - len(self._running_builds)
        if free <= 0 or not capable.drivers or not self._room():
            return None
        limit = int(self._context.conf.quota.running)
        declined = self._context.declined.ids()
        found = self._context.database.claimable(
            drivers=capable.drivers,
            operating_systems=capable.operating_systems,
            architecture=capable.architecture,
            running_limit=limit,
            # Those that were declined stay at the head of the queue, and would
            # hide the others.
            limit=_LOOK + len(declined),
        )
        ids = [build_id for build_id in found if build_id not in declined]
        if not ids:
            return None
        claimed = 0
        for build_id in ids:
            if self._task.stopped or claimed == free or not self._room():
                break
            build = self._context.database.claim(
                build_id, self._context.name, running_limit=limit
            )
            if build is not None:
                claimed += 1
                self._begin(build)
        return claimed
