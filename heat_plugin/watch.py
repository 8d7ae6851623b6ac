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
"""Waiting for a build without asking too often or giving up too soon."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import TypeVar

from imagebuild.client import Build
from imagebuild.client import exceptions

T = TypeVar('T')

#: Seconds between the first two looks at a build, and at most. Each is one
#: longer than the one before: what is done soon is seen soon, and half an hour
#: takes no 130 looks.
FIRST_DELAY = 1
LAST_DELAY = 15
#: Seconds for which the service may be away, as while it is restarted.
PATIENCE = 300.0
#: What an absence looks like.
AWAY = (exceptions.ConnectionFailed, exceptions.ServiceUnavailable)


@dataclasses.dataclass
class Watch:
    """What is remembered between two looks of one action.

    Heat keeps it in memory while an action runs and hands it to each
    ``check_*_complete``.

    :ivar request: what is still to be sent; None once it was taken.
    :ivar build: the build as last seen, None before.
    :ivar lost: an answer was lost, so the request may have been taken.
    :ivar looks: how often was looked.
    """

    request: Mapping[str, Any] | None = None
    build: Build | None = None
    lost: bool = False
    looks: int = 0
    clock: Callable[[], float] = time.monotonic
    _away_since: float | None = None

    def delay(self, first: int = FIRST_DELAY, last: int = LAST_DELAY) -> int:
        """Count a look and say in how many seconds the next one is due."""
        self.looks += 1
        return min(last, first + self.looks - 1)

    def ask(self, question: Callable[[], T]) -> T | None:
        """Ask the service; None while it is away.

        :raises ClientError: what the service answered with, or, after
            :data:`PATIENCE`, that it is away.
        """
        try:
            answer = question()
        except AWAY as error:
            now = self.clock()
            self.lost |= isinstance(error, exceptions.ConnectionFailed)
            if self._away_since is None:
                self._away_since = now
            if now - self._away_since >= PATIENCE:
                raise
            return None
        self._away_since = None
        return answer
