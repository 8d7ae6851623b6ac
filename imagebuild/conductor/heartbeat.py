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
"""Heartbeats, from a thread that does nothing else."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from imagebuild import db
from imagebuild import exception
from imagebuild.common.placement import Capability
from imagebuild.conductor import periodic_task

LOG = logging.getLogger(__name__)

#: A heartbeat that comes so many intervals after the one before is late.
_LATE = 2


class Heartbeat:
    """Registers the conductor and keeps its row fresh.

    :param version: of imagebuild.
    :param running: tells how many builds run.
    """

    def __init__(
        self,
        database: db.Database,
        name: str,
        version: str,
        *,
        get_capability: Callable[[], Capability],
        running: Callable[[], int],
        interval: float,
    ) -> None:
        self._database = database
        self._name = name
        self._version = version
        self._get_capability = get_capability
        self._running = running
        self._interval = interval
        self._status = 'up'
        self._registered = False
        self._stable_since: float | None = None
        self._sent_at = 0.0
        self._task = periodic_task.PeriodicTask('heartbeat', self._work)

    @property
    def database_stable_for(self) -> float:
        """Seconds since when every heartbeat reached the database in time.

        After a failure of the database every conductor looks dead until it
        has had time for a heartbeat; so nobody judges others before it has
        seen the database work for that long. One that only hangs for a while
        raises no error, and neither does a host that stands still: our own
        heartbeat was late then, and so may those of all others be.
        """
        since, now = self._stable_since, time.monotonic()
        return 0.0 if since is None or self._is_late(now) else now - since

    def start(self) -> None:
        self._task.start()

    def drain(self) -> None:
        """Report ``draining`` from now on."""
        self._status = 'draining'
        self._task.wake()

    def send_now(self) -> None:
        """Send a heartbeat, and register a changed capability."""
        self._task.wake()

    def stop(self) -> None:
        """Send no more, and mark the conductor ``down`` if possible."""
        self._task.stop(self._interval)
        try:
            self._database.unregister(self._name)
        except exception.DatabaseUnavailable as error:
            LOG.warning('Conductor not marked as down: %s', error)

    def _work(self) -> float:
        try:
            self.send()
        except exception.DatabaseUnavailable as error:
            LOG.warning('Heartbeat failed: %s', error)
            self._stable_since = None
        except Exception:
            # It goes on whatever happens: without heartbeats all builds of
            # this conductor become somebody else's.
            LOG.exception('Unexpected error in the heartbeat')
            self._stable_since = None
        return self._interval

    def send(self) -> None:
        """Send one heartbeat.

        :raises DatabaseUnavailable: it was not written.
        """
        current = self._get_capability()
        if not self._registered or not self._refresh(current):
            self._database.register_conductor(
                {**current.to_dict(), 'version': self._version}
            )
            self._registered = True
            LOG.info('Registered as %s: %s', self._name, current)
            # Registering resets the row to "up" with no builds, which is wrong
            # of one that drains or was only declared dead.
            self._refresh(current)
        now = time.monotonic()
        if self._stable_since is None or self._is_late(now):
            self._stable_since = now
        self._sent_at = now

    def _is_late(self, now: float) -> bool:
        return now - self._sent_at > _LATE * self._interval

    def _refresh(self, current: Capability) -> bool:
        return self._database.heartbeat(
            self._name,
            running=self._running(),
            status=self._status,
            capability=current,
        )
