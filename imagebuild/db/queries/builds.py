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
"""Looking at builds and changing one."""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from imagebuild import exception
from imagebuild import statuses
from imagebuild.db import models
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.queries import common

#: What list_builds can filter by.
FILTERS = (
    'id',
    'name',
    'status',
    'fault',
    'os',
    'driver',
    'architecture',
    'content_key',
    'conductor',
    'user_id',
    'reuse',
    'leader_id',
    'reused_from',
)
#: What update_build leaves to the calls that keep the rows consistent.
_NOT_BY_UPDATE = {
    'id',
    'project_id',
    'content_key',
    'conductor',
    'attempt',
    'leader_id',
    'reused_from',
    'image_row_id',
    'log_size',
    'request_size',
    'requeues',
    'created_at',
    'updated_at',
    'deleted_at',
}

LIVE = Build.deleted_at.is_(None)


def row(
    session: orm.Session, id: str, *, lock: bool = False
) -> models.Build | None:
    """The row of a build, deleted ones too, as it is now."""
    return session.get(
        Build, id, populate_existing=True, with_for_update=lock or None
    )


def live_row(session: orm.Session, id: str) -> models.Build:
    """The row of a build that is not deleted.

    :raises NotFound: there is none.
    """
    found = row(session, id)
    if found is None or found.deleted_at is not None:
        raise exception.NotFound(what='build', id=id)
    return found


def size_of(request: Any) -> int:
    """Bytes that a request takes in the database."""
    return len(json.dumps(request))


def locked_row(session: orm.Session, id: str) -> models.Build:
    """The row of a build, locked with its project.

    :raises NotFound: there never was one.
    """
    found = row(session, id)
    if found is None:
        raise exception.NotFound(what='build', id=id)
    common.lock_project(session, found.project_id)
    locked = row(session, id, lock=True)
    if locked is None:
        raise exception.NotFound(what='build', id=id)
    return locked


def get(
    session: orm.Session, id: str, *, project_id: str | None
) -> records.Build:
    found = live_row(session, id)
    if project_id is not None and found.project_id != project_id:
        raise exception.NotFound(what='build', id=id)
    return as_record(session, found)


def as_record(session: orm.Session, found: models.Build) -> records.Build:
    [build] = as_records(session, [found])
    return build


def as_records(
    session: orm.Session, rows: Iterable[models.Build]
) -> list[records.Build]:
    """Copy rows, each with its images, in one more query."""
    session.flush()
    rows = list(rows)
    makers = {
        row.id: row.reused_from or row.id
        for row in rows
        if row.image_row_id or row.status in statuses.RUNNING
    }
    images: dict[str, list[records.Image]] = {}
    if makers:
        query = (
            sa.select(models.Image)
            .where(models.Image.build_id.in_(sorted(set(makers.values()))))
            .order_by(models.Image.destination, models.Image.created_at)
        )
        for image in session.scalars(query):
            images.setdefault(image.build_id, []).append(
                common.record(records.Image, image)
            )
    return [
        common.record(
            records.Build,
            row,
            images=tuple(images.get(makers.get(row.id, ''), ())),
        )
        for row in rows
    ]


def listed(
    session: orm.Session,
    *,
    project_id: str | None,
    filters: Mapping[str, Any],
    sort: Sequence[tuple[str, str]],
    limit: int | None,
    marker: str | None,
) -> list[records.Build]:
    query = _sorted(
        session, sa.select(Build), project_id, filters, sort, marker
    )
    return as_records(session, session.scalars(query.limit(limit)))


def page(
    session: orm.Session,
    *,
    project_id: str | None,
    filters: Mapping[str, Any],
    sort: Sequence[tuple[str, str]],
    limit: int,
    max_bytes: int,
    marker: str | None,
) -> tuple[list[records.Build], bool]:
    # Only then what is large: who asks for a thousand builds must not have
    # us read a thousand requests of the largest size.
    columns: Any = sa.select(
        Build.id,
        sa.func.length(Build.request, type_=sa.Integer)
        + sa.func.length(Build.base, type_=sa.Integer)
        + sa.func.length(Build.status_reason, type_=sa.Integer),
    )
    query = _sorted(session, columns, project_id, filters, sort, marker)
    ids: list[str] = []
    left = max_bytes
    found = session.execute(query.limit(limit + 1)).all()
    for id, size in found[:limit]:
        left -= size or 0
        if ids and left < 0:
            break
        ids.append(id)
    rows = {
        row.id: row
        for row in session.scalars(
            sa.select(Build)
            .where(Build.id.in_(ids))
            .execution_options(populate_existing=True)
        )
    }
    # One may have been removed since.
    kept = [rows[id] for id in ids if id in rows]
    return as_records(session, kept), len(ids) < len(found)


