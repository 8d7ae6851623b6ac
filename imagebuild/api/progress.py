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
"""Progress of a build, as users see it."""

from __future__ import annotations

import datetime
import math
from typing import Any

from imagebuild import db
from imagebuild.common import phases
from imagebuild.common import statuses


def progress(
    record: db.Build, now: datetime.datetime | None = None
) -> dict[str, Any]:
    """Return ``progress`` of a build.

    :param now: naive UTC, by default the current time.
    """
    now = now or datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    end = _seconds(record.finished_at or now)
    found = phases.Phases.from_dict(record.phases)
    if record.phases is None and record.progress_total:
        # Its conductor is of a release that records no phases (a rolling
        # upgrade).
        found = phases.Phases(current=phases.STEPS, since=end)
    return {
        'done': record.progress_done,
        'total': record.progress_total,
        'step': _step(record),
        'phase': found.current or None,
        'phases': _durations(found, end),
        'bytes_done': _bytes(found, found.bytes_done),
        'bytes_total': _bytes(found, found.bytes_total) or None,
        'percent': _percent(record, found, end),
        'elapsed': _elapsed(record, end),
        'remaining': _remaining(record, found, end),
    }


def _step(record: db.Build) -> str:
    if record.status == 'queued' and record.leader_id:
        return 'wait for a build of the same content'
    return record.progress_step or ''


def _seconds(time: datetime.datetime) -> float:
    return time.replace(tzinfo=datetime.UTC).timestamp()


def _durations(found: phases.Phases, end: float) -> list[dict[str, Any]]:
    spent = dict(found.spent)
    if found.current:
        before = spent.get(found.current, 0.0)
        spent[found.current] = round(before + found.running(end), 1)
    return [
        {'name': name, 'seconds': spent[name]}
        for name in phases.ORDER
        if name in spent
    ]


def _bytes(found: phases.Phases, value: int) -> int | None:
    return value if found.bytes_done or found.bytes_total else None


def _percent(record: db.Build, found: phases.Phases, end: float) -> int:
    if record.status == 'active':
        return 100
    share = found.share(record.progress_done, record.progress_total, end)
    return math.floor(share * 100)


def _elapsed(record: db.Build, end: float) -> int | None:
    if record.started_at is None:
        return None
    return max(math.floor(end - _seconds(record.started_at)), 0)


def _remaining(
    record: db.Build, found: phases.Phases, end: float
) -> int | None:
    if record.status not in statuses.IN_PROGRESS:
        return None
    left = None if record.cancel_requested else found.remaining(end)
    return None if left is None else math.ceil(left)
