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
"""Leaves a store alone that does not answer.

A thousand images may wait to be deleted there. Each would wait for the same
answer, take the place of others whose store is well, and say so in the log.
So one of them asks from time to time, and the others wait for what it finds.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable

LOG = logging.getLogger(__name__)

_FIRST = 2.0
_LONGEST = 300.0
#: Seconds after which the log says again that a store is away.
_SAY_AGAIN = 6 * 3600.0


@dataclasses.dataclass
class _Pause:
    failures: int = 0
    reason: str = ''
    until: float = 0.0
    said_at: float = 0.0


class StorePauses:
    """Which stores are left alone now; used by all threads.

    :param clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pauses: dict[str, _Pause] = {}

    def slots(self, destination: str, slots: int) -> int:
        """How many may ask a store at once.

        :param slots: that there are for all stores.
        :returns: never all of several: one that hangs leaves a place to the
            others. One for a store that has failed, when its pause is over;
            0 before.
        """
        with self._lock:
            pause = self._pauses.get(destination)
            if pause is None:
                return slots if slots <= 1 else slots - 1
            return 0 if self._clock() < pause.until else min(slots, 1)

    def reason(self, destination: str) -> str:
        """Why a store is left alone; '' when it is not."""
        with self._lock:
            pause = self._pauses.get(destination)
            return pause.reason if pause else ''

    def failed(self, destination: str, reason: str) -> None:
        """Note that a store did not answer.

        :param reason: as users may see it. The log is told it once, and
            again every few hours.
        """
        with self._lock:
            now = self._clock()
            pause = self._pauses.setdefault(destination, _Pause())
            if now < pause.until:
                # Others had asked before it was left alone.
                return
            pause.failures += 1
            seconds = min(_FIRST * 2 ** (pause.failures - 1), _LONGEST)
            pause.until, pause.reason = now + seconds, reason
            tell = pause.failures == 1 or now - pause.said_at >= _SAY_AGAIN
            if tell:
                pause.said_at = now
        LOG.log(
            logging.WARNING if tell else logging.DEBUG,
            'The store of %s is away, nothing is deleted there for now: %s',
            _title(destination),
            reason,
        )

    def worked(self, destination: str) -> None:
        """Note that a store has answered."""
        with self._lock:
            pause = self._pauses.pop(destination, None)
        if pause is not None:
            LOG.info('The store of %s answers again', _title(destination))


def _title(destination: str) -> str:
    return f'destination "{destination}"' if destination else 'this cloud'
