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
"""In which order a conductor looks through the lanes for work."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from collections.abc import Iterable

from imagebuild.db import records


def in_order(
    lanes: Iterable[records.Lane],
    *,
    now: datetime.datetime,
    aging: float,
    preference: Callable[[records.Lane], int] = lambda _lane: 0,
) -> list[records.Lane]:
    """Sort lanes, the next one first.

    High priorities come first, but nothing waits for ever: a lane gains a
    point for each ``aging`` seconds that its oldest job has waited. Of the
    same priority, projects with few running jobs come first, then lanes that
    this conductor is better prepared for, then whoever waits for longest.

    :param lanes: of one conductor and one look.
    :param now: naive UTC.
    :param aging: seconds; 0 to let high priorities always go first.
    :param preference: how well this conductor is prepared, more is better.
    :returns: without those whose project has all the jobs that it may have.
    """

    def key(lane: records.Lane) -> tuple[float, int, int, object, str]:
        waited = max(0.0, (now - lane.since).total_seconds())
        gained = waited // aging if aging else 0
        return (
            -(lane.priority + gained),
            lane.running,
            -preference(lane),
            lane.since,
            lane.id,
        )

    free = [
        lane for lane in lanes if lane.limit < 0 or lane.running < lane.limit
    ]
    return sorted(free, key=key)
