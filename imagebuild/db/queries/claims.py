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
"""Claiming: how a job, and the build that it is for, get a conductor."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from imagebuild.common import statuses
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Conductor
from imagebuild.db.models import Job
from imagebuild.db.models import Lane
from imagebuild.db.models import Upload
from imagebuild.db.queries import history
from imagebuild.db.queries import jobs
from imagebuild.db.queries import quotas
from imagebuild.db.queries import rows
from imagebuild.db.queries import validations
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

# Until its uploads begin; builds of the release before have no job.
_RUNNING = sa.and_(
    rows.LIVE,
    Build.status.in_(statuses.RUNNING),
    ~sa.exists().where(Job.id == Build.id, Job.state == 'done'),
)


@writer
def claim(
    session: Session,
    conductor: str,
    *,
    lane: str | None = None,
    job: str | None = None,
    running_limit: int = -1,
    exclude: Collection[str] = (),
) -> records.Job | None:
    """Claim a queued job; of several conductors exactly one gets it.

    Whoever else takes jobs of the lane at the same moment takes others: they
    do not wait for each other. A build becomes ``building``, and has the
    conductor, claimed_at, started_at (the first time) and attempt + 1; a later
    call of the same conductor is fenced by that attempt.

    :param lane: the oldest job of this lane (of :func:`jobs.lanes`).
    :param job: or the job of this id.
    :param running_limit: as in :func:`jobs.lanes`; checked again.
    :param exclude: ids of jobs of the lane that are passed over.
    :returns: the job; None if there is none (any more).
    """
    if session.is_retry and (mine := _claimed_before(session, conductor)):
        return rows.record(records.Job, mine)
    # The project first: locks are taken in one order, whoever takes them.
    if not _has_room(session, _queue_of(session, lane, job), running_limit):
        return None
    found = jobs.head(session, lane=lane, id=job, exclude=exclude)
    if found is None:
        return None
    if not jobs.take(session, found, conductor):
        return None
    if found.kind == 'build' and not _start_build(session, found):
        return None
    if found.kind == 'validate' and not validations.start(session, found):
        return None
    if found.kind == 'upload':
        _start_upload(session, found)
    return rows.record(records.Job, found)


def _claimed_before(session: Session, conductor: str) -> Job | None:
    """What an earlier run of this call has claimed, if it did."""
    return session.scalar(
        sa.select(Job).where(
            Job.conductor == conductor,
            Job.state == 'running',
            Job.claimed_at == session.now,
        )
    )


def _start_build(session: Session, job: Job) -> bool:
    """Have a build be what its job is.

    :returns: False if it does not wait any more: a conductor of the release
        before, which knows no jobs, was first. See ``jobs.adopt_builds``.
    """
    # The condition decides, not what was read before.
    changed = session.change(
        sa.update(Build)
        .where(
            Build.id == job.build_id,
            rows.LIVE,
            Build.status == 'queued',
            Build.leader_id.is_(None),
            Build.cancel_requested.is_(False),
        )
        .values(
            status='building',
            status_reason='',
            conductor=job.conductor,
            attempt=Build.attempt + 1,
            claimed_at=session.now,
            started_at=sa.func.coalesce(Build.started_at, session.now),
            updated_at=session.now,
        )
    )
    if not changed:
        jobs.end(session, job.id, 'cancelled')
        return False
    build = rows.live_build(session, job.id)
    job.attempt = build.attempt
    history.note(
        session,
        build,
        'conductor',
        f'attempt {build.attempt} by conductor {job.conductor}',
    )
    return True


def _start_upload(session: Session, job: Job) -> None:
    session.change(
        sa.update(Upload)
        .where(Upload.id == job.id)
        .values(
            status='uploading',
            conductor=job.conductor,
            attempt=job.attempt,
            updated_at=session.now,
        )
    )


def _queue_of(
    session: Session, lane: str | None, job: str | None
) -> tuple[str, str]:
    """The project and the kind of what is to be claimed."""
    row: Job | Lane | None = (
        session.get(Job, job)
        if job is not None
        else session.get(Lane, lane or '')
    )
    return (row.project_id, row.kind) if row else ('', '')


def _has_room(
    session: Session, queue: tuple[str, str], running_limit: int
) -> bool:
    project_id, kind = queue
    if kind != 'build':
        return True
    limit = quotas.get_quotas(session, project_id).get(
        'running', running_limit
    )
    if limit < 0:
        return True
    # Two conductors that count at once would both find the last place.
    rows.lock_project(session, project_id)
    running = sa.select(sa.func.count()).where(
        Job.project_id == project_id,
        Job.kind == 'build',
        Job.state == 'running',
    )
    return (session.scalar(running) or 0) < limit


@reader
def builds_of(session: Session, conductor: str) -> list[records.Build]:
    """Every build that a conductor makes, ``deleting`` ones too."""
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
