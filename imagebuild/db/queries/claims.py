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
"""The queue: which builds a conductor could take, and claiming one."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence

import sqlalchemy as sa

from imagebuild.common import statuses
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Conductor
from imagebuild.db.models import Quota
from imagebuild.db.queries import history
from imagebuild.db.queries import quotas
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

_FREE = sa.and_(
    rows.LIVE,
    Build.status == 'queued',
    Build.leader_id.is_(None),
    Build.cancel_requested.is_(False),
)
_RUNNING = sa.and_(rows.LIVE, Build.status.in_(statuses.RUNNING))


@reader
def claimable(
    session: Session,
    *,
    drivers: Collection[str],
    operating_systems: Collection[str] = (),
    architecture: str,
    running_limit: int = -1,
    limit: int = 20,
) -> list[str]:
    """Find queued builds that a conductor could take, best first.

    Order: priority (high first); projects with few running builds
    first, where builds earlier in the answer count as running; age.
    Left out are followers, builds to be cancelled, and projects at
    their quota ``running``.

    :param operating_systems: names, empty for all. Builds on a base
        image of the request (os '') are for every conductor.
    :param architecture: builds with '' are for every one.
    :param running_limit: for projects without a quota of their own in
        the database; -1 for none.
    :param limit: at most so many.
    :returns: ids for :func:`claim`, which others may claim meanwhile.
    """
    wanted = [
        _FREE,
        Build.driver.in_(drivers),
        Build.architecture.in_((architecture, '')),
    ]
    if operating_systems:
        wanted.append(Build.os.in_((*operating_systems, '')))
    queue = _queue(wanted, running_limit)
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


def _queue(
    wanted: Sequence[sa.ColumnElement[bool]], running_limit: int
) -> sa.Subquery:
    """The builds that wait, each with its turn in its project.

    In SQL: conductors ask whenever they have a free slot, and would read the
    whole queue each time.
    """
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
    most = sa.func.coalesce(Quota.hard_limit, running_limit)
    return (
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
        .where(*wanted)
        .subquery()
    )


@writer
def claim(
    session: Session, id: str, conductor: str, *, running_limit: int = -1
) -> records.Build | None:
    """Claim a queued build; of several conductors exactly one gets it.

    Sets status ``building``, conductor, claimed_at, started_at (the
    first time) and attempt + 1; a later call of the same conductor is
    fenced by that attempt.

    :param running_limit: as in :func:`claimable`; checked again.
    :returns: the build, None if it is not available (any more).
    """
    build = rows.build(session, id)
    if build is None:
        return None
    if build.conductor == conductor and session.did(build.claimed_at):
        return rows.build_record(session, build)
    if build.status != 'queued' or not _has_room(
        session, build.project_id, running_limit
    ):
        return None
    # The condition decides, not what was read above: others claim as well.
    taken = session.change(
        sa.update(Build)
        .where(Build.id == id, _FREE)
        .values(
            status='building',
            status_reason='',
            conductor=conductor,
            attempt=Build.attempt + 1,
            claimed_at=session.now,
            started_at=sa.func.coalesce(Build.started_at, session.now),
            updated_at=session.now,
        )
    )
    if not taken:
        return None
    claimed = rows.live_build(session, id)
    history.note(
        session,
        claimed,
        'conductor',
        f'attempt {claimed.attempt} by conductor {conductor}',
    )
    return rows.build_record(session, claimed)


def _has_room(session: Session, project_id: str, running_limit: int) -> bool:
    limit = quotas.get_quotas(session, project_id).get(
        'running', running_limit
    )
    if limit < 0:
        return True
    # Two conductors that count at once would both find the last place.
    rows.lock_project(session, project_id)
    running = sa.select(sa.func.count()).where(
        _RUNNING, Build.project_id == project_id
    )
    return (session.scalar(running) or 0) < limit


@reader
def builds_of(session: Session, conductor: str) -> list[records.Build]:
    """Every running build (``deleting`` ones too) of a conductor."""
    return _running(session, Build.conductor == conductor)


@reader
def orphans(session: Session, seconds: float) -> list[records.Build]:
    """Running builds whose conductor is dead, down or unknown.

    :param seconds: how long without a heartbeat makes a conductor dead.
    """
    living = sa.select(Conductor.name).where(
        Conductor.status != 'down',
        Conductor.heartbeat_at >= session.ago(seconds),
    )
    # A running build has a conductor, so NOT IN never meets a NULL.
    return _running(session, Build.conductor.not_in(living))


def _running(
    session: Session, condition: sa.ColumnElement[bool]
) -> list[records.Build]:
    query = sa.select(Build).where(_RUNNING, condition)
    found = session.scalars(query.order_by(Build.claimed_at))
    return rows.build_records(session, found)
