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
"""Jobs: the work that conductors claim, and the lanes it waits in.

What users see is the build or the upload; a job is the work on it. Jobs that
need the same of a conductor, for the same project, at the same priority, wait
in one lane. So whoever looks for work reads a row for each lane, however many
jobs wait, and judges each lane once.

A job is ``queued``; ``waiting`` for another job or a time; ``running`` at its
conductor, which holds it as long as it sends heartbeats; or it has ended:
``done``, ``error``, ``cancelled``.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Collection
from collections.abc import Mapping
from typing import Any

import oslo_db.exception
import sqlalchemy as sa

from imagebuild import exception
from imagebuild.common import placement
from imagebuild.common import statuses
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Conductor
from imagebuild.db.models import Image
from imagebuild.db.models import Job
from imagebuild.db.models import Lane
from imagebuild.db.models import Quota
from imagebuild.db.models import Validation
from imagebuild.db.queries import conductors
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

ENDED = ('done', 'error', 'cancelled')
_MOST_ADOPTED = 100


# -- making them ------------------------------------------------------------


def enqueue(
    session: Session,
    build: Build,
    kind: str,
    needs: Mapping[str, Any],
    *,
    id: str,
    spec: Mapping[str, Any] | None = None,
    not_before: datetime.datetime | None = None,
) -> Job:
    """Add a job, or queue the one of this id again.

    :param needs: what its conductor must offer; see ``common.placement``.
    :param not_before: it waits until then.
    """
    queue = {
        'kind': kind,
        'project_id': build.project_id,
        'priority': build.priority or 0,
        'needs': dict(needs),
    }
    return _put(
        session,
        queue,
        id=id,
        build_id=build.id,
        spec=spec,
        not_before=not_before,
    )


def enqueue_deletion(session: Session, image: Image) -> Job:
    """Add the job that deletes an image, of the id of its row.

    It names no build: images outlive the rows of builds, those that are
    protected for years.
    """
    queue = {
        'kind': 'delete',
        'project_id': image.project_id,
        'priority': 0,
        'needs': placement.Needs(deletion=image.destination).to_dict(),
    }
    return _put(session, queue, id=image.id, build_id=None)


def enqueue_validation(session: Session, row: Validation) -> Job:
    """Add the job of a validation, of the same id."""
    queue = {
        'kind': 'validate',
        'project_id': row.project_id,
        'priority': 0,
        'needs': {},
    }
    return _put(session, queue, id=row.id, build_id=None)


def _put(
    session: Session,
    queue: Mapping[str, Any],
    *,
    id: str,
    build_id: str | None,
    spec: Mapping[str, Any] | None = None,
    not_before: datetime.datetime | None = None,
) -> Job:
    """Add a job, or queue the one of this id again.

    :param queue: columns of its lane: kind, project_id, priority and needs.
    """
    session.flush()
    lane_id = _lane(session, queue)
    job = session.get(Job, id)
    if job is None:
        job = Job(
            id=id,
            build_id=build_id,
            kind=queue['kind'],
            project_id=queue['project_id'],
            created_at=session.now,
        )
        session.add(job)
    job.lane_id = lane_id
    job.spec = dict(spec or {})
    job.state = 'waiting' if not_before else 'queued'
    job.not_before = not_before
    job.conductor = job.claimed_at = job.finished_at = job.result = None
    job.cancel_requested = False
    job.updated_at = session.now
    try:
        with rows.retry_on_duplicate():
            session.flush()
    except oslo_db.exception.DBReferenceError as error:
        # The lane was removed as unused meanwhile.
        raise oslo_db.exception.RetryRequest(error) from error
    return job


def enqueue_build(session: Session, build: Build) -> None:
    """Queue the work of a build that leads its content."""
    needs = placement.of_build(build)
    job = enqueue(session, build, 'build', needs.to_dict(), id=build.id)
    # Who waited for another build meanwhile has waited all the same.
    job.created_at = build.created_at


def _lane(session: Session, values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True)
    id = hashlib.sha256(text.encode()).hexdigest()
    if session.scalar(sa.select(Lane.id).where(Lane.id == id)) is None:
        with rows.retry_on_duplicate():
            session.add(Lane(id=id, **values))
            session.flush()
    return id


@writer
def adopt_builds(session: Session) -> int:
    """Bring jobs and builds together that do not agree.

    While the release before still runs somewhere it makes, claims and ends
    builds without a job.

    :returns: how many were changed; at most 100 in one call.
    """
    without = (
        sa.select(Build)
        .where(
            rows.LIVE,
            Build.status == 'queued',
            Build.leader_id.is_(None),
            ~sa.exists().where(Job.id == Build.id, Job.state.not_in(ENDED)),
        )
        .limit(_MOST_ADOPTED)
    )
    found = session.scalars(without).all()
    for build in found:
        enqueue_build(session, build)
    ended = (
        sa.select(Job.id)
        .join(Build, Build.id == Job.id)
        .where(
            Job.state.in_(('queued', 'running')),
            sa.or_(
                Build.deleted_at.is_not(None),
                Build.status.in_(statuses.ENDED),
            ),
        )
        .limit(_MOST_ADOPTED)
    )
    ids = list(session.scalars(ended))
    for id in ids:
        end(session, id, 'done')
    return len(found) + len(ids)


# -- looking for work -------------------------------------------------------


@reader
def lanes(
    session: Session, kinds: Collection[str], *, running_limit: int = -1
) -> list[records.Lane]:
    """The lanes in which jobs of these kinds are queued.

    :param running_limit: of builds at once, for projects that have no quota
        ``running`` of their own in the database; -1 for none.
    """
    head = (
        sa.select(Job.created_at)
        .where(Job.lane_id == Lane.id, Job.state == 'queued')
        .order_by(Job.created_at, Job.id)
        .limit(1)
        .correlate(Lane)
        .scalar_subquery()
    )
    running = _running_by_project()
    query = (
        sa.select(
            Lane,
            head.label('since'),
            sa.func.coalesce(running.c.number, 0),
            sa.func.coalesce(Quota.hard_limit, running_limit),
        )
        .outerjoin(
            running,
            sa.and_(
                running.c.project_id == Lane.project_id,
                running.c.kind == Lane.kind,
            ),
        )
        .outerjoin(
            Quota,
            sa.and_(
                Quota.project_id == Lane.project_id,
                Quota.resource == 'running',
            ),
        )
        .where(Lane.kind.in_(list(kinds)), head.is_not(None))
    )
    return [
        records.Lane(
            id=lane.id,
            kind=lane.kind,
            project_id=lane.project_id,
            priority=lane.priority,
            needs=lane.needs,
            since=since,
            running=number,
            limit=limit if lane.kind == 'build' else -1,
        )
        for lane, since, number, limit in session.execute(query)
    ]


def _running_by_project() -> sa.Subquery:
    return (
        sa.select(Job.project_id, Job.kind, sa.func.count().label('number'))
        .where(Job.state == 'running')
        .group_by(Job.project_id, Job.kind)
        .subquery()
    )


@writer
def release_waiting(session: Session) -> int:
    """Queue the jobs whose time has come.

    :returns: how many.
    """
    due = sa.and_(Job.state == 'waiting', Job.not_before <= session.now)
    # Looked at first: most of the time there is nothing to write.
    if session.scalar(sa.select(Job.id).where(due).limit(1)) is None:
        return 0
    return session.change(
        sa.update(Job)
        .where(due)
        .values(state='queued', not_before=None, updated_at=session.now)
    )


def head(
    session: Session,
    *,
    lane: str | None,
    id: str | None,
    exclude: Collection[str] = (),
) -> Job | None:
    """The oldest queued job that nobody else is taking, locked.

    :param lane: of this lane;
    :param id: or of this id.
    """
    where = Job.lane_id == lane if id is None else Job.id == id
    query = (
        sa.select(Job)
        .where(where, Job.state == 'queued')
        .order_by(Job.created_at, Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if exclude:
        query = query.where(Job.id.not_in(list(exclude)))
    return session.scalar(query)


# -- running ----------------------------------------------------------------


def take(session: Session, job: Job, conductor: str) -> bool:
    """Give a queued job to a conductor; False if another was first."""
    taken = session.change(
        sa.update(Job)
        .where(Job.id == job.id, Job.state == 'queued')
        .values(
            state='running',
            conductor=conductor,
            attempt=Job.attempt + 1,
            claimed_at=session.now,
            updated_at=session.now,
        )
    )
    session.refresh(job)
    return bool(taken)


def end(
    session: Session,
    id: str,
    state: str,
    result: Mapping[str, Any] | None = None,
) -> None:
    """End a job that has not ended; no error if there is none."""
    session.change(
        sa.update(Job)
        .where(Job.id == id, Job.state.not_in(ENDED))
        .values(
            state=state,
            lane_id=None,
            result=None if result is None else dict(result),
            finished_at=session.now,
            updated_at=session.now,
        )
    )


def put_back(
    session: Session, id: str, *, counts: bool = True, delay: float = 0
) -> None:
    """Queue a running job again; no error if there is none.

    :param delay: seconds that it waits before.
    """
    session.change(
        sa.update(Job)
        .where(Job.id == id, Job.state == 'running')
        .values(
            state='waiting' if delay else 'queued',
            not_before=session.ago(-delay) if delay else None,
            conductor=None,
            claimed_at=None,
            requeues=Job.requeues + (0 if counts else 1),
            updated_at=session.now,
        )
    )


@reader
def jobs_of(session: Session, conductor: str, kind: str) -> list[records.Job]:
    """Every running job of a conductor and a kind."""
    return _running(session, Job.conductor == conductor, Job.kind == kind)


@reader
def conductors_for(
    session: Session, build_id: str, *, alive_within: float
) -> list[str]:
    """The conductors that are told of a queued build.

    :param alive_within: as of ``list_conductors``.
    :returns: names, as of ``placement.to_wake``; empty if nobody has a slot.
    """
    build = session.get(Build, build_id)
    if build is None:
        return []
    up = conductors.list_conductors(session, alive_within=alive_within)
    return placement.to_wake(
        placement.of_build(build),
        [each.capability for each in up if each.status == 'up'],
        _running_builds(session),
    )


def _running_builds(session: Session) -> dict[str, dict[str, int]]:
    """How many builds are running at each conductor, by their drivers."""
    query = (
        sa.select(Job.conductor, Build.driver, sa.func.count())
        .join(Build, Build.id == Job.id)
        .where(Job.state == 'running', Job.kind == 'build')
        .group_by(Job.conductor, Build.driver)
    )
    found: dict[str, dict[str, int]] = {}
    for conductor, driver, number in session.execute(query):
        # A running job has one.
        found.setdefault(conductor or '', {})[driver] = number
    return found


@reader
def orphaned_jobs(
    session: Session, kind: str, seconds: float
) -> list[records.Job]:
    """Running jobs whose conductor is dead, down or unknown.

    :param seconds: how long without a heartbeat makes a conductor dead.
    """
    living = sa.select(Conductor.name).where(
        Conductor.status != 'down',
        Conductor.heartbeat_at >= session.ago(seconds),
    )
    # A running job has a conductor, so NOT IN never meets a NULL.
    return _running(session, Job.conductor.not_in(living), Job.kind == kind)


def _running(
    session: Session, *conditions: sa.ColumnElement[bool]
) -> list[records.Job]:
    query = (
        sa.select(Job)
        .where(Job.state == 'running', *conditions)
        .order_by(Job.claimed_at)
        .execution_options(populate_existing=True)
    )
    return [rows.record(records.Job, row) for row in session.scalars(query)]


@reader
def get_job(session: Session, id: str) -> records.Job:
    """Look a job up.

    :raises NotFound: there is none.
    """
    found = session.get(Job, id, populate_existing=True)
    if found is None:
        raise exception.NotFound(what='job', id=id)
    return rows.record(records.Job, found)


def remove_unused_lanes(session: Session) -> None:
    """Remove the lanes that no job is in which has not ended."""
    unused = ~sa.exists().where(Job.lane_id == Lane.id)
    try:
        with session.begin_nested():
            session.change(sa.delete(Lane).where(unused))
    except oslo_db.exception.DBReferenceError:
        # Somebody puts a job into one just now: the next time.
        return
