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

from imagebuild import exception
from imagebuild.common import statuses
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.queries import history
from imagebuild.db.queries import images
from imagebuild.db.queries import jobs
from imagebuild.db.queries import rows
from imagebuild.db.queries import single_flight
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import writer

#: What a job is when its build has ended so.
_STATES = {'active': 'done', 'error': 'error', 'cancelled': 'cancelled'}


@writer
def finish_build(
    session: Session,
    id: str,
    outcome: records.Outcome,
    *,
    conductor: str,
    attempt: int,
) -> records.Build | None:
    """End a running build, and give what came of it to its followers.

    ``active``: the followers get its image. ``error`` with fault
    ``user``: the same content would fail the same way, so they get the
    same error. Else the oldest follower is promoted: it is claimable,
    and the others follow it. Secrets are wiped.

    A build in status ``deleting`` is deleted, whatever its outcome;
    an image that it made all the same is left ``deleting`` for
    ``images_without_users``.

    :returns: the build as it is now (``deleted_at`` is set if it was to
        be deleted); None when this conductor and attempt do not have it
        any more: nothing was done.
    """
    build = _locked(session, id)
    if build is None:
        return None
    if not _has(build, conductor, attempt):
        mine = (build.conductor, build.attempt) == (conductor, attempt)
        if mine and session.did(build.finished_at):
            return rows.build_record(session, build)
        return None
    if build.status == 'deleting':
        _finish_deleted(session, build, outcome)
    else:
        _finish(session, build, outcome)
    return rows.build_record(session, build)


def _finish(session: Session, build: Build, outcome: records.Outcome) -> None:
    if outcome.status == 'active' and outcome.image is not None:
        image = images.insert(session, build, outcome.image)
        # The image first: a foreign key points to it.
        session.flush()
        build.image_row_id = image.id
        build.size = image.size
        build.os_hash_algo = image.os_hash_algo
        build.os_hash_value = image.os_hash_value
    _end(session, build, outcome)
    if outcome.is_same_for_all:
        for follower in single_flight.followers(session, build):
            _share(session, build, follower, outcome)
        single_flight.end(session, build)
    else:
        single_flight.hand_over(session, build)


def _share(
    session: Session, build: Build, follower: Build, outcome: records.Outcome
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
    if outcome.status == 'active':
        follower.reused_from = build.id
    _end(session, follower, outcome)


def _end(session: Session, build: Build, outcome: records.Outcome) -> None:
    jobs.end(session, build.id, _STATES[outcome.status])
    build.status = outcome.status
    build.status_reason = outcome.reason
    build.fault = outcome.fault if outcome.status == 'error' else None
    build.leader_id = None
    build.secrets = None
    build.finished_at = session.now
    build.updated_at = session.now
    history.note_status(session, build, outcome.message)


def _finish_deleted(
    session: Session, build: Build, outcome: records.Outcome
) -> None:
    if outcome.image is not None:
        images.insert(session, build, {**outcome.image, 'status': 'deleting'})
    build.finished_at = session.now
    _delete(session, build)


@writer
def request_cancel(session: Session, id: str) -> records.Build:
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
        _end(session, build, records.Outcome('cancelled'))
        single_flight.hand_over(session, build)
    elif build.status in statuses.RUNNING and not build.cancel_requested:
        build.cancel_requested = True
        build.updated_at = session.now
        history.note_status(session, build, 'cancel requested')
    return rows.build_record(session, build)


@writer
def end_queued(session: Session, id: str, reason: str) -> records.Build | None:
    """End a build that nobody can build with an error of the service.

    The oldest follower is promoted, as in :func:`finish_build`.

    :param reason: a sentence for users.
    :returns: None when it is not queued any more, or follows another:
        nothing was done.
    """
    build = _locked(session, id)
    if (
        build is None
        or build.deleted_at is not None
        or build.status != 'queued'
        or build.leader_id is not None
    ):
        return None
    _end(
        session,
        build,
        records.Outcome('error', reason=reason, fault='service'),
    )
    single_flight.hand_over(session, build)
    return rows.build_record(session, build)


@writer
def delete_build(session: Session, id: str) -> records.Image | None:
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
    if build.status in statuses.IN_PROGRESS:
        # Only its conductor can stop what runs.
        build.status = 'deleting'
        build.cancel_requested = True
        build.updated_at = session.now
        history.note_status(session, build, 'deleting')
        single_flight.hand_over(session, build)
        return None
    if build.status == 'deleting':
        return None
    return _delete(session, build)


def _delete(session: Session, build: Build) -> records.Image | None:
    jobs.end(session, build.id, 'cancelled')
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
    # The queries below must no longer count this build as a user.
    session.flush()
    images.retire_further(session, build)
    if build.image_row_id is None:
        return None
    return images.retire_unused(session, build.image_row_id)


@writer
def requeue_build(
    session: Session,
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
    :returns: False when that conductor and attempt no longer have it.
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
        _end(session, build, records.Outcome('cancelled', reason))
        single_flight.hand_over(session, build)
    else:
        if not counts:
            build.requeues += 1
        jobs.put_back(session, build.id, counts=counts)
        _requeue(session, build, reason)
    return True


def _requeue(session: Session, build: Build, reason: str) -> None:
    build.status = 'queued'
    build.status_reason = reason
    build.conductor = None
    build.claimed_at = None
    build.progress_done = 0
    build.progress_total = 0
    build.progress_step = ''
    build.phases = None
    build.updated_at = session.now
    history.note_status(session, build, f'requeued: {reason}')


def _locked(session: Session, id: str) -> Build | None:
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