def _sorted(
    session: orm.Session,
    query: sa.Select[Any],
    project_id: str | None,
    filters: Mapping[str, Any],
    sort: Sequence[tuple[str, str]],
    marker: str | None,
) -> sa.Select[Any]:
    query = query.where(LIVE)
    if project_id is not None:
        query = query.where(Build.project_id == project_id)
    for name, wanted in filters.items():
        if name not in FILTERS:
            raise exception.InvalidInput(
                f'Builds cannot be filtered by {name}.'
            )
        query = query.where(common.one_of(getattr(Build, name), wanted))
    order = _order(sort)
    if marker is not None:
        query = query.where(_after(session, marker, project_id, order))
    for name, direction in order:
        column = getattr(Build, name)
        # What has no value comes last: left to themselves, databases differ.
        query = query.order_by(
            column.is_(None),
            column.desc() if direction == 'desc' else column.asc(),
        )
    return query


def ended_with(
    session: orm.Session, build: records.Build
) -> list[records.Build]:
    query = (
        sa.select(Build)
        .where(
            LIVE,
            Build.project_id == build.project_id,
            Build.content_key == build.content_key,
            Build.finished_at == build.finished_at,
            Build.status == build.status,
            Build.id != build.id,
        )
        .order_by(Build.created_at, Build.id)
    )
    return as_records(session, session.scalars(query))


def earlier(
    session: orm.Session, build: records.Build, limit: int
) -> list[records.EarlierBuild]:
    query = (
        sa.select(Build.content_key, Build.name, Build.phases)
        .where(
            # Nobody learns what other projects build.
            Build.project_id == build.project_id,
            Build.status == 'active',
            Build.reused_from.is_(None),
            Build.os == build.os,
            Build.driver == build.driver,
            Build.architecture == build.architecture,
            Build.phases.is_not(None),
            Build.id != build.id,
        )
        .order_by(Build.finished_at.desc(), Build.id)
        .limit(limit)
    )
    return [
        records.EarlierBuild(content_key, name, phases)
        for content_key, name, phases in session.execute(query)
    ]


def _order(sort: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    order = list(sort) or [('created_at', 'desc')]
    for name, direction in order:
        if name not in records.SORT_KEYS:
            raise exception.InvalidInput(f'Builds cannot be sorted by {name}.')
        if direction not in ('asc', 'desc'):
            raise exception.InvalidInput(
                f'A sort direction is asc or desc, not {direction}.'
            )
    if 'id' not in (name for name, _ in order):
        order.append(('id', order[-1][1]))
    return order


def _after(
    session: orm.Session,
    marker: str,
    project_id: str | None,
    order: Sequence[tuple[str, str]],
) -> sa.ColumnElement[bool]:
    """The condition that a build comes after the marker."""
    # The marker may have been deleted since its page was shown.
    last = row(session, marker)
    if last is None or project_id not in (None, last.project_id):
        raise exception.NotFound(what='build', id=marker)
    ways = []
    same: list[sa.ColumnElement[bool]] = []
    for name, direction in order:
        column, value = getattr(Build, name), getattr(last, name)
        if value is not None:
            further = column < value if direction == 'desc' else column > value
            ways.append(sa.and_(*same, sa.or_(further, column.is_(None))))
        same.append(common.one_of(column, value))
    return sa.or_(*ways)


def update(
    session: orm.Session,
    id: str,
    values: Mapping[str, Any],
    *,
    now: datetime.datetime,
    conductor: str | None,
    attempt: int | None,
    expected_status: str | Collection[str] | None,
) -> bool:
    refused = sorted(_NOT_BY_UPDATE & values.keys())
    if refused:
        raise ValueError(f'update_build does not change {refused}')
    if 'status' in values:
        if values['status'] not in ('building', 'uploading'):
            raise ValueError('update_build does not end or queue a build')
        if expected_status is None:
            # Neither an ended build nor one that is being deleted.
            expected_status = ('building', 'uploading')
    if 'request' in values:
        values = {**values, 'request_size': size_of(values['request'])}
    conditions: list[sa.ColumnElement[bool]] = [LIVE]
    if conductor is not None:
        conditions.append(Build.conductor == conductor)
        # A conductor that gave a build up or ended it has it no more.
        conditions.append(Build.status.in_(statuses.RUNNING))
    if attempt is not None:
        conditions.append(Build.attempt == attempt)
    if expected_status is not None:
        conditions.append(common.one_of(Build.status, expected_status))
    return common.compare_and_swap(
        session,
        Build,
        id,
        common.own_columns(Build, values),
        *conditions,
        now=now,
    )


def counts(session: orm.Session) -> dict[tuple[str, str | None], int]:
    query = (
        sa.select(Build.status, Build.fault, sa.func.count())
        .where(LIVE)
        .group_by(Build.status, Build.fault)
    )
    return {
        (status, fault): number
        for status, fault, number in session.execute(query)
    }


def oldest_queued(session: orm.Session) -> datetime.datetime | None:
    return session.scalar(
        sa.select(sa.func.min(Build.created_at)).where(
            LIVE, Build.status == 'queued', Build.leader_id.is_(None)
        )
    )
