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
"""Uploads."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from imagebuild import exception
from imagebuild.db import models
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Upload
from imagebuild.db.queries import builds
from imagebuild.db.queries import common

_NOT_BY_UPDATE = {'id', 'build_id', 'created_at', 'updated_at'}


def create(
    session: orm.Session,
    values: Mapping[str, Any],
    now: datetime.datetime,
) -> records.Upload:
    build = builds.live_row(session, values['build_id'])
    upload = session.get(Upload, values['id'])
    if upload is None:
        upload = Upload(
            **common.own_columns(Upload, values),
            created_at=now,
            updated_at=now,
        )
        session.add(upload)
        session.flush()
    return _record(upload, build.project_id)


def get(
    session: orm.Session, id: str, *, project_id: str | None
) -> records.Upload:
    found = session.execute(_visible(project_id).where(Upload.id == id))
    for upload, owner in found:
        return _record(upload, owner)
    raise exception.NotFound(what='upload', id=id)


def listed(
    session: orm.Session,
    *,
    project_id: str | None,
    build_id: str | None,
    status: str | Collection[str] | None,
    conductor: str | None,
    limit: int | None,
    marker: str | None,
) -> list[records.Upload]:
    query = _visible(project_id).order_by(Upload.created_at, Upload.id)
    if build_id is not None:
        query = query.where(Upload.build_id == build_id)
    if status is not None:
        query = query.where(common.one_of(Upload.status, status))
    if conductor is not None:
        query = query.where(Upload.conductor == conductor)
    if marker is not None:
        last = get(session, marker, project_id=project_id)
        query = query.where(
            sa.or_(
                Upload.created_at > last.created_at,
                sa.and_(
                    Upload.created_at == last.created_at,
                    Upload.id > last.id,
                ),
            )
        )
    found = session.execute(query.limit(limit))
    return [_record(upload, owner) for upload, owner in found]


def abandoned(session: orm.Session) -> list[tuple[records.Upload, str]]:
    query = (
        sa.select(Upload, Build.project_id, Build.content_key)
        .join(Build, Build.id == Upload.build_id)
        .where(
            Upload.status == 'uploading',
            sa.or_(
                Build.deleted_at.is_not(None),
                Build.status.in_(('error', 'cancelled')),
            ),
        )
        .order_by(Upload.created_at, Upload.id)
    )
    return [
        (_record(upload, owner), content_key)
        for upload, owner, content_key in session.execute(query)
    ]


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
        raise ValueError(f'update_upload does not change {refused}')
    conditions: list[sa.ColumnElement[bool]] = []
    if conductor is not None:
        conditions.append(Upload.conductor == conductor)
    if attempt is not None:
        conditions.append(Upload.attempt == attempt)
    if expected_status is not None:
        conditions.append(common.one_of(Upload.status, expected_status))
    return common.compare_and_swap(
        session,
        Upload,
        id,
        common.own_columns(Upload, values),
        *conditions,
        now=now,
    )


def claim(
    session: orm.Session, id: str, conductor: str, now: datetime.datetime
) -> records.Upload | None:
    taken = session.execute(
        sa.update(Upload)
        .where(Upload.id == id, Upload.status == 'queued')
        .values(
            status='uploading',
            conductor=conductor,
            attempt=Upload.attempt + 1,
            updated_at=now,
        )
        .execution_options(synchronize_session=False)
    )
    if not taken.rowcount and not _was_claimed(session, id, conductor, now):  # type: ignore[attr-defined]
        return None
    return get(session, id, project_id=None)


def _was_claimed(
    session: orm.Session, id: str, conductor: str, now: datetime.datetime
) -> bool:
    upload = session.get(Upload, id)
    return (
        common.is_retry(session)
        and upload is not None
        and (upload.conductor, upload.updated_at) == (conductor, now)
    )


def _visible(
    project_id: str | None,
) -> sa.Select[models.Upload, str]:
    query = (
        sa.select(Upload, Build.project_id)
        .join(Build, Build.id == Upload.build_id)
        .where(builds.LIVE)
        .execution_options(populate_existing=True)
    )
    if project_id is not None:
        query = query.where(Build.project_id == project_id)
    return query


def _record(upload: models.Upload, project_id: str) -> records.Upload:
    return common.record(records.Upload, upload, project_id=project_id)
