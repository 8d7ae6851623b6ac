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
"""How a conductor retries while the database or a store is unavailable."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

import tenacity

from imagebuild import exception

LOG = logging.getLogger(__name__)

T = TypeVar('T')

#: Seconds: 0.5, 1, 2, 4, 8, 10, 10, ...
_DATABASE_PAUSES = tenacity.wait_exponential(multiplier=0.5, max=10)
#: Seconds: 2, 4, 8, 16, 30, 30, ...
_STORE_PAUSES = tenacity.wait_exponential(multiplier=2, max=30)
#: Seconds for what need not be done now, when somebody waits for the end.
_CLEANUP = 10.0


class RetryPolicy:
    """Retries until the conductor shuts down.

    :param shutting_down: set when this process ends now.
    """

    def __init__(self, shutting_down: threading.Event) -> None:
        self._shutting_down = shutting_down

    def until_available(self, what: str, call: Callable[[], T]) -> T:
        """Make a call until the database has answered.

        :param what: for the log.
        :raises DatabaseUnavailable: it is, and the conductor shuts down.
        """
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(
                exception.DatabaseUnavailable
            ),
            wait=_DATABASE_PAUSES,
            stop=tenacity.stop_when_event_set(self._shutting_down),
            sleep=tenacity.sleep_using_event(self._shutting_down),
            before_sleep=_log(f'{what}: database'),
            reraise=True,
        )(call)

    @staticmethod
    def while_store_unavailable(
        call: Callable[[], T],
        *,
        is_retryable: Callable[[BaseException], bool],
        attempts: int,
        sleep: Callable[[float], None],
    ) -> T:
        """Make a call that needs a store, again while that is unavailable.

        What the last call raises is raised.

        :param is_retryable: whether another call may help after an error.
        :param attempts: how often at most.
        :param sleep: waits for so many seconds; what it raises ends it.
        """
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_retryable),
            wait=_STORE_PAUSES,
            stop=tenacity.stop_after_attempt(attempts),
            sleep=sleep,
            before_sleep=_log('Store'),
            reraise=True,
        )(call)

    def until_done(
        self,
        call: Callable[[], bool],
        attempts: int,
        *,
        seconds: float = _CLEANUP,
    ) -> None:
        """Make a call until it returns True; gives up in silence.

        :param attempts: how often at most.
        :param seconds: after which no further call is made.
        """
        tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda done: not done),
            wait=_STORE_PAUSES,
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(attempts),
                tenacity.stop_before_delay(seconds),
                tenacity.stop_when_event_set(self._shutting_down),
            ),
            sleep=tenacity.sleep_using_event(self._shutting_down),
            retry_error_callback=lambda _state: None,
        )(call)


def _log(what: str) -> Callable[[tenacity.RetryCallState], None]:
    def log(state: tenacity.RetryCallState) -> None:
        LOG.warning(
            '%s unavailable, retrying in %.1f s: %s',
            what,
            state.upcoming_sleep,
            state.outcome and state.outcome.exception(),
        )

    return log
