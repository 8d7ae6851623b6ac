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
"""Retries while a service is unavailable."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import tenacity

from imagebuild import exception

LOG = logging.getLogger(__name__)
T = TypeVar('T')

#: Seconds: 1, 2, 4, 8, 16, 30, 30, ...
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


def retry_while_unavailable(
    attempt: Callable[[], T],
    *,
    timeout: float,
    on_notice: Callable[[str], None] | None = None,
    progress: Callable[[], object] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Call something until the service it needs is there.

    :param attempt: raises ServiceUnavailable while it is away; everything
        else that it raises goes through.
    :param timeout: seconds from the first failure on, after which the last
        failure goes through, too.
    :param on_notice: called with a message about each failure.
    :param progress: gives a value that changes when an attempt got further
        than the one before: the timeout then starts again.
    :param sleep: waits for some seconds.
    :returns: what ``attempt`` returns.
    :raises ServiceUnavailable: the service was away for too long.
    """
    before = progress and progress()

    def restart(state: tenacity.RetryCallState) -> None:
        # tenacity counts from the start of the first attempt, which may have
        # sent data for an hour before anything failed.
        nonlocal before
        reached = progress and progress()
        if state.attempt_number == 1 or reached != before:
            state.start_time = time.monotonic()
            state.attempt_number = 1
            before = reached

    def report(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.upcoming_sleep
        # Programs print warnings, and what on_notice is told as well.
        level = logging.INFO if on_notice else logging.WARNING
        LOG.log(level, '%s Trying again in %d s.', error, pause)
        if on_notice:
            on_notice(f'{error} Trying again in {pause:.0f} s.')

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(exception.ServiceUnavailable),
        wait=tenacity.wait_exponential(_FIRST_PAUSE, _LONGEST_PAUSE),
        stop=tenacity.stop_before_delay(timeout),
        after=restart,
        before_sleep=report,
        sleep=sleep,
        reraise=True,
    )(attempt)
