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
"""The time that a job has, and the signals that end it."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from types import FrameType

from imagebuild import exception
from imagebuild.common import interruption

#: Seconds that cleaning up may take before everything is killed.
GRACE = 20.0
#: Seconds that the guest's own clock is given to be first: it knows which
#: command hung, and ends it in good order.
_HEAD_START = 5.0


class _AlarmRang(exception.Interrupted):
    """The time is up, whatever the main thread does."""


class Deadline:
    """A time limit for everything, raised in the main thread.

    :param seconds: None for no limit.
    :param doing: says what is going on.
    :param head_start: seconds in which others may raise it first; None for
        what the guest's own clock needs.
    :param timeout: what is raised.
    """

    def __init__(
        self,
        seconds: float | None,
        doing: Callable[[], str],
        *,
        head_start: float | None = None,
        timeout: type[exception.ImageBuildError] = exception.BuildTimeout,
    ) -> None:
        self._seconds = seconds
        self._doing = doing
        self._head_start = _HEAD_START if head_start is None else head_start
        self._timeout = timeout
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds that are left, None for no limit.

        :raises ImageBuildError: none are; it is of the type ``timeout``.
        """
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.error()
        return left

    def error(self) -> exception.ImageBuildError:
        """Say that the time is up, and what took it."""
        return self._timeout(seconds=self._seconds, what=self._doing())

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Raise in the block when the time is up.

        :raises ImageBuildError: it is.
        """
        if self._end is None:
            yield
            return
        before = signal.signal(signal.SIGALRM, self._ring)
        left = max(self._end - time.monotonic(), 0.0)
        signal.setitimer(signal.ITIMER_REAL, left + self._head_start, GRACE)
        try:
            yield
        except (exception.RunTimeout, _AlarmRang) as error:
            raise self.error() from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _ring(self, number: int, _frame: FrameType | None) -> None:
        raise _AlarmRang(signal=signal.Signals(number).name)


def on_sigterm(give_up: Callable[[], None]) -> None:
    """Raise the first SIGTERM or SIGINT in the main thread.

    Further ones are ignored while the job cleans up.

    :param give_up: called in a thread when cleaning up takes too long.
    :raises Interrupted: in whatever the main thread does then.
    """

    def on_first() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        timer = threading.Timer(GRACE, give_up)
        timer.daemon = True
        timer.start()

    interruption.raise_first((signal.SIGTERM, signal.SIGINT), on_first)
