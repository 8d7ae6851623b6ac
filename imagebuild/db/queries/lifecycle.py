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
"""The lifecycle of a build: finished, cancelled, deleted, requeued.

Each function locks the project first, then the build; so the followers, the
flight and the users of an image cannot change under it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from imagebuild import exception
from imagebuild import statuses
from imagebuild.db import records
from imagebuild.db import transaction
from imagebuild.db.models import Build
from imagebuild.db.queries import history
from imagebuild.db.queries import images
from imagebuild.db.queries import rows
from imagebuild.db.queries import single_flight


@dataclasses.dataclass(frozen=True)
class Ending:
    """What is known of the end of a build; see :func:`finish_build`."""

    status: str
    reason: str = ''
    fault: str | None = None
    image: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.status not in statuses.ENDED:
            raise ValueError(f'no build ends as {self.status}')
        if self.status == 'active' and self.image is None:
            raise ValueError('an active build has an image')

    @property
    def is_same_for_all(self) -> bool:
        """Whether the same content would end the same way again."""
        return self.status == 'active' or (
            self.status == 'error' and self.fault == 'user'
        )

    @property
    def message(self) -> str:
        return f'{self.status}: {self.reason}' if self.reason else self.status


@transaction.writer
def finish_build(
    session: transaction.Session,
    id: str,
    *,
    conductor: str,
    attempt: int,
    status: str,
    reason: str = '',
    fault: str | None = None,
    image: Mapping[str, Any] | None = None,
) -> records.Build | None:
    """End a running build, and give what came of it to its followers.

    ``active``: the followers get its image. ``error`` with fault
    ``user``: the same content would fail the same way, so they get the
    same error. Else the oldest follower is promoted: it is claimable,
    and the others follow it. Secrets are wiped.

    A build in status ``deleting`` is deleted, whatever ``status`` says;
    an image that it made all the same is left ``deleting`` for
    ``images_without_users``.

    :param status: ``active``, ``error`` or ``cancelled``.
    :param image: the image in this cloud, for ``active``: image_id,
        disk_format, container_format, size, os_hash_algo and
        os_hash_value; more by ``add_image``.
    :returns: the build as it is now (``deleted_at`` is set if it was to
        be deleted); None when this conductor and attempt do not have it
        any more: nothing was done.
    :raises ValueError: no build ends like that.
    """
    ending = Ending(status, reason, fault, image)
    build = _locked(session, id)
    if build is None:
        return None
    if not _has(build, conductor, attempt):
        mine = (build.conductor, build.attempt) == (conductor, attempt)
        if mine and session.did(build.finished_at):
            return rows.build_record(session, build)
        return None
    if build.status == 'deleting':
        _finish_deleted(session, build, ending)
    else:
        _finish(session, build, ending)
    return rows.build_record(session, build)


def _finish(
    session: transaction.Session, build: Build, ending: Ending
) -> None:
    if ending.status == 'active' and ending.image is not None:
        image = images.insert(session, build, ending.image)
        session.flush()
        build.image_row_id = image.id
        build.size = image.size
        build.os_hash_algo = image.os_hash_algo
        build.os_hash_value = image.os_hash_value
    _end(session, build, ending)
    if ending.is_same_for_all:
        for follower in single_flight.followers(session, build):
            _share(session, build, follower, ending)
        single_flight.end(session, build)
    else:
        single_flight.hand_over(session, build)


def _share(
    session: transaction.Session,
    build: Build,
    follower: Build,
    ending: Ending,
) -> None:
    for name in (
        'image_row_id',
        'size',
        'os_hash_algo',
        'os_hash_value',
        'progress_done',
        'progress_total',
        'progress_step',
        'phases',
    ):
        setattr(follower, name, getattr(build, name))
    if ending.status == 'active':
        follower.reused_from = build.id
    _end(session, follower, ending)


def _end(session: transaction.Session, build: Build, ending: Ending) -> None:
    build.status = ending.status
    build.status_reason = ending.reason
    build.fault = ending.fault if ending.status == 'error' else None
    build.leader_id = None
    build.secrets = None
    build.finished_at = session.now
    build.updated_at = session.now
    history.note_status(session, build, ending.message)


def _finish_deleted(
    session: transaction.Session, build: Build, ending: Ending
) -> None:
    if ending.image is not None:
        images.insert(session, build, {**ending.image, 'status': 'deleting'})
    build.finished_at = session.now
    _delete(session, build)


@transaction.writer
def request_cancel(session: transaction.Session, id: str) -> records.Build:
    """Cancel a build: a queued one now, a running one by its conductor.

    :returns: the build afterwards: ``cancelled``; or running with
        ``cancel_requested``, for its conductor to see to; or, if it had
        ended before, unchanged.
    :raises NotFound: there is none.
    """
    build = rows.locked_build(session, id)
    if build.deleted_at is not None:
        raise exception.NotFound(what='build', id=id)
    if build.status == 'queued':
        _end(session, build, Ending('cancelled'))
        single_flight.hand_over(session, build)
    elif build.status in statuses.RUNNING and not build.cancel_requested:
        build.cancel_requested = True
        build.updated_at = session.now
        history.note_status(session, build, 'to be cancelled')
    return rows.build_record(session, build)


@transaction.writer
def delete_build(
    session: transaction.Session, id: str
) -> records.Image | None:
    """Delete a build.

    One that no conductor has is deleted now (not found any more). A
    running one becomes ``deleting`` with ``cancel_requested``, and its
    conductor's :func:`finish_build` deletes it. Its followers go on with
    a new leader in both cases. Deleting twice is no error while it is
    ``deleting``.

    :returns: the image in this cloud that lost its last user, now
        ``deleting``: a conductor has to delete it in Glance, and to call
        ``image_deleted`` then. None if there is none.
    :raises NotFound: there is no such build.
    """
    build = rows.locked_build(session, id)
    if build.deleted_at is not None:
        if session.did(build.deleted_at):
            return images.being_deleted(session, build.image_row_id)
        raise exception.NotFound(what='build', id=id)
    if build.status in ('building', 'uploading'):
        build.status = 'deleting'
        build.cancel_requested = True
        build.updated_at = session.now
        history.note_status(session, build, 'deleting')
        single_flight.hand_over(session, build)
        return None
    if build.status == 'deleting':
        return None
    return _delete(session, build)


def _delete(
    session: transaction.Session, build: Build
) -> records.Image | None:
    if build.status == 'queued':
        build.status = 'cancelled'
        build.finished_at = session.now
    build.leader_id = None
    build.secrets = None
    build.updated_at = session.now
    build.deleted_at = session.now
    # Nobody asks for it any more, and it may be most of what is kept.
    build.request = {}
    build.request_size = 0
    single_flight.hand_over(session, build)
    session.flush()
    images.retire_further(session, build)
    if build.image_row_id is None:
        return None
    return images.retire_unused(session, build.image_row_id)


@transaction.writer
def requeue_build(
    session: transaction.Session,
    id: str,
    *,
    conductor: str,
    attempt: int,
    reason: str,
    counts: bool = True,
) -> bool:
    """Put a running build back into the queue.

    By its conductor when it drains, by any other when that one is dead.
    A build to be cancelled or deleted becomes just that instead.

    :param reason: a sentence for the build's events and status_reason.
    :param counts: whether the attempt is held against the build.
    :returns: False when that conductor and attempt have it no more.
    """
    build = _locked(session, id)
    if build is None:
        return False
    if not _has(build, conductor, attempt):
        return build.attempt == attempt and session.did(build.updated_at)
    if build.status == 'deleting':
        build.finished_at = session.now
        _delete(session, build)
    elif build.cancel_requested:
        _end(session, build, Ending('cancelled', reason))
        single_flight.hand_over(session, build)
    else:
        if not counts:
            build.requeues += 1
        _requeue(session, build, reason)
    return True


def _requeue(session: transaction.Session, build: Build, reason: str) -> None:
    build.status = 'queued'
    build.status_reason = reason
    build.conductor = None
    build.claimed_at = None
    build.progress_done = 0
    build.progress_total = 0
    build.progress_step = ''
    build.phases = None
    build.updated_at = session.now
    history.note_status(session, build, f'queued again: {reason}')


def _locked(session: transaction.Session, id: str) -> Build | None:
    try:
        return rows.locked_build(session, id)
    except exception.NotFound:
        return None


def _has(build: Build, conductor: str, attempt: int) -> bool:
    return (
        build.deleted_at is None
        and build.status in statuses.RUNNING
        and build.conductor == conductor
        and build.attempt == attempt
    )
