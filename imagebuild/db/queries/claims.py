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
"""The queue: which builds a conductor could take, and taking one."""

from __future__ import annotations

import dataclasses
import datetime

import sqlalchemy as sa
from sqlalchemy import orm

from imagebuild import statuses
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Conductor
from imagebuild.db.models import Quota
from imagebuild.db.queries import builds
from imagebuild.db.queries import common
from imagebuild.db.queries import events
from imagebuild.db.queries import quotas

_FREE = sa.and_(
    builds.LIVE,
    Build.status == 'queued',
    Build.leader_id.is_(None),
    Build.cancel_requested.is_(False),
)
_RUNNING = sa.and_(builds.LIVE, Build.status.in_(statuses.RUNNING))


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a conductor can build; see calls.claims."""

    drivers: tuple[str, ...]
    operating_systems: tuple[str, ...]
    architecture: str
    running_limit: int

    def condition(self) -> sa.ColumnElement[bool]:
        conditions = [
            _FREE,
            Build.driver.in_(self.drivers),
            Build.architecture.in_((self.architecture, '')),
        ]
        if self.operating_systems:
            conditions.append(Build.os.in_((*self.operating_systems, '')))
        return sa.and_(*conditions)


def claimable(session: orm.Session, wanted: Wanted, limit: int) -> list[str]:
    running = (
        sa.select(Build.project_id, sa.func.count().label('number'))
        .where(_RUNNING)
        .group_by(Build.project_id)
        .subquery()
    )
    place = sa.func.row_number().over(
        partition_by=Build.project_id,
        order_by=(Build.priority.desc(), Build.created_at, Build.id),
    )
    # How many the project would have running, this one included.
    turn = (place + sa.func.coalesce(running.c.number, 0)).label('turn')
    most = sa.func.coalesce(Quota.hard_limit, wanted.running_limit)
    queue = (
        sa.select(
            Build.id,
            Build.priority,
            Build.created_at,
            turn,
            most.label('most'),
        )
        .outerjoin(running, running.c.project_id == Build.project_id)
        .outerjoin(
            Quota,
            sa.and_(
                Quota.project_id == Build.project_id,
                Quota.resource == 'running',
            ),
        )
        .where(wanted.condition())
        .subquery()
    )
    query = (
        sa.select(queue.c.id)
        .where(sa.or_(queue.c.most < 0, queue.c.turn <= queue.c.most))
        .order_by(
            queue.c.priority.desc(),
            queue.c.turn,
            queue.c.created_at,
            queue.c.id,
        )
        .limit(limit)
    )
    return list(session.scalars(query))


def claim(
    session: orm.Session,
    id: str,
    conductor: str,
    *,
    running_limit: int,
    now: datetime.datetime,
) -> records.Build | None:
    build = builds.row(session, id)
    if build is None:
        return None
    mine = (build.conductor, build.claimed_at) == (conductor, now)
    if mine and common.is_retry(session):
        # By this very call, in a run whose end was lost.
        return builds.as_record(session, build)
    if build.status != 'queued' or not _has_room(
        session, build.project_id, running_limit
    ):
        return None
    taken = session.execute(
        sa.update(Build)
        .where(Build.id == id, _FREE)
        .values(
            status='building',
            status_reason='',
            conductor=conductor,
            attempt=Build.attempt + 1,
            claimed_at=now,
            started_at=sa.func.coalesce(Build.started_at, now),
            updated_at=now,
        )
        .execution_options(synchronize_session=False)
    )
    if not taken.rowcount:  # type: ignore[attr-defined]
        return None
    claimed = builds.live_row(session, id)
    events.add(
        session,
        id,
        'conductor',
        f'attempt {claimed.attempt} by conductor {conductor}',
        now,
    )
    return builds.as_record(session, claimed)


def _has_room(
    session: orm.Session, project_id: str, running_limit: int
) -> bool:
    limit = quotas.of(session, project_id).get('running', running_limit)
    if limit < 0:
        return True
    common.lock_project(session, project_id)
    running = sa.select(sa.func.count()).where(
        _RUNNING, Build.project_id == project_id
    )
    return (session.scalar(running) or 0) < limit


def held_by(session: orm.Session, conductor: str) -> list[records.Build]:
    query = (
        sa.select(Build)
        .where(_RUNNING, Build.conductor == conductor)
        .order_by(Build.claimed_at)
    )
    return builds.as_records(session, session.scalars(query))


def orphans(
    session: orm.Session, since: datetime.datetime
) -> list[records.Build]:
    living = sa.select(Conductor.name).where(
        Conductor.status != 'down', Conductor.heartbeat_at >= since
    )
    query = (
        sa.select(Build)
        .where(_RUNNING, Build.conductor.not_in(living))
        .order_by(Build.claimed_at)
    )
    return builds.as_records(session, session.scalars(query))
