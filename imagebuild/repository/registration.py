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
"""What is there when a conductor starts, and whether it still is right."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from collections.abc import Collection

from imagebuild.repository import check
from imagebuild.repository import store
from imagebuild.repository.artifacts import LOST
from imagebuild.repository.artifacts import Artifact


@dataclasses.dataclass(frozen=True)
class Inventory:
    """What was found.

    :ivar artifacts: in the order in which they were put in.
    :ivar complete: False when it was stopped before all were looked at.
    """

    artifacts: tuple[Artifact, ...]
    complete: bool = True

    def of(self, status: str) -> tuple[Artifact, ...]:
        """Those with a status."""
        return tuple(each for each in self.artifacts if each.status == status)


class _Stopped(Exception):
    pass


def register(
    repository: store.Repository,
    *,
    bytes_per_second: int = 0,
    stop: Callable[[float], bool] | None = None,
) -> Inventory:
    """Look at everything that is there; lost and corrupt files are marked.

    A file is read only when it was touched since its checksum was right. To
    be run in the background: until a file was looked at, whoever wants to use
    it has it checked first.

    :param bytes_per_second: at most so many are read, 0 for no limit.
    :param stop: waits for so many seconds at most, and says whether to stop
        (``threading.Event.wait``).
    :raises EnvironmentFault: the directory cannot be read.
    """
    return _look(
        repository,
        repository.list_artifacts(),
        full=False,
        bytes_per_second=bytes_per_second,
        stop=stop,
    )


def verify(
    repository: store.Repository,
    ids: Collection[str] | None = None,
    *,
    not_since: float | None = None,
    bytes_per_second: int = 0,
    stop: Callable[[float], bool] | None = None,
) -> Inventory:
    """Read files and compare their checksums, also of untouched ones.

    What was checked longest ago comes first, so that one that is often
    stopped gets through.

    :param ids: only these; None for all.
    :param not_since: leave out what was checked later, in seconds since 1970.
    """
    chosen = [
        each
        for each in repository.list_artifacts()
        if (ids is None or each.id in ids)
        and (not_since is None or each.checked_at <= not_since)
    ]
    chosen.sort(key=lambda each: each.checked_at)
    return _look(
        repository,
        chosen,
        full=True,
        bytes_per_second=bytes_per_second,
        stop=stop,
    )


def _look(
    repository: store.Repository,
    chosen: list[Artifact],
    *,
    full: bool,
    bytes_per_second: int,
    stop: Callable[[float], bool] | None,
) -> Inventory:
    rate = _Rate(bytes_per_second, stop)
    found: list[Artifact] = []
    for each in chosen:
        directory = repository.directory_of(each.id)
        try:
            now = repository.checker.check(
                directory, each, full=full, throttle=rate.throttle()
            )
        except _Stopped:
            return Inventory(tuple(found), complete=False)
        # Removed in good order meanwhile, and not lost.
        if now.status != LOST or directory.exists():
            found.append(now)
    return Inventory(tuple(found))


class _Rate:
    """Makes reading slow enough, over all files."""

    def __init__(
        self,
        bytes_per_second: int,
        stop: Callable[[float], bool] | None,
    ) -> None:
        self._limit = bytes_per_second
        self._stop = stop or _sleep
        self._due = time.monotonic()

    def throttle(self) -> check.Throttle:
        """What to call while one file is read."""
        before = 0

        def throttle(done: int, _total: int) -> None:
            nonlocal before
            now = time.monotonic()
            if self._limit:
                seconds = (done - before) / self._limit
                self._due = max(self._due, now) + seconds
            before = done
            if self._stop(max(0.0, self._due - now)):
                raise _Stopped

        return throttle


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False
