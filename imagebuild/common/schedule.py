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
"""When something is due, by a line of cron or an age; all times are UTC.

Five fields, as crontab(5) has them, or ``@hourly``, ``@daily``, ``@weekly``,
``@monthly``, ``@yearly``. croniter reads them, and knows more (seconds, years,
random times), which is refused here: nobody could say when such a pipeline
runs, or it would run all the time.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

#: Characters of a line.
MAX_LENGTH = 255
#: Times that are looked at to find how often a line is due.
_LOOKED_AT = 100
_FIELDS = 5
_ALIASES = ('@hourly', '@daily', '@weekly', '@monthly', '@yearly')
_ALLOWED = re.compile(r'[0-9A-Za-z*,/#?-]+', re.ASCII)
# Random and hashed times; "FRI" and "THU" hold the letters, too.
_RANDOM = re.compile(r'(?<![a-z])[rh](?![a-z])', re.ASCII | re.IGNORECASE)
#: Longest wait after a failure, as a power of two of the shortest.
_DOUBLINGS = 10


class InvalidSchedule(ValueError):
    """A line is not one of cron, or never due."""


def _library() -> Any:
    # One of the service's requirements, and everyone may import this module.
    import croniter

    return croniter


def normalized(line: str) -> str:
    """Return a line with single spaces.

    :raises InvalidSchedule: it cannot be used, with the reason as a part of
        a sentence.
    """
    if len(line) > MAX_LENGTH:
        raise InvalidSchedule(f'is longer than {MAX_LENGTH} characters')
    text = ' '.join(line.split())
    if text in _ALIASES:
        return text
    fields = text.split(' ')
    if len(fields) != _FIELDS or not all(map(_ALLOWED.fullmatch, fields)):
        raise InvalidSchedule(
            'is not a line of cron: minute, hour, day of the month, month '
            f'and day of the week, or one of {", ".join(_ALIASES)}'
        )
    if _RANDOM.search(text):
        raise InvalidSchedule('has a random time, which is not supported')
    croniter = _library()
    now = datetime.datetime(2026, 1, 1)  # noqa: DTZ001
    try:
        croniter.croniter(text, now).get_next(datetime.datetime)
    except croniter.CroniterBadDateError:
        raise InvalidSchedule('names a day that no year has') from None
    except (croniter.CroniterError, ValueError, OverflowError):
        raise InvalidSchedule('is not a line of cron') from None
    return text


def after(line: str, time: datetime.datetime) -> datetime.datetime | None:
    """Return the first time after another one at which a line is due.

    :param line: of :func:`normalized`.
    :param time: naive UTC.
    :returns: naive UTC; None for never.
    """
    croniter = _library()
    try:
        found = croniter.croniter(line, time).get_next(datetime.datetime)
    except croniter.CroniterError:
        return None
    return found if isinstance(found, datetime.datetime) else None


def shortest(line: str, time: datetime.datetime) -> float | None:
    """Return the shortest time between two that follow each other.

    :param line: of :func:`normalized`.
    :param time: where to begin; naive UTC.
    :returns: seconds, None when it is due less than twice.
    """
    found: list[float] = []
    last = after(line, time)
    for _ in range(_LOOKED_AT):
        following = after(line, last) if last else None
        if last is None or following is None:
            break
        found.append((following - last).total_seconds())
        last = following
    return min(found, default=None)


def retry_delay(failures: int, shortest: float, longest: float) -> float:
    """Return for how long to wait after a failure.

    :param failures: in a row, at least 1.
    :param shortest: seconds to wait after the first; doubled each time.
    :param longest: seconds at most.
    """
    return float(min(longest, shortest * 2 ** min(failures - 1, _DOUBLINGS)))
