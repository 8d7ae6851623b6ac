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
"""Uploads whose file nobody has any more."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from imagebuild.common import placement
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Conductor
from imagebuild.db.models import Job
from imagebuild.db.models import Lane
from imagebuild.db.queries import conductors
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
    """Build again, or end, what waits for a repository that is gone.

    :param seconds: how long ago the last heartbeat of whoever has it must be.
    :param max_attempts: at a build.
    :returns: the builds that went back to the queue, and those that ended.
    """
    again, ended = [], []
    for build_id in _builds(session, _lost_lanes(session, seconds)):
        build = lifecycle.locked(session, build_id)
        if build is None:
            continue
        lost = _lost_jobs(session, build)
        if not lost:
            continue
        failures = build.attempt - build.requeues
        if build.status == 'uploading' and failures < max_attempts:
            for id in lost:
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


def _lost_lanes(session: Session, seconds: float) -> list[str]:
    """The lanes of uploads that no conductor can take from."""
    # One that has just gone down may be back in a moment.
    alive = session.scalars(
        sa.select(Conductor).where(
            Conductor.heartbeat_at >= session.ago(seconds)
        )
    )
    there: set[str] = set()
    for row in alive:
        there.update(conductors.record(row).capability.repositories)
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
    return [lane.id for lane in lanes if _is_lost(lane, there)]


def _is_lost(lane: Lane, there: Collection[str]) -> bool:
    wanted = placement.Needs.from_dict(lane.needs).repository
    return bool(wanted) and wanted not in there


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


def _lost_jobs(session: Session, build: Build) -> list[str]:
    """The uploads of a build that wait; none while another one runs."""
    query = sa.select(Job.id, Job.state).where(
        Job.build_id == build.id, Job.kind == 'upload'
    )
    found = session.execute(query).all()
    if any(state == 'running' for _, state in found):
        return []
    return [id for id, state in found if state in _WAITING]
