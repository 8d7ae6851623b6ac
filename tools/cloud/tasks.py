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
"""Do what waits for nothing at the same time."""

import concurrent.futures
import dataclasses
from collections.abc import Callable
from collections.abc import Mapping

from tools.cloud import errors
from tools.cloud.servers import process

#: More than processors: most of the time is spent waiting.
_AT_ONCE = 4


@dataclasses.dataclass(frozen=True)
class Task:
    """One thing to do.

    :ivar do: does it; what it returns is handed to on_done.
    :ivar after: the tasks that must be done before.
    """

    do: Callable[[], object]
    after: tuple[str, ...] = ()


def run(
    tasks: Mapping[str, Task], on_done: Callable[[str, object], None]
) -> None:
    """Do them all, each as early as it can be.

    After the first failure nothing is begun, and what waits stops waiting.

    :param on_done: called with the name and the result of each, by this
        thread.
    :raises ValueError: a task waits for one that is not there, or itself.
    """
    left = dict(tasks)
    done: set[str] = set()
    running: dict[concurrent.futures.Future[object], str] = {}
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            while left or running:
                for name in [n for n in left if done >= set(left[n].after)]:
                    running[pool.submit(left.pop(name).do)] = name
                if not running:
                    raise ValueError(f'these wait for ever: {sorted(left)}')
                for future in _some(running):
                    name = running.pop(future)
                    on_done(name, future.result())
                    done.add(name)
        except BaseException:
            _stop_waiting(running)
            raise


def _some(
    running: Mapping[concurrent.futures.Future[object], str],
) -> set[concurrent.futures.Future[object]]:
    """Those that have ended, at least one."""
    ended: set[concurrent.futures.Future[object]] = set()
    while not ended:
        # A signal is noticed between two waits.
        if process.interrupted.is_set():
            raise errors.Interrupted
        ended = concurrent.futures.wait(
            running, 0.2, concurrent.futures.FIRST_COMPLETED
        ).done
    return ended


def _stop_waiting(
    running: Mapping[concurrent.futures.Future[object], str],
) -> None:
    was_set = process.interrupted.is_set()
    process.interrupted.set()
    for future in running:
        future.cancel()
    concurrent.futures.wait(running)
    if not was_set:
        process.interrupted.clear()
