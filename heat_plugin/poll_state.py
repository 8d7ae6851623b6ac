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
"""State of one action of the resource between two polls of a build."""

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

#: Seconds between the first two polls of a build, and at most. Each delay is
#: one second longer than the one before: a short build is noticed soon, and a
#: build of half an hour takes less than 130 polls.
FIRST_DELAY = 1
LAST_DELAY = 15
#: Seconds for which requests are retried while the service is unavailable, for
#: example while it is restarted.
RETRY_TIMEOUT = 300.0
#: Errors after which a request is retried.
RETRIED = (exceptions.ConnectionFailed, exceptions.ServiceUnavailable)


@dataclasses.dataclass
class PollState:
    """What an action remembers from one poll to the next.

    Heat keeps it in memory while an action is in progress and passes it to
    each ``check_*_complete``.

    :ivar request: body still to be sent; None once the service accepted it.
    :ivar promotion: what is still to be promoted where, see
        ``request_body.promotion``; None for nothing.
    :ivar build: the build as last polled, None before.
    :ivar response_lost: the connection broke, so the service may have
        accepted the request.
    :ivar polls: number of polls so far.
    """

    request: Mapping[str, Any] | None = None
    promotion: Mapping[str, Any] | None = None
    build: Build | None = None
    response_lost: bool = False
    polls: int = 0
    clock: Callable[[], float] = time.monotonic
    _unavailable_since: float | None = None

    def delay(self, first: int = FIRST_DELAY, last: int = LAST_DELAY) -> int:
        """Count a poll and return the seconds until the next one."""
        self.polls += 1
        return min(last, first + self.polls - 1)

    def call(self, request: Callable[[], T]) -> T | None:
        """Send a request; None if it is to be retried at the next poll.

        :raises ClientError: the service's response, or, after
            :data:`RETRY_TIMEOUT`, the error that it is unavailable.
        """
        try:
            response = request()
        except RETRIED as error:
            now = self.clock()
            self.response_lost |= isinstance(
                error, exceptions.ConnectionFailed
            )
            if self._unavailable_since is None:
                self._unavailable_since = now
            if now - self._unavailable_since >= RETRY_TIMEOUT:
                raise
            return None
        self._unavailable_since = None
        return response
