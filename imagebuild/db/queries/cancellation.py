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
"""Cancelling and deleting builds, as users ask for it.

As in :mod:`imagebuild.db.queries.lifecycle`, the project is locked first.
"""

from __future__ import annotations

import sqlalchemy as sa

from imagebuild import exception
from imagebuild.common import statuses
from imagebuild.db import records
from imagebuild.db.models import Image
from imagebuild.db.models import Job
from imagebuild.db.models import Upload
from imagebuild.db.queries import channel_use
from imagebuild.db.queries import deletion
from imagebuild.db.queries import history
from imagebuild.db.queries import images
from imagebuild.db.queries import jobs
from imagebuild.db.queries import lifecycle
from imagebuild.db.queries import rows
from imagebuild.db.queries import single_flight
from imagebuild.db.queries import uploading
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import writer


@writer
def request_cancel(session: Session, id: str) -> records.Build:
    """Cancel a build: what waits now, what runs by its conductor.

    :returns: the build afterwards: ``cancelled``; or running with
        ``cancel_requested``, for its conductor to see to; or, if it had
        ended before, unchanged.
    :raises NotFound: there is none.
    """
    build = rows.locked_build(session, id)
    if build.deleted_at is not None:
        raise exception.NotFound(what='build', id=id)
    if build.status == 'queued':
        lifecycle.end(session, build, records.Outcome('cancelled'))
        single_flight.hand_over(session, build)
    elif build.status in statuses.RUNNING and not build.cancel_requested:
        build.cancel_requested = True
        build.updated_at = session.now
        history.note_status(session, build, 'cancel requested')
        uploading.cancel_waiting(session, build)
    return rows.build_record(session, build)


@writer
def delete_upload(session: Session, id: str) -> None:
    """Cancel an upload, or remove it with the image that it made.

    One that a conductor has is cancelled by it; what waits ends now. One that
    has an image is ``deleting`` until that is gone; to delete it once more has
    it tried at once. Any other is not found any more.

    :raises NotFound: there is no such upload.
    :raises Conflict: it made the image of the build itself.
    """
    job = session.get(Job, id, populate_existing=True)
    row = session.get(Upload, id)
    if row is None:
        if session.is_retry:
            return
        raise exception.NotFound(what='upload', id=id)
    build = lifecycle.locked(session, row.build_id)
    row = session.get(Upload, id, populate_existing=True)
    if row is None or build is None:
        raise exception.NotFound(what='upload', id=id)
    if row.status == 'deleting':
        deletion.hasten(session, row)
        return
    if build.deleted_at is not None:
        raise exception.NotFound(what='upload', id=id)
    if job is not None and job.state not in jobs.ENDED:
        job.cancel_requested = True
        uploading.cancel_waiting(session, build, id)
        return
    made = sa.and_(
        Image.build_id == build.id,
        Image.destination == row.destination,
        Image.image_id == row.image_id,
    )
    own = session.scalar(sa.select(Image.id).where(made))
    if own is not None and own == build.image_row_id:
        raise exception.Conflict(
            what='Upload',
            id=id,
            status=row.status,
            reason='it made the image of the build; delete the build',
        )
    if job is not None:
        session.delete(job)
    if not images.retire(session, made):
        session.delete(row)


@writer
def delete_build(
    session: Session, id: str, *, when_unused: bool = False
) -> records.Image | None:
    """Delete a build.

    One that no conductor has is deleted now (not found any more). A
    running one becomes ``deleting`` with ``cancel_requested``, and is
    deleted when its conductors have ended what they do for it. Its
    followers go on with a new leader in both cases. Deleting twice is no
    error while it is ``deleting``.

    :param when_unused: one that a channel has is deleted when no channel has
        it any more.
    :returns: the image in this cloud that lost its last user, now
        ``deleting``. None if there is none.
    :raises NotFound: there is no such build.
    :raises Conflict: a channel has it, as the current one or the one before.
    """
    build = rows.locked_build(session, id)
    if build.deleted_at is not None:
        if session.did(build.deleted_at):
            return images.being_deleted(session, build.image_row_id)
        raise exception.NotFound(what='build', id=id)
    if build.status in statuses.IN_PROGRESS:
        # Only its conductor can stop what runs.
        build.status = 'deleting'
        build.cancel_requested = True
        build.updated_at = session.now
        history.note_status(session, build, 'deleting')
        single_flight.hand_over(session, build)
        uploading.cancel_waiting(session, build)
        return None
    if build.status == 'deleting':
        return None
    if not when_unused:
        channel_use.refuse_held(session, id)
    elif channel_use.holding(session, id):
        build.delete_when_unused = True
        build.updated_at = session.now
        return None
    return lifecycle.delete(session, build)
