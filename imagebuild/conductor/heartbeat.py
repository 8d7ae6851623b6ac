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
"""Signs of life, from a thread that does nothing else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from imagebuild import db
from imagebuild import exception
from imagebuild.conductor import capability as capabilities

LOG = logging.getLogger(__name__)


class Heart:
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
        offer: Callable[[], capabilities.Capability],
        running: Callable[[], int],
        interval: float,
    ) -> None:
        self._database = database
        self._name = name
        self._version = version
        self._offer = offer
        self._running = running
        self._interval = interval
        self._status = 'up'
        self._registered: capabilities.Capability | None = None
        self._steady_since: float | None = None
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name='heart', daemon=True
        )

    @property
    def steady_for(self) -> float:
        """Seconds since when every beat reached the database.

        After a failure of the database every conductor looks dead until it
        has had time for a beat; so nobody judges others before it has seen
        the database work for that long.
        """
        since = self._steady_since
        return 0.0 if since is None else time.monotonic() - since

    def start(self) -> None:
        self._thread.start()

    def drain(self) -> None:
        """Say ``draining`` from now on."""
        self._status = 'draining'
        self._wake.set()

    def beat_now(self) -> None:
        """Beat, and tell of a changed offer."""
        self._wake.set()

    def stop(self) -> None:
        """Beat no more, and say ``down`` if that can be said."""
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(self._interval)
        try:
            self._database.unregister(self._name)
        except exception.DatabaseUnavailable as error:
            LOG.warning('Nobody hears that this one goes: %s', error)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.beat()
            except exception.DatabaseUnavailable as error:
                LOG.warning('No sign of life: %s', error)
                self._steady_since = None
            except Exception:
                LOG.exception('A defect of imagebuild')
                self._steady_since = None
            self._wake.wait(self._interval)
            self._wake.clear()

    def beat(self) -> None:
        """Give one sign of life.

        :raises DatabaseUnavailable: it was not heard.
        """
        offer = self._offer()
        if offer != self._registered or not self._heard():
            self._database.register_conductor(
                offer.registration(self._name, self._version)
            )
            self._registered = offer
            LOG.info('Registered as %s: %s', self._name, offer)
            self._heard()
        if self._steady_since is None:
            self._steady_since = time.monotonic()

    def _heard(self) -> bool:
        return self._database.heartbeat(
            self._name, running=self._running(), status=self._status
        )
