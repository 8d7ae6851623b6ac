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
"""Images that are to be deleted, as jobs.

An image becomes ``deleting`` in :func:`imagebuild.db.queries.images
.delete_later`, with a job of its id; it is ``deleted`` when a conductor has
seen that the store has it no more. In between is no limit of attempts.
"""

from __future__ import annotations

import sqlalchemy as sa

from imagebuild.db import records
from imagebuild.db.models import Image
from imagebuild.db.models import Job
from imagebuild.db.models import Upload
from imagebuild.db.queries import contents
from imagebuild.db.queries import images
from imagebuild.db.queries import jobs
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

_AT_ONCE = 100


@reader
def deleting_images(
    session: Session, *, limit: int = 1000
) -> list[records.Image]:
    """The images that are to be deleted, those that were made first."""
    query = (
        sa.select(Image)
        .where(Image.status == 'deleting')
        .order_by(Image.created_at, Image.id)
        .limit(limit)
    )
    return [
        rows.record(records.Image, image) for image in session.scalars(query)
    ]


@reader
def count_deleting_images(session: Session) -> dict[str, int]:
    """How many images are to be deleted, by destination."""
    query = (
        sa.select(Image.destination, sa.func.count())
        .where(Image.status == 'deleting')
        .group_by(Image.destination)
    )
    return {name: int(number) for name, number in session.execute(query)}


@writer
def finish_deletion(
    session: Session, id: str, *, conductor: str, attempt: int
) -> bool:
    """Note that the store has an image no more, and forget its upload.

    :param id: of the image's row, and of the job.
    :returns: False when this conductor and attempt do not have the job any
        more: nothing was done.
    """
    job = _held(session, id, conductor, attempt)
    if job is None:
        return session.is_retry and _is_deleted(session, id)
    image = session.get(
        Image, id, populate_existing=True, with_for_update=True
    )
    if image is not None:
        image.status, image.status_reason = 'deleted', None
        image.deleted_at = session.now
        of_image = sa.and_(images.made_by(image), Upload.status == 'deleting')
        for upload in session.scalars(sa.select(Upload).where(of_image)):
            session.change(sa.delete(Job).where(Job.id == upload.id))
            session.delete(upload)
        session.flush()
        contents.remove_unused(session, [image.build_id])
    session.delete(job)
    return True


@writer
def requeue_deletion(
    session: Session,
    id: str,
    *,
    conductor: str,
    attempt: int,
    reason: str | None = None,
    counts: bool = True,
    delay: float = 0,
) -> bool:
    """Put a deletion back into the queue.

    By its conductor, or by any other when that one is dead.

    :param reason: why the image is still there, for those who look at it;
        None leaves what is said.
    :param counts: whether the pause before the next attempt grows.
    :param delay: seconds that it waits.
    :returns: False when that conductor and attempt no longer have it.
    """
    job = _held(session, id, conductor, attempt)
    if job is None:
        found = session.get(Job, id)
        return (
            found is not None
            and found.attempt == attempt
            and session.did(found.updated_at)
        )
    jobs.put_back(session, id, counts=counts, delay=delay)
    image = session.get(Image, id, populate_existing=True)
    if image is not None and reason is not None:
        _say(session, image, reason)
    return True


def hasten(session: Session, upload: Upload) -> None:
    """Have the image of an upload tried at once."""
    query = sa.select(Image.id).where(
        Image.build_id == upload.build_id,
        Image.destination == upload.destination,
        Image.image_id == upload.image_id,
        Image.status == 'deleting',
    )
    session.change(
        sa.update(Job)
        .where(
            Job.id.in_(session.scalars(query).all()), Job.state == 'waiting'
        )
        .values(state='queued', not_before=None, updated_at=session.now)
    )


@writer
def note_deletions(
    session: Session, lane: str, reason: str, *, replace: bool = True
) -> int:
    """Say of what is queued in a lane why it is not deleted.

    :param replace: also where something else is said.
    :returns: of how many images that was not said yet; at most 100 in one
        call.
    """
    said = sa.func.coalesce(Image.status_reason, '')
    query = (
        sa.select(Image)
        .join(Job, Job.id == Image.id)
        .where(
            Job.lane_id == lane,
            Job.state == 'queued',
            said != reason if replace else said == '',
        )
        .limit(_AT_ONCE)
    )
    found = session.scalars(query).all()
    for image in found:
        _say(session, image, reason)
    return len(found)


def _say(session: Session, image: Image, reason: str) -> None:
    image.status_reason = reason
    session.change(
        sa.update(Upload)
        .where(images.made_by(image), Upload.status == 'deleting')
        .values(status_reason=reason, updated_at=session.now)
    )


def _held(
    session: Session, id: str, conductor: str, attempt: int
) -> Job | None:
    """The job of a deletion, locked, if that conductor and attempt has it."""
    job = session.get(Job, id)
    if job is None:
        return None
    rows.lock_project(session, job.project_id)
    job = session.get(Job, id, populate_existing=True, with_for_update=True)
    if job is None or job.state != 'running':
        return None
    mine = (job.conductor, job.attempt) == (conductor, attempt)
    return job if mine else None


def _is_deleted(session: Session, id: str) -> bool:
    image = session.get(Image, id)
    return image is None or image.status == 'deleted'
