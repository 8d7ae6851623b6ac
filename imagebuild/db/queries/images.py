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

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from imagebuild import exception
from imagebuild.common import statuses
from imagebuild.db import records
from imagebuild.db import transaction
from imagebuild.db.models import Build
from imagebuild.db.models import Image
from imagebuild.db.models import Job
from imagebuild.db.models import Upload
from imagebuild.db.queries import contents
from imagebuild.db.queries import jobs
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

_MOST_ADOPTED = 100

#: What makes a build a user of an image: it is the build's, or will be when
#: the build has ended, which other uploads of it may delay.
_USES = sa.and_(
    rows.LIVE,
    sa.or_(
        Build.image_row_id == Image.id,
        sa.and_(
            Build.id == Image.build_id,
            Build.status.in_(statuses.UNFINISHED),
        ),
    ),
)


def reusable(
    session: Session, project_id: str, content_key: str, max_age: int | None
) -> Image | None:
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
    if max_age is not None:
        query = query.where(Image.created_at >= session.ago(max_age))
    return session.scalar(query)


@reader
def find_image(
    session: Session,
    project_id: str,
    content_key: str,
    max_age: int | None = None,
) -> records.Image | None:
    """Find the newest active image of this content in this cloud.

    :param max_age: seconds; None for any age.
    """
    image = reusable(session, project_id, content_key, max_age)
    return None if image is None else rows.record(records.Image, image)


@reader
def get_image(session: Session, image_row_id: str) -> records.Image:
    """Look an image up by the id of its row, whatever its status.

    :raises NotFound: there is none.
    """
    image = session.get(Image, image_row_id)
    if image is None:
        raise exception.NotFound(what='image', id=image_row_id)
    return rows.record(records.Image, image)


def insert(
    session: Session,
    build: Build,
    values: Mapping[str, Any],
    *,
    wanted: bool = True,
) -> Image:
    """Add the row of an image that a build made.

    :param values: columns that differ from the build's, or are not there.
    :param wanted: whether it stays; else it is to be deleted.
    """
    image = Image(
        **{
            'id': transaction.new_id(),
            'project_id': build.project_id,
            'content_key': build.content_key,
            'build_id': build.id,
            'created_at': session.now,
            **rows.own_columns(Image, values),
        }
    )
    session.add(image)
    if not wanted:
        delete_later(session, image)
    return image


@writer
def image_deleted(session: Session, image_row_id: str) -> None:
    """Note that an image was deleted in Glance; it is not reused again."""
    session.execute(
        sa.update(Image)
        .where(Image.id == image_row_id, Image.status != 'deleted')
        .values(status='deleted', deleted_at=session.now)
    )
    makers = sa.select(Image.build_id).where(Image.id == image_row_id)
    contents.remove_unused(session, list(session.scalars(makers)))


def delete_later(session: Session, image: Image) -> None:
    """Have a conductor delete an image; nothing else makes it ``deleting``.

    Its upload says so until the image is gone.
    """
    image.status = 'deleting'
    session.flush()
    session.change(
        sa.update(Upload)
        .where(made_by(image), Upload.status == 'active')
        .values(status='deleting', status_reason='', updated_at=session.now)
    )
    jobs.enqueue_deletion(session, image)


def made_by(image: Image) -> sa.ColumnElement[bool]:
    """The condition that an upload made an image."""
    return sa.and_(
        Upload.build_id == image.build_id,
        Upload.destination == image.destination,
        Upload.image_id == image.image_id,
    )


