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
"""A thread that works when it is woken, and periodically without.

futurist's PeriodicWorker does not fit: its tasks cannot be woken, and a build
would wait for the next sweep; nor can a task choose when it runs next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures


class PeriodicTask:
    """Repeats some work in a thread of its own.

    :param name: of the thread.
    :param work: does it once, and returns the seconds until the next time,
        unless it is woken before. What it raises ends the loop.
    """

    def __init__(self, name: str, work: Callable[[], float]) -> None:
        self._work = work
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=name, daemon=True
        )

    @property
    def stopped(self) -> bool:
        """Whether the work is to end."""
        return self._stopped.is_set()

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._wake.set()

    def end(self) -> None:
        """Have it end; returns at once."""
        self._stopped.set()
        self._wake.set()

    def stop(self, timeout: float) -> None:
        """Have it end, and wait for the work that is being done.

        :param timeout: seconds to wait at most.
        """
        self.end()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self.stopped:
            pause = self._work()
            self._wake.wait(pause)
            # Cleared before the work: who wakes it during the work finds that
            # it is done once more.
            self._wake.clear()


def stop_all(*stops: Callable[[], None]) -> None:
    """Call functions that wait for tasks to end, at the same time."""
    with futures.ThreadPoolExecutor(len(stops), 'stop') as pool:
        for end in [pool.submit(stop) for stop in stops]:
            end.result()
