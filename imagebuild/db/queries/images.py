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
"""Images that builds made, and who uses them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from imagebuild import exception
from imagebuild.db import models
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Image
from imagebuild.db.queries import builds
from imagebuild.db.queries import common


def reusable(
    session: orm.Session,
    project_id: str,
    content_key: str,
    *,
    since: datetime.datetime | None,
) -> models.Image | None:
    """The newest active image of that content in this cloud."""
    query = (
        sa.select(Image)
        .where(
            Image.project_id == project_id,
            Image.content_key == content_key,
            Image.destination == '',
            Image.status == 'active',
        )
        .order_by(Image.created_at.desc(), Image.id)
        .limit(1)
    )
    if since is not None:
        query = query.where(Image.created_at >= since)
    return session.scalar(query)


def find(
    session: orm.Session,
    project_id: str,
    content_key: str,
    *,
    since: datetime.datetime | None,
) -> records.Image | None:
    image = reusable(session, project_id, content_key, since=since)
    return None if image is None else common.record(records.Image, image)


def get(session: orm.Session, image_row_id: str) -> records.Image:
    image = session.get(Image, image_row_id)
    if image is None:
        raise exception.NotFound(what='image', id=image_row_id)
    return common.record(records.Image, image)


def insert(
    session: orm.Session,
    build: models.Build,
    values: Mapping[str, Any],
    now: datetime.datetime,
) -> models.Image:
    image = Image(
        **{
            'project_id': build.project_id,
            'content_key': build.content_key,
            'build_id': build.id,
            'created_at': now,
            **common.own_columns(Image, values),
        }
    )
    session.add(image)
    return image


def add(
    session: orm.Session,
    build_id: str,
    values: Mapping[str, Any],
    now: datetime.datetime,
) -> records.Image:
    build = builds.locked_row(session, build_id)
    if build.deleted_at is not None:
        raise exception.NotFound(what='build', id=build_id)
    # Those who reuse an image have it everywhere it is.
    maker = build.reused_from or build.id
    for image in session.scalars(
        sa.select(Image).where(
            Image.build_id == maker,
            Image.destination == values.get('destination', ''),
            Image.image_id == values['image_id'],
        )
    ):
        return common.record(records.Image, image)
    image = insert(session, build, {**values, 'build_id': maker}, now)
    session.flush()
    return common.record(records.Image, image)


def mark_deleted(
    session: orm.Session, image_row_id: str, now: datetime.datetime
) -> None:
    session.execute(
        sa.update(Image)
        .where(Image.id == image_row_id, Image.status != 'deleted')
        .values(status='deleted', deleted_at=now)
    )


def retire_unused(
    session: orm.Session, image_row_id: str
) -> records.Image | None:
    """Mark an image ``deleting`` if no live build uses it.

    The images of the same build at further destinations go with it. The
    project is locked.

    :returns: the image if it was marked.
    """
    image = session.get(
        Image, image_row_id, populate_existing=True, with_for_update=True
    )
    if image is None or image.status != 'active' or _is_used(session, image):
        return None
    image.status = 'deleting'
    session.execute(
        sa.update(Image)
        .where(Image.build_id == image.build_id, Image.status == 'active')
        .values(status='deleting')
        .execution_options(synchronize_session=False)
    )
    session.flush()
    return common.record(records.Image, image)


def retire_further(session: orm.Session, build: models.Build) -> None:
    """Mark what a build that has no image in this cloud left elsewhere."""
    if build.image_row_id is None:
        session.execute(
            sa.update(Image)
            .where(Image.build_id == build.id, Image.status == 'active')
            .values(status='deleting')
            .execution_options(synchronize_session=False)
        )


def only_used_by(session: orm.Session, build_id: str) -> list[records.Image]:
    build = builds.live_row(session, build_id)
    image = build.image_row_id and session.get(Image, build.image_row_id)
    if not image or image.status != 'active':
        return []
    others = sa.select(Build.id).where(
        Build.image_row_id == image.id, Build.id != build_id, builds.LIVE
    )
    if session.scalar(others.limit(1)) is not None:
        return []
    query = sa.select(Image).where(
        Image.build_id == image.build_id, Image.status == 'active'
    )
    return [
        common.record(records.Image, each)
        for each in session.scalars(query.order_by(Image.destination))
    ]


def users(session: orm.Session, build_id: str) -> list[records.Build]:
    build = builds.live_row(session, build_id)
    if build.image_row_id is None:
        return [builds.as_record(session, build)]
    query = (
        sa.select(Build)
        .where(Build.image_row_id == build.image_row_id, builds.LIVE)
        .order_by(Build.created_at, Build.id)
    )
    return [builds.as_record(session, each) for each in session.scalars(query)]


def being_deleted(
    session: orm.Session, image_row_id: str | None
) -> records.Image | None:
    image = session.get(Image, image_row_id) if image_row_id else None
    if image is None or image.status != 'deleting':
        return None
    return common.record(records.Image, image)


def take_unused(session: orm.Session) -> list[records.Image]:
    unused = (
        sa.select(Image.id, Image.project_id)
        .where(
            Image.status == 'active',
            Image.destination == '',
            ~sa.exists().where(Build.image_row_id == Image.id, builds.LIVE),
        )
        # Locks in one order, whoever takes them.
        .order_by(Image.project_id, Image.id)
    )
    for id, project_id in session.execute(unused).all():
        common.lock_project(session, project_id)
        retire_unused(session, id)
    query = (
        sa.select(Image)
        .where(Image.status == 'deleting')
        .order_by(Image.created_at)
    )
    return [
        common.record(records.Image, image) for image in session.scalars(query)
    ]


def stored_bytes(session: orm.Session, project_id: str) -> int:
    total = sa.select(sa.func.sum(Image.size)).where(
        Image.project_id == project_id, Image.status != 'deleted'
    )
    return int(session.scalar(total) or 0)


def _is_used(session: orm.Session, image: models.Image) -> bool:
    users = sa.select(Build.id).where(
        Build.image_row_id == image.id, builds.LIVE
    )
    return session.scalar(users.limit(1)) is not None
