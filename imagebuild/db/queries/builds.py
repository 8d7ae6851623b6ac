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
"""Builds: looked at, listed, counted, changed."""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from imagebuild import exception
from imagebuild.common import statuses
from imagebuild.db import models
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.queries import pages
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

#: What list_builds can filter by.
FILTERS = (
    'id', 'name', 'status', 'fault', 'os', 'driver', 'architecture',
    'content_key', 'conductor', 'user_id', 'reuse', 'leader_id', 'reused_from',
    'pipeline_id',
)  # fmt: skip
#: What update_build leaves to the calls that keep the rows consistent.
_NOT_BY_UPDATE = {
    'id', 'project_id', 'content_key', 'conductor', 'attempt', 'leader_id',
    'reused_from', 'image_row_id', 'log_size', 'request_size', 'requeues',
    'created_at', 'updated_at', 'deleted_at', 'pipeline_id',
    'delete_when_unused',
}  # fmt: skip


def size_of(request: Any) -> int:
    """Bytes that a request takes in the database."""
    return len(json.dumps(request))


@reader
def get_build(
    session: Session, id: str, *, project_id: str | None = None
) -> records.Build:
    """Look a build up.

    :param project_id: only if it is this project's; None for any.
    :raises NotFound: there is none, or it was deleted.
    """
    found = rows.live_build(session, id)
    if project_id is not None and found.project_id != project_id:
        raise exception.NotFound(what='build', id=id)
    return rows.build_record(session, found)


@reader
def list_builds(
    session: Session,
    *,
    project_id: str | None = None,
    filters: Mapping[str, Any] | None = None,
    sort: Sequence[tuple[str, str]] = (),
    limit: int | None = None,
    marker: str | None = None,
) -> list[records.Build]:
    """List builds that are not deleted.

    :param project_id: only this project's; None for all.
    :param filters: column -> value or collection of values (any of
        them); see ``FILTERS``.
    :param sort: pairs of a column (``records.SORT_KEYS``) and
        ``asc`` or ``desc``; default: newest first.
    :param limit: at most so many.
    :param marker: id of the last build of the page before.
    :raises InvalidInput: an unknown filter, sort key or direction.
    :raises NotFound: there is no build of the marker's id.
    """
    query = _listing(sa.select(Build), project_id, filters)
    query = _sorted(session, query, project_id, sort, marker)
    return rows.build_records(session, session.scalars(query.limit(limit)))


@reader
def page_of_builds(
    session: Session,
    *,
    limit: int,
    max_bytes: int,
    project_id: str | None = None,
    filters: Mapping[str, Any] | None = None,
    sort: Sequence[tuple[str, str]] = (),
    marker: str | None = None,
) -> tuple[list[records.Build], bool]:
    """List builds as :func:`list_builds` does, within some memory.

    :param limit: as of :func:`pages.within`, like ``max_bytes``.
    :returns: the builds, and whether there are more.
    :raises InvalidInput: an unknown filter, sort key or direction.
    :raises NotFound: there is no build of the marker's id.
    """
    query = _listing(pages.sizes(Build), project_id, filters)
    query = _sorted(session, query, project_id, sort, marker)
    found, more = pages.within(
        session, Build, query, limit=limit, max_bytes=max_bytes
    )
    return rows.build_records(session, found), more


def _listing(
    query: sa.Select[Any],
    project_id: str | None,
    filters: Mapping[str, Any] | None,
) -> sa.Select[Any]:
    query = query.where(rows.LIVE)
    if project_id is not None:
        query = query.where(Build.project_id == project_id)
    for name, wanted in (filters or {}).items():
        if name not in FILTERS:
            raise exception.InvalidInput(
                f'Builds cannot be filtered by {name}.'
            )
        query = query.where(rows.one_of(getattr(Build, name), wanted))
    return query


def _sorted(
    session: Session,
    query: sa.Select[Any],
    project_id: str | None,
    sort: Sequence[tuple[str, str]],
    marker: str | None,
) -> sa.Select[Any]:
    order = _order(sort)
    if marker is not None:
        query = query.where(_after(session, marker, project_id, order))
    if session.get_bind().dialect.name == 'postgresql':
        # All that are listed have the same. PostgreSQL does not conclude that
        # from IS NULL, and would not read the index in its order; MariaDB
        # does, and sorts when it is told.
        query = query.order_by(_directed(Build.deleted_at, order[0][1]))
    for name, direction in order:
        column = getattr(Build, name)
        if Build.__table__.columns[name].nullable:
            # What has no value comes last: left to themselves, databases
            # differ.
            query = query.order_by(column.is_(None))
        query = query.order_by(_directed(column, direction))
    return query


def _directed(column: Any, direction: str) -> Any:
    return column.desc() if direction == 'desc' else column.asc()


