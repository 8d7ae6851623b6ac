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
"""Validations: made, claimed, ended, looked at, deleted.

The row is what users see, and its job, of the same id, is the work on it. The
job is removed when the validation ends, and the secrets of the row with it.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from imagebuild import exception
from imagebuild.common import statuses
from imagebuild.db import records
from imagebuild.db.models import Job
from imagebuild.db.models import Validation
from imagebuild.db.queries import jobs
from imagebuild.db.queries import pages
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

_AT_ONCE = 100


@writer
def create_validation(
    session: Session, values: Mapping[str, Any], *, limit: int = -1
) -> records.Validation:
    """Queue a validation.

    :param values: columns; at least project_id, request and timeout.
    :param limit: validations that the project may have; -1 for any.
    :raises QuotaExceeded: it has as many.
    :raises ValueError: there is no such column.
    """
    rows.lock_project(session, values['project_id'])
    made = session.get(Validation, session.call.row_id)
    if made is not None:
        return _record(made)
    used = sa.select(sa.func.count()).where(
        Validation.project_id == values['project_id']
    )
    number = session.scalar(used) or 0
    if 0 <= limit <= number:
        raise exception.QuotaExceeded(
            project=values['project_id'],
            resource='validations',
            limit=limit,
            used=number,
        )
    row = Validation(
        **rows.own_columns(Validation, {'id': session.call.row_id, **values}),
        created_at=session.now,
        updated_at=session.now,
    )
    row.status, row.results = 'queued', []
    with rows.retry_on_duplicate():
        session.add(row)
        session.flush()
    jobs.enqueue_validation(session, row)
    return _record(row)


@reader
def get_validation(
    session: Session, id: str, *, project_id: str | None = None
) -> records.Validation:
    """Look a validation up.

    :param project_id: only if it is this project's; None for any.
    :raises NotFound: there is none.
    """
    row = session.get(Validation, id, populate_existing=True)
    if row is None or project_id not in (None, row.project_id):
        raise exception.NotFound(what='validation', id=id)
    return _record(row)


@reader
def list_validations(
    session: Session,
    *,
    project_id: str | None = None,
    status: str | None = None,
    limit: int | None = None,
    marker: str | None = None,
) -> list[records.Validation]:
    """List validations, the newest first.

    :param project_id: only this project's; None for all.
    :param marker: id of the last one of the page before.
    :raises NotFound: there is none of the marker's id.
    """
    filters = {'project_id': project_id, 'status': status}
    query = _listing(session, sa.select(Validation), filters, marker)
    return [_record(row) for row in session.scalars(query.limit(limit))]


@reader
def page_of_validations(
    session: Session,
    *,
    limit: int,
    max_bytes: int,
    project_id: str | None = None,
    status: str | None = None,
    marker: str | None = None,
) -> tuple[list[records.Validation], bool]:
    """List validations as :func:`list_validations` does, within some memory.

    :param limit: as of :func:`pages.within`, like ``max_bytes``.
    :returns: the validations, and whether there are more.
    :raises NotFound: there is none of the marker's id.
    """
    filters = {'project_id': project_id, 'status': status}
    query = _listing(session, pages.sizes(Validation), filters, marker)
    found, more = pages.within(
        session, Validation, query, limit=limit, max_bytes=max_bytes
    )
    return [_record(row) for row in found], more


def _listing(
    session: Session,
    query: sa.Select[Any],
    filters: Mapping[str, str | None],
    marker: str | None,
) -> sa.Select[Any]:
    last = None
    if marker is not None:
        last = get_validation(
            session, marker, project_id=filters['project_id']
        )
    return pages.by_time(query, Validation, filters, last, newest_first=True)


def start(session: Session, job: Job) -> bool:
    """Have a validation be what its job is.

    :returns: False if it is there no more.
    """
    row = session.get(
        Validation, job.id, populate_existing=True, with_for_update=True
    )
    if row is None or row.status in statuses.VALIDATION_ENDED:
        session.delete(job)
        return False
    row.status, row.status_reason = 'running', ''
    row.started_at = row.started_at or session.now
    row.updated_at = session.now
    return True


@reader
def validation_state(
    session: Session, id: str, *, conductor: str, attempt: int
) -> str:
    """Whether a validation is still this conductor's and wanted.

    :returns: ``running``, ``cancelled`` or ``lost``.
    """
    job = session.get(Job, id, populate_existing=True)
    if not _is_mine(job, conductor, attempt):
        return 'lost'
    return 'cancelled' if job and job.cancel_requested else 'running'


@writer
def note_results(
    session: Session,
    id: str,
    results: Sequence[Mapping[str, Any]],
    *,
    conductor: str,
    attempt: int,
) -> bool:
    """Write down what is known of its machines by now.

    :returns: False if that conductor and attempt no longer has it.
    """
    if _held(session, id, conductor, attempt) is None:
        return False
    _change(session, id, results=[dict(each) for each in results])
    return True


@writer
def finish_validation(
    session: Session,
    id: str,
    status: str,
    reason: str,
    results: Sequence[Mapping[str, Any]],
    *,
    conductor: str,
    attempt: int,
) -> bool:
    """End a validation, and forget its secrets.

    :param status: of :data:`statuses.VALIDATION_ENDED`.
    :returns: False if that conductor and attempt no longer has it.
    """
    job = _held(session, id, conductor, attempt)
    if job is None:
        row = session.get(Validation, id)
        return (
            row is not None
            and row.finished_at is not None
            and session.did(row.finished_at)
        )
    _end(session, id, status, reason, [dict(each) for each in results])
    session.delete(job)
    return True


@writer
def requeue_validation(
    session: Session,
    id: str,
    *,
    conductor: str,
    attempt: int,
    reason: str,
    most: int,
    counts: bool = True,
) -> bool:
    """Put a validation back into the queue, or end it.

    By its conductor, or by any other when that one is dead. It ends when it
    is to be cancelled, or there were as many attempts as there may be.

    :param most: attempts that count.
    :returns: False if that conductor and attempt no longer has it.
    """
    job = _held(session, id, conductor, attempt)
    if job is None:
        return False
    if job.cancel_requested:
        _end(session, id, 'cancelled', 'It was cancelled.')
        session.delete(job)
    elif counts and job.attempt - job.requeues >= most:
        _end(session, id, 'error', reason)
        session.delete(job)
    else:
        jobs.put_back(session, id, counts=counts)
        _change(session, id, status='queued', status_reason=reason)
    return True


@writer
def cancel_validation(session: Session, id: str) -> records.Validation:
    """Cancel a validation: at once, or as soon as its conductor looks.

    :raises NotFound: there is none.
    :raises Conflict: it has ended.
    """
    row = _locked(session, id)
    if row.status in statuses.VALIDATION_ENDED:
        if session.is_retry and row.status == 'cancelled':
            return _record(row)
        raise exception.Conflict(
            what='Validation', id=id, status=row.status, reason='it has ended'
        )
    job = session.get(Job, id, populate_existing=True, with_for_update=True)
    if job is not None and job.state == 'running':
        job.cancel_requested, job.updated_at = True, session.now
        row.status_reason, row.updated_at = (
            'It is being cancelled.',
            session.now,
        )
        session.flush()
    else:
        _end(session, id, 'cancelled', 'It was cancelled.')
        if job is not None:
            session.delete(job)
        session.flush()
        session.refresh(row)
    return _record(row)


@writer
def delete_validation(session: Session, id: str) -> None:
    """Delete a validation that does not run.

    :raises NotFound: there is none.
    :raises Conflict: it runs.
    """
    row = _locked(session, id)
    if row.status == 'running':
        raise exception.Conflict(
            what='Validation',
            id=id,
            status=row.status,
            reason='cancel it before it is deleted',
        )
    session.change(sa.delete(Job).where(Job.id == id))
    session.delete(row)


@writer
def purge_validations(session: Session, older_than: datetime.datetime) -> int:
    """Remove validations that ended before a time; at most 100 in one call.

    :param older_than: naive UTC.
    :returns: how many were removed.
    """
    ids = session.scalars(
        sa.select(Validation.id)
        .where(
            Validation.finished_at.is_not(None),
            Validation.finished_at < older_than,
        )
        .limit(_AT_ONCE)
    ).all()
    return session.change(
        sa.delete(Validation).where(Validation.id.in_(list(ids)))
    )


def _locked(session: Session, id: str) -> Validation:
    row = session.get(Validation, id)
    if row is None:
        raise exception.NotFound(what='validation', id=id)
    rows.lock_project(session, row.project_id)
    row = session.get(
        Validation, id, populate_existing=True, with_for_update=True
    )
    if row is None:
        raise exception.NotFound(what='validation', id=id)
    return row


def _held(
    session: Session, id: str, conductor: str, attempt: int
) -> Job | None:
    """The job, locked, if that conductor and attempt has it."""
    job = session.get(Job, id)
    if job is None:
        return None
    # The project first: locks are taken in one order, whoever takes them.
    rows.lock_project(session, job.project_id)
    job = session.get(Job, id, populate_existing=True, with_for_update=True)
    return job if _is_mine(job, conductor, attempt) else None


def _is_mine(job: Job | None, conductor: str, attempt: int) -> bool:
    return job is not None and (job.state, job.conductor, job.attempt) == (
        'running',
        conductor,
        attempt,
    )


def _change(session: Session, id: str, **values: Any) -> None:
    session.change(
        sa.update(Validation)
        .where(Validation.id == id)
        .values(updated_at=session.now, **values)
    )


def _end(
    session: Session,
    id: str,
    status: str,
    reason: str,
    results: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    more = {} if results is None else {'results': results}
    _change(
        session,
        id,
        status=status,
        status_reason=reason,
        secrets=None,
        finished_at=session.now,
        **more,
    )


def _record(row: Validation) -> records.Validation:
    return rows.record(records.Validation, row)
