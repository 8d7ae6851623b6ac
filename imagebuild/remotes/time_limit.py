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
"""How long things may take: this host's clock decides.

The clock of an emulated guest was seen to jump by half an hour, and whatever
runs in a guest may set it. So nothing in a guest counts seconds: when this
host's monotonic clock reaches a command's limit, the command is stopped from
here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from imagebuild import exception


class TimeLimit:
    """The limit of one command, which starts now.

    :param stop: called once, when the time is up.
    :param seconds: how long the command may run.
    :param clock: seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        stop: Callable[[], object],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stop = stop
        self._clock = clock
        self._end = clock() + seconds
        #: Whether the command was told to stop.
        self.reached = False

    def check(self) -> None:
        """Stop the command if its time is up; to be called often."""
        if not self.reached and self._clock() >= self._end:
            self.reached = True
            self._stop()

    def is_over(self, grace: float) -> bool:
        """Whether the command was to stop, and had time to.

        :param grace: seconds that it is given for that.
        """
        return self.reached and self._clock() >= self._end + grace


class RunLimit:
    """The limit of a whole run, which starts now.

    :param seconds: None for no limit.
    :param clock: seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds if seconds else None

    @property
    def is_over(self) -> bool:
        """Whether its time is up."""
        return self._end is not None and self._clock() >= self._end

    def within(self, limit: float) -> float:
        """A limit of something that is part of the run.

        :param limit: seconds.
        :returns: seconds, no more than are left.
        :raises RunTimeout: nothing is left.
        """
        if self._end is None:
            return limit
        if self.is_over:
            raise self.timeout()
        return min(limit, self._end - self._clock())

    def timeout(self) -> exception.RunTimeout:
        """The error that says that it is over."""
        return exception.RunTimeout(seconds=self._seconds)
