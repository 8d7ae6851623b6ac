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
"""What a conductor does while the database is unavailable: it retries."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from imagebuild import exception

LOG = logging.getLogger(__name__)

T = TypeVar('T')

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0


class RetryPolicy:
    """Retries until the database is available, or the conductor shuts down.

    :param shutting_down: set when this process ends now.
    """

    def __init__(self, shutting_down: threading.Event) -> None:
        self._shutting_down = shutting_down

    def until_available(self, what: str, call: Callable[[], T]) -> T:
        """Make a call until the database has answered.

        :param what: for the log.
        :raises DatabaseUnavailable: it is, and the conductor shuts down.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                return call()
            except exception.DatabaseUnavailable as error:
                if self._shutting_down.is_set():
                    raise
                LOG.warning(
                    '%s: database unavailable, retrying in %.1f s: %s',
                    what,
                    pause,
                    error,
                )
            self._shutting_down.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def pause(self, seconds: float) -> bool:
        """Wait, unless the conductor shuts down.

        :returns: whether there is time for more.
        """
        return not self._shutting_down.wait(seconds)
