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
"""A cache for results that are expensive to compute.

One thread computes; others get the last result meanwhile. Where there is
none a few wait for a moment, and the rest get none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic
from typing import TypeVar

T = TypeVar('T')

#: Seconds for which the last result is returned while another is computed.
MAX_AGE = 30.0
#: How many threads wait for the first result, and for so many seconds: no
#: more than a quarter of the eight that an API has as it is shipped.
_MOST_WAITING = 2
_SECONDS = 2.0


class StaleCache(Generic[T]):
    """Keeps the last result of a computation that only one thread runs.

    For calls that need no token: however often they come and however long
    the computation takes, it keeps one thread busy, and few others wait.

    :param max_age: seconds after which the last result is not returned.
    """

    def __init__(self, *, max_age: float = MAX_AGE) -> None:
        self._max_age = max_age
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)
        self._last: tuple[float, T] | None = None

    def get(self, compute: Callable[[], T]) -> T | None:
        """Compute, or return the last result while another thread computes.

        :returns: None while another thread computes and the last result is
            too old, or there is none yet.
        :raises Exception: of ``compute``; the last result stays.
        """
        if not self._lock.acquire(blocking=False):
            found = self._recent()
            return self._awaited() if found is None else found
        try:
            value = compute()
            self._last = (time.monotonic(), value)
            return value
        finally:
            self._lock.release()

    def _awaited(self) -> T | None:
        """What the other thread finds: two probes may well come at once."""
        if not self._waiting.acquire(blocking=False):
            return None
        try:
            if self._lock.acquire(timeout=_SECONDS):
                self._lock.release()
            return self._recent()
        finally:
            self._waiting.release()

    def _recent(self) -> T | None:
        found = self._last
        if found is None or time.monotonic() - found[0] > self._max_age:
            return None
        return found[1]
