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
"""The runs of pipelines.

A conductor holds a pipeline while it works on it, so that others leave it
alone. That alone is no fence, as a conductor may be slow: each change here
looks at the row again, locked, and does nothing when it is not as expected.
A run begins in the transaction that makes its build.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from imagebuild import exception
from imagebuild.common import statuses
from imagebuild.common.counts import counted
from imagebuild.db import pipeline_records
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Pipeline
from imagebuild.db.queries import creation
from imagebuild.db.queries import holds
from imagebuild.db.queries import pipelines
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer


@reader
def pipelines_to_attend(
    session: Session, conductor: str = '', limit: int = 1000
) -> list[pipeline_records.PipelineWork]:
    """List pipelines with something to do that nobody works on.

    A run is due; its build has ended; its current build was deleted; tags
    or the number of its images are not as they should be. Those that are due
    for the longest time come first.

    :param conductor: who asks; what it holds itself is left of a process
        that was killed.
    :param limit: at most so many.
    """
    free = holds.free(session, Pipeline, conductor)
    due = sa.and_(
        Pipeline.running_build_id.is_(None),
        sa.or_(
            Pipeline.run_requested.is_(True),
            Pipeline.next_run_at <= session.now,
        ),
    )
    others = sa.or_(
        Pipeline.settled_revision < Pipeline.revision,
        sa.and_(
            Pipeline.running_build_id.is_not(None),
            ~sa.exists().where(
                Build.id == Pipeline.running_build_id,
                Build.status.not_in(statuses.ENDED),
                rows.LIVE,
            ),
        ),
        sa.and_(
            Pipeline.current_build_id.is_not(None),
            ~sa.exists().where(
                Build.id == Pipeline.current_build_id, rows.LIVE
            ),
        ),
    )
    query = (
        sa.select(
            Pipeline.id,
            Pipeline.os,
            Pipeline.entry,
            Pipeline.driver,
            sa.case((others, 0), else_=1),
        )
        .where(free, sa.or_(due, others))
        .order_by(Pipeline.next_run_at, Pipeline.id)
        .limit(limit)
    )
    return [
        pipeline_records.PipelineWork(id, os, entry, driver, bool(is_run))
        for id, os, entry, driver, is_run in session.execute(query)
    ]


@writer
def hold_pipeline(
    session: Session, id: str, conductor: str, seconds: float
) -> pipeline_records.Pipeline | None:
    """Keep other conductors from working on a pipeline.

    :param seconds: for so long at most.
    :returns: the pipeline; None when another one holds it, or it is gone.
    """
    row = holds.take(session, Pipeline, id, conductor, seconds)
    return None if row is None else pipelines.to_record(session, row)


@writer
def release_pipeline(
    session: Session, id: str, conductor: str, seconds: float = 0
) -> None:
    """Let others work on a pipeline again.

    :param seconds: not before so long; not this conductor either.
    """
    holds.release(session, Pipeline, id, conductor, seconds)


@writer
def start_run(
    session: Session,
    id: str,
    conductor: str,
    values: Mapping[str, Any],
    *,
    quotas: Mapping[str, int] | None = None,
) -> records.Build | None:
    """Make the build of a run that is due.

    :param conductor: holds the pipeline.
    :param values: of the build, as of ``create_build``.
    :param quotas: as of ``create_build``.
    :returns: None when it is not due any more, or held by another: nothing
        was made.
    :raises QuotaExceeded: the project may have no further build.
    """
    row = _mine(session, id, conductor)
    if row is None:
        return None
    if row.running_build_id == session.call.row_id:
        # An earlier run of this call, whose end was lost.
        return creation.create_build(session, values)
    if not _is_due(session, row):
        return None
    build = creation.create_build(
        session, {**values, 'pipeline_id': id}, quotas=quotas
    )
    row.running_build_id = build.id
    row.last_build_id = build.id
    _note_run(session, row)
    # Of an age nothing is due while it runs: its end decides.
    pipelines.reschedule(session, row)
    session.flush()
    return build


@writer
def refuse_run(
    session: Session, id: str, conductor: str, reason: str
) -> pipeline_records.Pipeline | None:
    """Note that a run which is due cannot begin; that is a failure.

    :param reason: a message for the project's users.
    :returns: None when it is not due any more, or held by another.
    """
    row = _mine(session, id, conductor)
    if row is None or not _is_due(session, row):
        return None
    _note_run(session, row)
    _failed(row, reason)
    pipelines.reschedule(session, row)
    return pipelines.to_record(session, row)


@writer
def refresh_pipeline(session: Session, id: str) -> pipeline_records.Pipeline:
    """Take over how the build of a run has ended, and what was deleted.

    An image becomes the current one here, once its build is active. When the
    current one was deleted, the newest that is left takes its place.

    :raises NotFound: the pipeline is gone.
    """
    row = pipelines.locked(session, id)
    if row.running_build_id is not None:
        build = rows.build(session, row.running_build_id)
        if pipelines.is_over(build):
            _ended(session, row, build)
    current = row.current_build_id and rows.build(
        session, row.current_build_id
    )
    if row.current_build_id and (not current or current.deleted_at):
        newest = session.scalars(pipelines.active_builds(id).limit(1)).first()
        row.current_build_id = newest.id if newest else None
        row.revision += 1
        if row.running_build_id is None:
            pipelines.reschedule(session, row)
    return pipelines.to_record(session, row)


@writer
def settle_pipeline(
    session: Session, id: str, revision: int, reason: str
) -> bool:
    """Note that tags and number of a pipeline's images are as they should be.

    :param revision: up to which that is so.
    :param reason: what could not be done and is not retried before the
        next run, as a message; '' if all was.
    :returns: False when something else is wanted by now.
    """
    row = session.get(Pipeline, id, populate_existing=True)
    if row is None or row.revision != revision:
        return False
    row.settled_revision = revision
    row.dropped_tags = []
    if row.status == 'active' and not row.failures:
        row.status_reason = reason
    return True


def _mine(session: Session, id: str, conductor: str) -> Pipeline | None:
    try:
        row = pipelines.locked(session, id)
    except exception.NotFound:
        return None
    held = row.held_until is not None and row.held_until >= session.now
    return row if held and row.conductor == conductor else None


def _is_due(session: Session, row: Pipeline) -> bool:
    return row.running_build_id is None and (
        row.run_requested
        or (row.next_run_at is not None and row.next_run_at <= session.now)
    )


def _note_run(session: Session, row: Pipeline) -> None:
    row.run_requested = False
    row.last_run_at = session.now
    row.updated_at = session.now


def _ended(session: Session, row: Pipeline, build: Build | None) -> None:
    """Take over how the build of a run has ended.

    :param build: None when it is gone.
    """
    row.running_build_id = None
    row.updated_at = session.now
    if build is not None and build.deleted_at is None:
        if build.status == 'active':
            row.current_build_id = build.id
            row.failures = 0
            row.status_reason = ''
            row.revision += 1
        elif build.status == 'error':
            _failed(row, build.status_reason)
    # Cancelled or deleted: somebody's wish, no failure. With an age the next
    # one would begin at once.
    pipelines.reschedule(session, row)
    _wait_after_cancel(session, row, build)


def _wait_after_cancel(
    session: Session, row: Pipeline, build: Build | None
) -> None:
    taken_back = build is None or build.deleted_at or build.status not in (
        'active', 'error'
    )  # fmt: skip
    if taken_back and row.next_run_at and row.next_run_at <= session.now:
        delay = min(pipelines.RETRY_AFTER, row.max_age or 0)
        row.next_run_at = session.now + datetime.timedelta(seconds=delay)


def _failed(row: Pipeline, reason: str) -> None:
    row.failures += 1
    reason = reason or 'the reason is not known'
    if row.max_failures and row.failures >= row.max_failures:
        if row.status == 'active':
            row.status = 'error'
        what = f'Stopped after {_failures(row.failures)}'
    else:
        what = _failures(row.failures)
    row.status_reason = f'{what}, the last one: {reason}'


def _failures(number: int) -> str:
    return counted(number, 'failure', 'failures in a row')
