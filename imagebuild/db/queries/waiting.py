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
"""Builds that wait for a conductor that is down, and say so."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import sqlalchemy as sa

from imagebuild.db.models import Build
from imagebuild.db.models import Job
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

#: How the ``status_reason`` of such a build begins.
PREFIX = 'Waits for a conductor'

_QUEUED = sa.and_(
    rows.LIVE, Build.status == 'queued', Build.leader_id.is_(None)
)


@dataclasses.dataclass(frozen=True)
class Waiting:
    """A build in a lane.

    :ivar reason: its ``status_reason``.
    :ivar since: when that was written, if it says that it waits.
    """

    id: str
    lane: str
    reason: str
    since: datetime.datetime | None


@reader
def queued_in_lane(
    session: Session, lane: str, *, limit: int = 100
) -> list[Waiting]:
    """The oldest builds that are queued in a lane."""
    query = (
        _builds()
        .where(Job.lane_id == lane)
        .order_by(Build.created_at, Build.id)
        .limit(limit)
    )
    return [_waiting(*row) for row in session.execute(query)]


@reader
def noted_as_waiting(session: Session, *, limit: int = 1000) -> list[Waiting]:
    """Builds that say that they wait for a conductor."""
    query = (
        _builds()
        .where(Build.status_reason.like(f'{PREFIX}%'))
        .order_by(Build.id)
        .limit(limit)
    )
    return [_waiting(*row) for row in session.execute(query)]


def _builds() -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(Build.id, Job.lane_id, Build.status_reason, Build.updated_at)
        .join(Job, Job.id == Build.id)
        .where(_QUEUED, Job.state == 'queued')
    )


def _waiting(
    id: str, lane: str, reason: str, updated_at: datetime.datetime
) -> Waiting:
    is_noted = (reason or '').startswith(PREFIX)
    return Waiting(id, lane, reason or '', updated_at if is_noted else None)


@writer
def note_waiting(
    session: Session, id: str, reason: str, *, keep_time: bool = False
) -> bool:
    """Write for whom a build waits, or '' that it no longer does.

    :param keep_time: the time from which it waits stays.
    :returns: whether it was queued, and so was written.
    """
    values: dict[str, object] = {'status_reason': reason}
    if not keep_time:
        values['updated_at'] = session.now
    return bool(
        session.change(
            sa.update(Build).where(Build.id == id, _QUEUED).values(**values)
        )
    )
