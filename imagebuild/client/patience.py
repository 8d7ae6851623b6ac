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
"""Waiting through a short absence of the service."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from imagebuild.client import exceptions

T = TypeVar('T')


class Patience:
    """Asks again while the service cannot be reached.

    A build goes on while an API server is restarted; whoever waits for it
    should not care.

    :param seconds: how long an absence may last.
    :param interval: seconds between two attempts.
    """

    def __init__(self, seconds: float, interval: float) -> None:
        self._seconds = seconds
        self._interval = interval

    def call(self, ask: Callable[[], T]) -> T:
        """Return what was asked for.

        :raises ConnectionFailed, ServiceUnavailable: it was away for longer.
        """
        since: float | None = None
        while True:
            try:
                return ask()
            except (
                exceptions.ConnectionFailed,
                exceptions.ServiceUnavailable,
            ):
                now = time.monotonic()
                since = now if since is None else since
                if now - since >= self._seconds:
                    raise
                time.sleep(self._interval)
