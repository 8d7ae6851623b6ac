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
"""The lifecycle of a build: finished, deleted, requeued.

Each function locks the project first, then the build; so the followers, the
flight and the users of an image cannot change under it.
"""

from __future__ import annotations

from imagebuild import exception
from imagebuild.common import statuses
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Image
from imagebuild.db.queries import contents
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
    an image that it made all the same is deleted.

    :returns: the build as it is now (``deleted_at`` is set if it was to
        be deleted); None when this conductor and attempt do not have it
        any more: nothing was done.
    """
    build = locked(session, id)
    if build is None:
        return None
    if not has(build, conductor, attempt):
        mine = (build.conductor, build.attempt) == (conductor, attempt)
        if mine and session.did(build.finished_at):
            return rows.build_record(session, build)
        return None
    if build.status == 'deleting':
        _finish_deleted(session, build, outcome)
    else:
        _finish(session, build, outcome)
    return rows.build_record(session, build)


def end_uploaded(
    session: Session,
    build: Build,
    outcome: records.Outcome,
    image: Image | None = None,
) -> None:
    """End a build whose uploads have ended; as :func:`finish_build`.

    :param image: its image, for ``active``.
    """
    if build.status == 'deleting' or outcome.status == 'cancelled':
        images.retire_made(session, build)
    if build.status == 'deleting':
        build.finished_at = session.now
        delete(session, build)
    else:
        _finish(session, build, outcome, image)


def _finish(
    session: Session,
    build: Build,
    outcome: records.Outcome,
    image: Image | None = None,
) -> None:
    if image is None and outcome.image is not None:
        image = images.insert(session, build, outcome.image)
        # The image first: a foreign key points to it.
        session.flush()
    if image is not None:
        build.image_row_id = image.id
        build.size = image.size
        build.os_hash_algo = image.os_hash_algo
        build.os_hash_value = image.os_hash_value
    end(session, build, outcome)
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
        'boot_test',
    ):
        setattr(follower, name, getattr(build, name))
    if outcome.status == 'active':
        follower.reused_from = build.id
    end(session, follower, outcome)


def end(session: Session, build: Build, outcome: records.Outcome) -> None:
    """End a build; its followers are the caller's business."""
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
        images.insert(session, build, outcome.image, wanted=False)
    build.finished_at = session.now
    delete(session, build)


@writer
def end_queued(session: Session, id: str, reason: str) -> records.Build | None:
    """End a build that nobody can build with an error of the service.

    The oldest follower is promoted, as in :func:`finish_build`.

    :param reason: a sentence for users.
    :returns: None when it is not queued any more, or follows another:
        nothing was done.
    """
    build = locked(session, id)
    if (
        build is None
        or build.deleted_at is not None
        or build.status != 'queued'
        or build.leader_id is not None
    ):
        return None
    end(
        session,
        build,
        records.Outcome('error', reason=reason, fault='service'),
    )
    single_flight.hand_over(session, build)
    return rows.build_record(session, build)


def delete(session: Session, build: Build) -> records.Image | None:
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
    build = locked(session, id)
    if build is None:
        return False
    if not has(build, conductor, attempt):
        return build.attempt == attempt and session.did(build.updated_at)
    if build.status == 'deleting':
        build.finished_at = session.now
        delete(session, build)
    elif build.cancel_requested:
        end(session, build, records.Outcome('cancelled', reason))
        single_flight.hand_over(session, build)
    else:
        if not counts:
            build.requeues += 1
        jobs.put_back(session, build.id, counts=counts)
        put_back(session, build, reason)
    return True


def put_back(session: Session, build: Build, reason: str) -> None:
    """Have a build wait again; its job is the caller's business."""
    build.status = 'queued'
    build.status_reason = reason
    build.conductor = None
    build.claimed_at = None
    build.progress_done = 0
    build.progress_total = 0
    build.progress_step = ''
    build.phases = None
    build.boot_test = None
    contents.remove_former(session, build.id)
    build.updated_at = session.now
    history.note_status(session, build, f'requeued: {reason}')


def locked(session: Session, id: str) -> Build | None:
    """A build, deleted ones too, locked with its project; None if none is."""
    try:
        return rows.locked_build(session, id)
    except exception.NotFound:
        return None


def has(build: Build, conductor: str, attempt: int) -> bool:
    """Whether a conductor runs a build, in that attempt."""
    return (
        build.deleted_at is None
        and build.status in statuses.RUNNING
        and build.conductor == conductor
        and build.attempt == attempt
    )
