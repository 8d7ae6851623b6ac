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
"""What attempts may have left in a cloud, and are to be asked about.

An attempt that has ended is added by whoever has ended it; the thread of
:mod:`imagebuild.conductor.attempt_reaper` has its driver look. What is lost
here with the process is found by the search of that thread.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from collections.abc import Iterable

#: Build id and number of an attempt.
Attempt = tuple[str, int]

#: Of more than these the oldest are left to the search.
_MOST = 1000


class Leftovers:
    """Attempts, by the driver that they were made with; for all threads.

    :ivar on_add: called when there is a new one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: collections.OrderedDict[tuple[str, Attempt], None] = (
            collections.OrderedDict()
        )
        self.on_add: Callable[[], None] = lambda: None

    def add(self, driver: str, build_id: str, attempt: int) -> None:
        """Have it looked after, soon."""
        with self._lock:
            self._attempts[driver, (build_id, attempt)] = None
            while len(self._attempts) > _MOST:
                self._attempts.popitem(last=False)
        self.on_add()

    def by_driver(self) -> dict[str, list[Attempt]]:
        """All that there are."""
        found: dict[str, list[Attempt]] = {}
        with self._lock:
            for driver, attempt in self._attempts:
                found.setdefault(driver, []).append(attempt)
        return found

    def forget(self, driver: str, attempts: Iterable[Attempt]) -> None:
        """Take some out."""
        with self._lock:
            for each in attempts:
                self._attempts.pop((driver, each), None)
