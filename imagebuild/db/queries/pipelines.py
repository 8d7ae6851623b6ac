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
"""Pipelines: made, looked at, listed, changed, deleted."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from imagebuild import exception
from imagebuild.common import schedule
from imagebuild.common import statuses
from imagebuild.db import pipeline_records
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Image
from imagebuild.db.models import Pipeline
from imagebuild.db.queries import builds
from imagebuild.db.queries import cancellation
from imagebuild.db.queries import pages
from imagebuild.db.queries import quotas as quota_queries
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

#: Seconds after a first failure of a pipeline without a line of cron.
RETRY_AFTER = 300

#: What update_pipeline changes.
_CHANGEABLE = {
    'user_id', 'os', 'entry', 'driver', 'request', 'secrets', 'cron',
    'max_age', 'keep', 'max_failures', 'current_tag',
}  # fmt: skip
#: What makes work in the store when it is changed.
_SETTLED = ('keep', 'current_tag')


@writer
def create_pipeline(
    session: Session,
    values: Mapping[str, Any],
    *,
    quotas: Mapping[str, int] | None = None,
) -> pipeline_records.Pipeline:
    """Make a pipeline.

    :param values: columns; at least project_id, name and request. Status is
        ``active`` unless given; when it runs first is found here.
    :param quotas: limits by resource: ``pipelines``, ``request_bytes``.
    :raises QuotaExceeded: the project has as many as it may.
    :raises Conflict: the project has one of that name.
    :raises ValueError: there is no such column.
    """
    rows.lock_project(session, values['project_id'])
    made = session.get(Pipeline, session.call.row_id)
    if made is not None:
        return to_record(session, made)
    _check_name(session, values['project_id'], values['name'])
    row = Pipeline(
        **rows.own_columns(Pipeline, {'id': session.call.row_id, **values}),
        created_at=session.now,
        updated_at=session.now,
    )
    row.request_size = builds.size_of(row.request)
    quota_queries.check_pipeline(
        session, row.project_id, row.request_size, quotas or {}
    )
    with rows.retry_on_duplicate():
        session.add(row)
        session.flush()
    reschedule(session, row)
    return to_record(session, row)


def _check_name(session: Session, project_id: str, name: str) -> None:
    query = sa.select(Pipeline.id).where(
        Pipeline.project_id == project_id, Pipeline.name == name
    )
    if (found := session.scalar(query)) is not None:
        raise exception.Conflict(
            what='Pipeline',
            id=found,
            status='there already',
            reason=f'the project has one of the name "{name}"',
        )


@reader
def get_pipeline(
    session: Session, id: str, *, project_id: str | None = None
) -> pipeline_records.Pipeline:
    """Look a pipeline up.

    :param project_id: only if it is this project's; None for any.
    :raises NotFound: there is none.
    """
    row = session.get(Pipeline, id)
    if row is None or project_id not in (None, row.project_id):
        raise exception.NotFound(what='pipeline', id=id)
    return to_record(session, row)


@reader
def list_pipelines(
    session: Session,
    *,
    project_id: str | None = None,
    name: str | None = None,
    status: str | None = None,
    limit: int | None = None,
    marker: str | None = None,
) -> list[pipeline_records.Pipeline]:
    """List pipelines, the oldest first.

    :param project_id: only this project's; None for all, as in the others.
    :param limit: at most so many.
    :param marker: id of the last pipeline of the page before.
    :raises NotFound: there is no pipeline of the marker's id.
    """
    filters = {'project_id': project_id, 'name': name, 'status': status}
    query = _listing(session, sa.select(Pipeline), filters, marker)
    return to_records(session, session.scalars(query.limit(limit)))


@reader
def page_of_pipelines(
    session: Session,
    *,
    limit: int,
    max_bytes: int,
    project_id: str | None = None,
    name: str | None = None,
    status: str | None = None,
    marker: str | None = None,
) -> tuple[list[pipeline_records.Pipeline], bool]:
    """List pipelines as :func:`list_pipelines` does, within some memory.

    :param limit: as of :func:`pages.within`, like ``max_bytes``.
    :returns: the pipelines, and whether there are more.
    :raises NotFound: there is no pipeline of the marker's id.
    """
    filters = {'project_id': project_id, 'name': name, 'status': status}
    query = _listing(session, pages.sizes(Pipeline), filters, marker)
    found, more = pages.within(
        session, Pipeline, query, limit=limit, max_bytes=max_bytes
    )
    return to_records(session, found), more


def _listing(
    session: Session,
    query: sa.Select[Any],
    filters: Mapping[str, str | None],
    marker: str | None,
) -> sa.Select[Any]:
    last = None
    if marker is not None:
        last = get_pipeline(session, marker, project_id=filters['project_id'])
    return pages.by_time(query, Pipeline, filters, last)


@reader
def count_pipelines(session: Session) -> dict[str, int]:
    """Count pipelines by status."""
    query = sa.select(Pipeline.status, sa.func.count()).group_by(
        Pipeline.status
    )
    return {status: int(number) for status, number in session.execute(query)}


@writer
def update_pipeline(
    session: Session,
    id: str,
    values: Mapping[str, Any],
    *,
    paused: bool | None = None,
    run: bool = False,
    quotas: Mapping[str, int] | None = None,
) -> pipeline_records.Pipeline:
    """Change a pipeline; one that has stopped goes on, unless it is paused.

    :param values: columns: what it builds, its schedule and its limits.
    :param paused: whether it is to be paused; None: as it is.
    :param run: whether a run is requested, which a paused one does, too.
    :param quotas: as of ``create_pipeline``.
    :raises NotFound: there is none.
    :raises Conflict: a run is requested while another one runs.
    :raises QuotaExceeded: the project would keep too many bytes.
    :raises ValueError: there is no such column, or it is not to be changed.
    """
    refused = sorted(values.keys() - _CHANGEABLE)
    if refused:
        raise ValueError(f'a pipeline does not change {refused}')
    row = locked(session, id)
    if run and row.running_build_id is not None:
        raise exception.Conflict(
            what='Pipeline',
            id=id,
            status='running',
            reason=f'build {row.running_build_id} has not ended',
        )
    if 'request' in values:
        size = builds.size_of(values['request'])
        quota_queries.check_pipeline(
            session, row.project_id, size - row.request_size, quotas or {},
            new=False,
        )  # fmt: skip
        row.request_size = size
    if any(values.get(name, getattr(row, name)) != getattr(row, name)
           for name in _SETTLED):  # fmt: skip
        row.revision += 1
    if (tag := values.get('current_tag', row.current_tag)) != row.current_tag:
        dropped = {*row.dropped_tags, row.current_tag} - {tag}
        row.dropped_tags = sorted(dropped)
    for name, value in values.items():
        setattr(row, name, value)
    _set_status(row, paused)
    row.run_requested = row.run_requested or run
    row.updated_at = session.now
    # What was tried in vain may do now.
    row.held_until = None
    reschedule(session, row)
    return to_record(session, row)


def _set_status(row: Pipeline, paused: bool | None) -> None:
    if paused or (paused is None and row.status == 'paused'):
        row.status = 'paused'
    else:
        row.status = 'active'
    row.status_reason = ''
    row.failures = 0


@writer
def delete_pipeline(
    session: Session, id: str
) -> tuple[pipeline_records.Pipeline, records.Build | None]:
    """Delete a pipeline, and cancel its build that has not ended.

    Its builds and their images stay.

    :returns: what it was; and the build that was cancelled or is to be.
    :raises NotFound: there is none.
    """
    row = locked(session, id)
    found = to_record(session, row)
    session.delete(row)
    session.flush()
    if row.running_build_id is None:
        return found, None
    build = rows.build(session, row.running_build_id)
    if build is None or build.deleted_at is not None:
        return found, None
    return found, cancellation.request_cancel(session, row.running_build_id)


@reader
def builds_of_pipeline(session: Session, id: str) -> list[records.Build]:
    """List the active builds of a pipeline, the newest first."""
    return rows.build_records(session, session.scalars(active_builds(id)))


def active_builds(id: str) -> sa.Select[Build]:
    """The query for what :func:`builds_of_pipeline` lists."""
    return (
        sa.select(Build)
        .where(Build.pipeline_id == id, Build.status == 'active', rows.LIVE)
        .order_by(Build.finished_at.desc(), Build.id)
    )


def locked(session: Session, id: str) -> Pipeline:
    """The row of a pipeline, locked with its project.

    :raises NotFound: there is none.
    """
    found = session.get(Pipeline, id)
    if found is not None:
        rows.lock_project(session, found.project_id)
        found = session.get(
            Pipeline, id, populate_existing=True, with_for_update=True
        )
    if found is None:
        raise exception.NotFound(what='pipeline', id=id)
    return found


def reschedule(session: Session, row: Pipeline) -> None:
    """Find when a pipeline runs next."""
    row.next_run_at = _next_run(session, row)


def _next_run(session: Session, row: Pipeline) -> datetime.datetime | None:
    if row.status != 'active':
        return None
    if row.cron:
        return schedule.after(row.cron, session.now)
    # Its end decides when it runs again.
    if row.max_age is None or row.running_build_id is not None:
        return None
    if row.failures:
        delay = schedule.retry_delay(row.failures, RETRY_AFTER, row.max_age)
        return session.now + datetime.timedelta(seconds=delay)
    current = row.current_build_id and rows.build(
        session, row.current_build_id
    )
    if not current or current.finished_at is None:
        return session.now
    made: datetime.datetime = current.finished_at
    return made + datetime.timedelta(seconds=row.max_age)


def to_record(session: Session, row: Pipeline) -> pipeline_records.Pipeline:
    """As :func:`to_records`, of one row."""
    [copy] = to_records(session, [row])
    return copy


def to_records(
    session: Session, found: Iterable[Pipeline]
) -> list[pipeline_records.Pipeline]:
    """Copy rows, each with the id of its current image."""
    session.flush()
    found = list(found)
    ids = sorted({r.current_build_id for r in found if r.current_build_id})
    images: dict[str, str] = {}
    if ids:
        query = (
            sa.select(Build.id, Image.image_id)
            .join(Image, Image.id == Build.image_row_id)
            .where(Build.id.in_(ids), rows.LIVE)
        )
        for build_id, image_id in session.execute(query):
            images[build_id] = image_id
    return [
        rows.record(
            pipeline_records.Pipeline,
            row,
            current_image_id=images.get(row.current_build_id or ''),
        )
        for row in found
    ]


def is_over(build: Build | None) -> bool:
    """Whether a build that was started has ended, or is gone."""
    return (
        build is None
        or build.deleted_at is not None
        or build.status in statuses.ENDED
    )
