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
"""Uploads: images on their way to a destination."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from imagebuild import exception
from imagebuild.common import statuses
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Upload
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

_NOT_BY_UPDATE = {'id', 'build_id', 'project_id', 'created_at', 'updated_at'}
_MOST_ADOPTED = 100


@reader
def get_upload(
    session: Session, id: str, *, project_id: str | None = None
) -> records.Upload:
    """Look an upload up.

    :raises NotFound: there is none (of that project), or its build was
        deleted, and its image is gone.
    """
    found = session.execute(_visible(project_id).where(Upload.id == id))
    for upload, owner in found:
        return _record(upload, owner)
    raise exception.NotFound(what='upload', id=id)


@reader
def list_uploads(
    session: Session,
    *,
    project_id: str | None = None,
    build_id: str | None = None,
    status: str | Collection[str] | None = None,
    conductor: str | None = None,
    limit: int | None = None,
    marker: str | None = None,
) -> list[records.Upload]:
    """List uploads, oldest first.

    Those of deleted builds are left out, unless their image is not gone yet.

    :param project_id: only this project's; None for all, as in the others.
    :param status: one, or any of several.
    :param limit: at most so many.
    :param marker: id of the last upload of the page before.
    :raises NotFound: there is no upload of the marker's id.
    """
    query = _visible(None).order_by(Upload.created_at, Upload.id)
    if project_id is not None:
        query = query.where(Upload.project_id == project_id)
    if build_id is not None:
        query = query.where(Upload.build_id == build_id)
    if status is not None:
        query = query.where(rows.one_of(Upload.status, status))
    if conductor is not None:
        query = query.where(Upload.conductor == conductor)
    if marker is not None:
        # By values, not by OFFSET: uploads that are added or removed between
        # two pages make nobody miss one.
        last = get_upload(session, marker, project_id=project_id)
        query = query.where(
            sa.or_(
                Upload.created_at > last.created_at,
                sa.and_(
                    Upload.created_at == last.created_at, Upload.id > last.id
                ),
            )
        )
    found = session.execute(query.limit(limit))
    return [_record(upload, owner) for upload, owner in found]


@reader
def abandoned_uploads(session: Session) -> list[tuple[records.Upload, str]]:
    """List uploads whose builds ended without them, deleted ones too.

    What they have put into a store is to be removed, and the upload
    given another status.

    :returns: oldest first, each with its build's content key.
    """
    query = (
        sa.select(Upload, Build.project_id, Build.content_key)
        .join(Build, Build.id == Upload.build_id)
        .where(
            Upload.status == 'uploading',
            sa.or_(
                Build.deleted_at.is_not(None),
                Build.status.in_(statuses.WITHOUT_IMAGE),
            ),
        )
        .order_by(Upload.created_at, Upload.id)
    )
    return [
        (_record(upload, owner), content_key)
        for upload, owner, content_key in session.execute(query)
    ]


@writer
def update_upload(
    session: Session,
    id: str,
    values: Mapping[str, Any],
    *,
    conductor: str | None = None,
    attempt: int | None = None,
    expected_status: str | Collection[str] | None = None,
) -> bool:
    """Change an upload if it is as expected; as ``update_build``.

    :raises ValueError: there is no such column, or it is not to be
        changed this way.
    """
    rows.check_changeable(Upload, values, _NOT_BY_UPDATE)
    expected = rows.Expected(conductor, attempt, expected_status)
    conditions = expected.conditions(Upload)
    return rows.update(session, Upload, id, values, *conditions)


@writer
def adopt_uploads(session: Session) -> int:
    """Write down whose uploads those are that the release before has made.

    It knows no such column, and may still run somewhere.

    :returns: how many were changed; at most 100 in one call.
    """
    found = session.execute(
        sa.select(Upload, Build.project_id)
        .join(Build, Build.id == Upload.build_id)
        .where(Upload.project_id.is_(None))
        .limit(_MOST_ADOPTED)
    ).all()
    for upload, owner in found:
        upload.project_id = owner
    return len(found)


def _visible(project_id: str | None) -> sa.Select[Upload, str]:
    query = (
        sa.select(Upload, Build.project_id)
        .join(Build, Build.id == Upload.build_id)
        .where(sa.or_(rows.LIVE, Upload.status == 'deleting'))
        # A claim changes the row without the session, which may hold it.
        .execution_options(populate_existing=True)
    )
    if project_id is not None:
        query = query.where(Build.project_id == project_id)
    return query


def _record(upload: Upload, project_id: str) -> records.Upload:
    return rows.record(records.Upload, upload, project_id=project_id)
