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
"""Retries while the service cannot be reached."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec
from typing import TypeVar

from imagebuild.client import exceptions

P = ParamSpec('P')
T = TypeVar('T')


class Retry:
    """Calls again while the service cannot be reached.

    A build goes on while an API server restarts; whoever waits for it should
    not notice.

    :param seconds: how long an absence may last, from the first failure on;
        each call starts afresh.
    :param interval: seconds between two attempts.
    """

    def __init__(self, seconds: float, interval: float) -> None:
        self._seconds = seconds
        self._interval = interval

    def __call__(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return the result of a function.

        :raises ConnectionFailed, ServiceUnavailable: it was away for longer.
        """
        since: float | None = None
        while True:
            try:
                return function(*args, **kwargs)
            except (
                exceptions.ConnectionFailed,
                exceptions.ServiceUnavailable,
            ):
                now = time.monotonic()
                since = now if since is None else since
                if now - since >= self._seconds:
                    raise
                time.sleep(self._interval)
