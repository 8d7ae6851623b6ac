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
"""Messages that are sent in the background, whatever the broker does."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable

LOG = logging.getLogger(__name__)

#: Messages that wait for a broker that is away; further ones are dropped.
_MAX_WAITING = 1000


class Sender:
    """Sends messages from a thread of its own.

    oslo.messaging waits seconds, or as long as it takes, for a broker that
    is away; who only sends a message does not.
    """

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[str, Callable[[], object]]] = (
            queue.Queue(_MAX_WAITING)
        )
        self._lock = threading.Lock()
        self._pid = 0

    def send(self, what: str, act: Callable[[], object]) -> None:
        """Have something sent soon; never raises, never waits.

        :param what: for the log.
        """
        with self._lock:
            # Started by the first message: a web server forks before.
            if self._pid != os.getpid():
                self._pid = os.getpid()
                threading.Thread(
                    target=self._run, name='sender', daemon=True
                ).start()
        try:
            self._waiting.put_nowait((what, act))
        except queue.Full:
            LOG.warning('%s was dropped: the message bus is unavailable', what)

    def _run(self) -> None:
        while True:
            what, act = self._waiting.get()
            try:
                act()
            except Exception as error:
                LOG.warning('%s was not sent: %s', what, error)