def _order(sort: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    order = list(sort) or [('created_at', 'desc')]
    for name, direction in order:
        if name not in records.SORT_KEYS:
            raise exception.InvalidInput(f'Builds cannot be sorted by {name}.')
        if direction not in ('asc', 'desc'):
            raise exception.InvalidInput(
                f'A sort direction is asc or desc, not {direction}.'
            )
    # Without a key that no two builds share, pages would lose some.
    if 'id' not in (name for name, _ in order):
        order.append(('id', order[-1][1]))
    return order


def _after(
    session: Session,
    marker: str,
    project_id: str | None,
    order: Sequence[tuple[str, str]],
) -> sa.ColumnElement[bool]:
    """The condition that a build comes after the marker.

    Row by row: (a, b) > (x, y) is a > x, or a = x and b > y. Databases have
    row values for that, but not for mixed directions and for NULL.
    """
    # The marker may have been deleted since its page was shown.
    last = rows.build(session, marker)
    if last is None or project_id not in (None, last.project_id):
        raise exception.NotFound(what='build', id=marker)
    ways = []
    same: list[sa.ColumnElement[bool]] = []
    for name, direction in order:
        column, value = getattr(Build, name), getattr(last, name)
        if value is not None:
            further = column < value if direction == 'desc' else column > value
            ways.append(sa.and_(*same, sa.or_(further, column.is_(None))))
        same.append(rows.one_of(column, value))
    return sa.or_(*ways)


@writer
def update_build(
    session: Session,
    id: str,
    values: Mapping[str, Any],
    *,
    conductor: str | None = None,
    attempt: int | None = None,
    expected_status: str | Collection[str] | None = None,
) -> bool:
    """Change columns of a build if it is still as expected.

    :param conductor: only while this conductor has it.
    :param attempt: only while this is its attempt.
    :param expected_status: only in this status, or one of these.
    :returns: whether it was changed. False to a conductor means that
        the build is no longer its own (or is being deleted).
    :raises ValueError: there is no such column, or it is not to be
        changed this way.
    """
    rows.check_changeable(Build, values, _NOT_BY_UPDATE)
    if 'status' in values:
        if values['status'] not in statuses.IN_PROGRESS:
            raise ValueError('update_build does not end or queue a build')
        if expected_status is None:
            # Neither an ended build nor one that is being deleted.
            expected_status = statuses.IN_PROGRESS
    expected = rows.Expected(conductor, attempt, expected_status)
    conditions = [rows.LIVE, *expected.conditions(Build)]
    if conductor is not None:
        # A conductor that requeued or ended a build no longer has it.
        conditions.append(Build.status.in_(statuses.RUNNING))
    if 'request' in values:
        values = {**values, 'request_size': size_of(values['request'])}
    return rows.update(session, Build, id, values, *conditions)


@reader
def list_ended_with(
    session: Session, build: records.Build
) -> list[records.Build]:
    """List the followers that ended when a build did.

    :param build: as ``finish_build`` returned it.
    """
    query = (
        sa.select(Build)
        .where(
            rows.LIVE,
            Build.project_id == build.project_id,
            Build.content_key == build.content_key,
            # They no longer name their leader, but ended in its transaction.
            Build.finished_at == build.finished_at,
            Build.status == build.status,
            Build.id != build.id,
        )
        .order_by(Build.created_at, Build.id)
    )
    return rows.build_records(session, session.scalars(query))


@reader
def earlier_builds(
    session: Session, build: records.Build, limit: int
) -> list[records.EarlierBuild]:
    """List what made images like that of a build, the newest first.

    Of the same project, operating system, driver and architecture;
    deleted ones count until they are purged.

    :param limit: at most so many.
    """
    query = (
        sa.select(Build.content_key, Build.name, Build.phases)
        .where(
            # Projects do not learn what others build.
            Build.project_id == build.project_id,
            Build.status == 'active',
            Build.reused_from.is_(None),
            Build.os == build.os,
            Build.driver == build.driver,
            Build.architecture == build.architecture,
            Build.phases.is_not(None),
            Build.id != build.id,
        )
        .order_by(Build.finished_at.desc(), Build.id.desc())
        .limit(limit)
    )
    return [
        records.EarlierBuild(content_key, name, phases)
        for content_key, name, phases in session.execute(query)
    ]


@reader
def count_builds(session: Session) -> dict[tuple[str, str | None], int]:
    """Count builds that are not deleted, by status and fault."""
    query = (
        sa.select(Build.status, Build.fault, sa.func.count())
        .where(rows.LIVE)
        .group_by(Build.status, Build.fault)
    )
    return {
        (status, fault): number
        for status, fault, number in session.execute(query)
    }


@reader
def oldest_queued(session: Session) -> datetime.datetime | None:
    """When the longest waiting build (no follower) was created."""
    return session.scalar(
        sa.select(sa.func.min(Build.created_at)).where(
            rows.LIVE, Build.status == 'queued', Build.leader_id.is_(None)
        )
    )


@reader
def statistics(session: Session) -> records.Statistics:
    """Add up steps, reuses and uploads of all builds that are kept.

    Deleted builds count until they are purged.
    """
    step = models.Step
    steps = session.execute(
        sa.select(
            step.validator, sa.func.count(), sa.func.sum(step.seconds)
        ).group_by(step.validator)
    )
    reused = session.scalar(
        sa.select(sa.func.count()).where(Build.reused_from.is_not(None))
    )
    uploaded = session.scalar(
        sa.select(sa.func.sum(models.Upload.size)).where(
            models.Upload.status == 'active'
        )
    )
    # MySQL's sums are Decimal, and None over no rows.
    return records.Statistics(
        steps={
            validator: (int(number), float(seconds or 0.0))
            for validator, number, seconds in steps
        },
        reused=int(reused or 0),
        uploaded_bytes=int(uploaded or 0),
    )
