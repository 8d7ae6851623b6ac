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
"""Stops a build: on request, or when its claim is lost."""

from __future__ import annotations

import contextlib
import threading
import time

from imagebuild import exception
from imagebuild.conductor import claims

_LOOK_EVERY = 2.0


class CancellationToken:
    """Lets other threads stop a build; whatever comes first counts.

    Its row is looked at as well, every 2 s: that is how a cancellation is
    noticed whose message was lost, and that others took the build over.
    """

    def __init__(self, claim: claims.Held) -> None:
        self._claim = claim
        self._wake = threading.Event()
        self._stop: claims.Interrupted | None = None
        self._next_look = time.monotonic() + _LOOK_EVERY

    def wake(self) -> None:
        """Have :meth:`wait` return."""
        self._wake.set()

    def stop(self, reason: claims.Interrupted) -> None:
        """End the build for this reason."""
        self._stop = self._stop or reason
        self._wake.set()

    def check(self) -> None:
        """Raise the reason to stop, if there is one.

        :raises Interrupted: there is one.
        """
        if self._stop is not None:
            raise self._stop
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_EVERY
            with contextlib.suppress(exception.DatabaseUnavailable):
                self._claim.look()

    def wait(self, seconds: float) -> None:
        """Wait until something happens."""
        self._wake.wait(seconds)
        self._wake.clear()

    def pause(self, seconds: float) -> None:
        """Wait all of that time, unless the build is stopped."""
        deadline = time.monotonic() + seconds
        self.check()
        while (left := deadline - time.monotonic()) > 0:
            self.wait(min(left, _LOOK_EVERY))
            self.check()
