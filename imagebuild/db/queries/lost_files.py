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
"""Uploads whose file nobody has any more.

An image of the build that is active somewhere gives it back; without one the
build is made again.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from imagebuild.common import placement
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Image
from imagebuild.db.models import Job
from imagebuild.db.models import Lane
from imagebuild.db.models import Upload
from imagebuild.db.queries import image_sources
from imagebuild.db.queries import jobs
from imagebuild.db.queries import lifecycle
from imagebuild.db.queries import rows
from imagebuild.db.queries import uploading
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import writer

_WAITING = ('queued', 'waiting')
_GONE = 'No conductor has the image file any more.'


@writer
def uploads_without_file(
    session: Session, *, seconds: float, max_attempts: int
) -> tuple[list[records.Build], list[records.Build]]:
    """Bring on what waits for a repository that is gone, or end it.

    :param seconds: how long ago the last heartbeat of whoever has it must be.
    :param max_attempts: at a build.
    :returns: the builds that went back to the queue, and those that ended.
    """
    again, ended = [], []
    # One that has just gone down may be back in a moment.
    offered = image_sources.alive(session, seconds, down=True)
    lanes = _lost_lanes(session, seconds, offered)
    for build_id in _builds(session, lanes):
        build = lifecycle.locked(session, build_id)
        if build is None:
            continue
        lost = _without_copy(session, build, lanes, seconds)
        # While another one runs there may soon be an image.
        if not lost or _is_running(session, build):
            continue
        failures = build.attempt - build.requeues
        if build.status == 'uploading' and failures < max_attempts:
            for id in _waiting(session, build):
                jobs.end(session, id, 'cancelled')
            lifecycle.put_back(session, build, _GONE)
            jobs.enqueue_build(session, build)
            again.append(rows.build_record(session, build))
        else:
            before = build.status
            uploading.end_all(session, build, lost, _GONE)
            if build.status != before:
                ended.append(rows.build_record(session, build))
    return again, ended


@writer
def end_waiting_uploads(
    session: Session, lane: str, *, seconds: float, reason: str
) -> list[records.Build]:
    """End uploads that have been queued for too long.

    :param lane: the id of their lane.
    :param seconds: for so long.
    :param reason: a sentence.
    :returns: the builds that ended with them.
    """
    query = (
        sa.select(Job.id, Job.build_id)
        .where(
            Job.lane_id == lane,
            Job.kind == 'upload',
            Job.state == 'queued',
            Job.updated_at < session.ago(seconds),
        )
        .order_by(Job.build_id)
        .limit(100)
    )
    ended = []
    for id, build_id in session.execute(query).all():
        build = lifecycle.locked(session, build_id or '')
        if build is None or id not in _waiting(session, build):
            continue
        before = build.status
        uploading.end_all(session, build, [id], reason)
        if build.status != before:
            ended.append(rows.build_record(session, build))
    return ended


def _without_copy(
    session: Session, build: Build, lanes: Collection[str], seconds: float
) -> list[str]:
    """Ids of the uploads of a build that no image gives the file for.

    The others are queued again, unless the build is made again anyway.
    """
    offered = image_sources.alive(session, seconds)
    query = (
        sa.select(Upload, Job)
        .join(Job, Job.id == Upload.id)
        .where(
            Job.build_id == build.id,
            Job.lane_id.in_(list(lanes)),
            Job.state.in_(_WAITING),
        )
    )
    found: list[tuple[Upload, Image | None]] = [
        (
            upload,
            image_sources.choose(
                session,
                build,
                upload,
                offered,
                unusable=image_sources.unusable(job),
            ),
        )
        for upload, job in session.execute(query).all()
    ]
    left = [upload.id for upload, image in found if image is None]
    if not left or build.status == 'active':
        for upload, image in found:
            if image is not None:
                image_sources.use(session, build, upload, image)
    return left


def _lost_lanes(
    session: Session, seconds: float, offered: Collection[placement.Capability]
) -> list[str]:
    """The lanes of uploads that no conductor can take from."""
    lanes = session.scalars(
        sa.select(Lane).where(
            Lane.kind == 'upload',
            sa.exists().where(
                Job.lane_id == Lane.id,
                Job.state.in_(_WAITING),
                # Those who have just put it there may not be known yet.
                Job.updated_at < session.ago(seconds),
            ),
        )
    )
    return [lane.id for lane in lanes if _is_lost(lane, offered)]


def _is_lost(lane: Lane, offered: Collection[placement.Capability]) -> bool:
    """Whether nobody has the file, or reaches the image that has it."""
    needs = placement.Needs.from_dict(lane.needs)
    if needs.repository:
        return all(
            needs.repository not in each.repositories for each in offered
        )
    return all(placement.missing(needs, each) for each in offered)


def _builds(session: Session, lanes: Collection[str]) -> list[str]:
    if not lanes:
        return []
    query = (
        sa.select(Job.build_id)
        .where(Job.lane_id.in_(list(lanes)), Job.state.in_(_WAITING))
        .distinct()
        .order_by(Job.build_id)
        .limit(100)
    )
    return list(session.scalars(query))


def _is_running(session: Session, build: Build) -> bool:
    return bool(_ids(session, build, ('running',)))


def _waiting(session: Session, build: Build) -> list[str]:
    return _ids(session, build, _WAITING)


def _ids(session: Session, build: Build, states: Collection[str]) -> list[str]:
    query = sa.select(Job.id).where(
        Job.build_id == build.id,
        Job.kind == 'upload',
        Job.state.in_(list(states)),
    )
    return list(session.scalars(query))