def retire(session: Session, images: sa.ColumnElement[bool]) -> int:
    """Have conductors delete images that are active.

    :param images: the condition that says which.
    :returns: how many.
    """
    query = (
        sa.select(Image)
        .where(images, Image.status == 'active')
        .order_by(Image.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    found = session.scalars(query).all()
    for image in found:
        delete_later(session, image)
    return len(found)


def retire_unused(session: Session, image_row_id: str) -> records.Image | None:
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
    delete_later(session, image)
    retire(session, Image.build_id == image.build_id)
    return rows.record(records.Image, image)


def retire_further(session: Session, build: Build) -> None:
    """Mark what a build that has no image in this cloud left elsewhere."""
    if build.image_row_id is None:
        retire_made(session, build)


def retire_made(session: Session, build: Build) -> None:
    """Mark the images that a build made, unless another build uses them.

    The project is locked.
    """
    others = sa.and_(_USES, Build.id != build.id)
    query = sa.select(Image).where(
        Image.build_id == build.id, sa.exists().where(others)
    )
    if session.scalar(query.limit(1)) is None:
        retire(session, Image.build_id == build.id)


@reader
def images_only_used_by(
    session: Session, build_id: str
) -> list[records.Image]:
    """The images, wherever they are, that would be deleted with a build.

    :returns: none when another build uses them as well.
    :raises NotFound: there is no such build.
    """
    build = rows.live_build(session, build_id)
    image = build.image_row_id and session.get(Image, build.image_row_id)
    if not image or image.status != 'active':
        return []
    # The images elsewhere are used by whoever uses the one in this cloud.
    others = sa.select(Build.id).where(
        Build.image_row_id == image.id, Build.id != build_id, rows.LIVE
    )
    if session.scalar(others.limit(1)) is not None:
        return []
    query = sa.select(Image).where(
        Image.build_id == image.build_id, Image.status == 'active'
    )
    return [
        rows.record(records.Image, each)
        for each in session.scalars(query.order_by(Image.destination))
    ]


@reader
def users_of_image(session: Session, build_id: str) -> list[records.Build]:
    """The builds that share a build's image, the oldest first.

    :returns: the build itself among them.
    :raises NotFound: there is no such build.
    """
    build = rows.live_build(session, build_id)
    if build.image_row_id is None:
        return [rows.build_record(session, build)]
    query = (
        sa.select(Build)
        .where(Build.image_row_id == build.image_row_id, rows.LIVE)
        .order_by(Build.created_at, Build.id)
    )
    return rows.build_records(session, session.scalars(query))


def being_deleted(
    session: Session, image_row_id: str | None
) -> records.Image | None:
    """The image of a row if it is ``deleting``."""
    image = session.get(Image, image_row_id) if image_row_id else None
    if image is None or image.status != 'deleting':
        return None
    return rows.record(records.Image, image)


@writer
def retire_unused_images(session: Session, *, thorough: bool = False) -> int:
    """Have the images deleted that no live build uses.

    And those that a conductor of the release before has marked, which knew no
    jobs for that: at most 100 of them in one call.

    :param thorough: look at all images, which takes the longer the more there
        are. Whoever takes its last user from an image marks it in the same
        transaction, so that is for what other releases have left.
    :returns: how many there were.
    """
    number = 0
    for id, project_id in _unused(session) if thorough else ():
        rows.lock_project(session, project_id)
        number += retire_unused(session, id) is not None
    without_job = (
        sa.select(Image)
        .where(
            Image.status == 'deleting', ~sa.exists().where(Job.id == Image.id)
        )
        .order_by(Image.project_id, Image.id)
        .limit(_MOST_ADOPTED)
    )
    for image in session.scalars(without_job).all():
        delete_later(session, image)
        number += 1
    return number


def _unused(session: Session) -> list[tuple[str, str]]:
    """Active images without a user: their ids and projects."""
    # Each condition by itself has an index. Of an OR of both MariaDB reads
    # all builds for each image.
    used = sa.exists().where(rows.LIVE, Build.image_row_id == Image.id)
    to_be_used = sa.exists().where(
        rows.LIVE,
        Build.id == Image.build_id,
        Build.status.in_(statuses.UNFINISHED),
    )
    query = (
        sa.select(Image.id, Image.project_id)
        .where(
            Image.status == 'active',
            Image.destination == '',
            ~used,
            ~to_be_used,
        )
        # Locks in one order, whoever takes them.
        .order_by(Image.project_id, Image.id)
    )
    return [(id, project_id) for id, project_id in session.execute(query)]


@reader
def stored_bytes(session: Session, project_id: str) -> int:
    """Bytes of the images of a project that are not deleted yet."""
    total = sa.select(sa.func.sum(Image.size)).where(
        Image.project_id == project_id, Image.status != 'deleted'
    )
    return int(session.scalar(total) or 0)


def _is_used(session: Session, image: Image) -> bool:
    query = sa.select(Image.id).where(
        Image.id == image.id, sa.exists().where(_USES)
    )
    return session.scalar(query) is not None
