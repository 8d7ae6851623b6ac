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

One thread computes; others get the last result meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic
from typing import TypeVar

T = TypeVar('T')

#: Seconds for which a finding is told to who comes while one looks.
MAX_AGE = 30.0


class StaleCache(Generic[T]):
    """What was found last. Who may ask is anybody, so that asking must not
    keep more than one thread busy, however long looking takes.
    """

    def __init__(self, *, max_age: float = MAX_AGE) -> None:
        self._max_age = max_age
        self._lock = threading.Lock()
        self._found: tuple[float, T] | None = None

    def get(self, look: Callable[[], T]) -> T:
        """Look, or return what was found last while another one looks.

        Waits for the other one only as long as there is nothing to tell.
        """
        if not self._lock.acquire(blocking=False):
            found = self._recent()
            if found is not None:
                return found[1]
            with self._lock:
                # By the one that was waited for, who came after us.
                found = self._recent()
                return found[1] if found else self._look(look)
        try:
            return self._look(look)
        finally:
            self._lock.release()

    def _recent(self) -> tuple[float, T] | None:
        found = self._found
        if found is None or time.monotonic() - found[0] > self._max_age:
            return None
        return found

    def _look(self, look: Callable[[], T]) -> T:
        value = look()
        self._found = (time.monotonic(), value)
        return value
