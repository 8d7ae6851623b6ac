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
"""How builds end: finished, cancelled, deleted, requeued.

Each function locks the project first, then the build; so the followers, the
flight and the users of an image cannot change under it.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from sqlalchemy import orm

from imagebuild import exception
from imagebuild import statuses
from imagebuild.db import models
from imagebuild.db import records
from imagebuild.db import transaction
from imagebuild.db.queries import builds
from imagebuild.db.queries import common
from imagebuild.db.queries import events
from imagebuild.db.queries import flights
from imagebuild.db.queries import images


@dataclasses.dataclass(frozen=True)
class Ending:
    """What is known of the end of a build; see finish_build."""

    status: str
    now: datetime.datetime
    reason: str = ''
    fault: str | None = None
    image: dict[str, Any] | None = None

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


def finish(
    session: orm.Session,
    id: str,
    ending: Ending,
    *,
    conductor: str,
    attempt: int,
) -> records.Build | None:
    build = _locked(session, id)
    if build is None:
        return None
    if not _has(build, conductor, attempt):
        mine = (build.conductor, build.attempt) == (conductor, attempt)
        if mine and _was_done(session, build.finished_at, ending.now):
            return builds.as_record(session, build)
        return None
    if build.status == 'deleting':
        _finish_deleted(session, build, ending)
    else:
        _finish(session, build, ending)
    return builds.as_record(session, build)


def _finish(session: orm.Session, build: models.Build, ending: Ending) -> None:
    if ending.status == 'active' and ending.image is not None:
        image = images.insert(
            session,
            build,
            {'id': transaction.new_id(), **ending.image},
            ending.now,
        )
        session.flush()
        build.image_row_id = image.id
        build.size = image.size
        build.os_hash_algo = image.os_hash_algo
        build.os_hash_value = image.os_hash_value
    _end(session, build, ending)
    if ending.is_same_for_all:
        for follower in flights.followers(session, build):
            _share(session, build, follower, ending)
        flights.end(session, build)
    else:
        flights.hand_over(session, build, ending.now)


def _share(
    session: orm.Session,
    build: models.Build,
    follower: models.Build,
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


def _end(session: orm.Session, build: models.Build, ending: Ending) -> None:
    build.status = ending.status
    build.status_reason = ending.reason
    build.fault = ending.fault if ending.status == 'error' else None
    build.leader_id = None
    build.secrets = None
    build.finished_at = ending.now
    build.updated_at = ending.now
    events.add_status(session, build, ending.message, ending.now)


def _finish_deleted(
    session: orm.Session, build: models.Build, ending: Ending
) -> None:
    if ending.image is not None:
        images.insert(
            session,
            build,
            {
                'id': transaction.new_id(),
                **ending.image,
                'status': 'deleting',
            },
            ending.now,
        )
    build.finished_at = ending.now
    _delete(session, build, ending.now)


def cancel(
    session: orm.Session, id: str, now: datetime.datetime
) -> records.Build:
    build = builds.locked_row(session, id)
    if build.deleted_at is not None:
        raise exception.NotFound(what='build', id=id)
    if build.status == 'queued':
        _cancel_queued(session, build, now)
    elif build.status in statuses.RUNNING and not build.cancel_requested:
        build.cancel_requested = True
        build.updated_at = now
        events.add_status(session, build, 'to be cancelled', now)
    return builds.as_record(session, build)


def _cancel_queued(
    session: orm.Session, build: models.Build, now: datetime.datetime
) -> None:
    _end(session, build, Ending('cancelled', now))
    flights.hand_over(session, build, now)


def delete(
    session: orm.Session, id: str, now: datetime.datetime
) -> records.Image | None:
    build = builds.locked_row(session, id)
    if build.deleted_at is not None:
        if _was_done(session, build.deleted_at, now):
            return images.being_deleted(session, build.image_row_id)
        raise exception.NotFound(what='build', id=id)
    if build.status in ('building', 'uploading'):
        build.status = 'deleting'
        build.cancel_requested = True
        build.updated_at = now
        events.add_status(session, build, 'deleting', now)
        flights.hand_over(session, build, now)
        return None
    if build.status == 'deleting':
        return None
    return _delete(session, build, now)


def _delete(
    session: orm.Session, build: models.Build, now: datetime.datetime
) -> records.Image | None:
    if build.status == 'queued':
        build.status = 'cancelled'
        build.finished_at = now
    build.leader_id = None
    build.secrets = None
    build.updated_at = now
    build.deleted_at = now
    # Nobody asks for it any more, and it may be most of what is kept.
    build.request = {}
    build.request_size = 0
    flights.hand_over(session, build, now)
    session.flush()
    images.retire_further(session, build)
    if build.image_row_id is None:
        return None
    return images.retire_unused(session, build.image_row_id)


def requeue(
    session: orm.Session,
    id: str,
    *,
    conductor: str,
    attempt: int,
    reason: str,
    counts: bool,
    now: datetime.datetime,
) -> bool:
    build = _locked(session, id)
    if build is None:
        return False
    if not _has(build, conductor, attempt):
        return build.attempt == attempt and _was_done(
            session, build.updated_at, now
        )
    if build.status == 'deleting':
        build.finished_at = now
        _delete(session, build, now)
    elif build.cancel_requested:
        _end(session, build, Ending('cancelled', now, reason))
        flights.hand_over(session, build, now)
    else:
        if not counts:
            build.requeues += 1
        _requeue(session, build, reason, now)
    return True


def _requeue(
    session: orm.Session,
    build: models.Build,
    reason: str,
    now: datetime.datetime,
) -> None:
    build.status = 'queued'
    build.status_reason = reason
    build.conductor = None
    build.claimed_at = None
    build.progress_done = 0
    build.progress_total = 0
    build.progress_step = ''
    build.phases = None
    build.updated_at = now
    events.add_status(session, build, f'queued again: {reason}', now)


def _locked(session: orm.Session, id: str) -> models.Build | None:
    try:
        return builds.locked_row(session, id)
    except exception.NotFound:
        return None


def _was_done(
    session: orm.Session,
    stamp: datetime.datetime | None,
    now: datetime.datetime,
) -> bool:
    """Whether this very call did it, in a run whose end was lost."""
    return common.is_retry(session) and stamp == now


def _has(build: models.Build, conductor: str, attempt: int) -> bool:
    return (
        build.deleted_at is None
        and build.status in statuses.RUNNING
        and build.conductor == conductor
        and build.attempt == attempt
    )
