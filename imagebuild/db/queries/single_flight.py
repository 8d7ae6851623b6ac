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
"""Single flight: of the same content one build leads, others follow it.

The row of a flight is the lock: its key is the project and the content, and
it is there as long as the build that leads has not ended. Whoever touches
one has locked the project before.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from imagebuild.common import statuses
from imagebuild.db import models
from imagebuild.db.models import Build
from imagebuild.db.queries import history
from imagebuild.db.queries import jobs
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session


def join(session: Session, build: Build) -> None:
    """Make a build follow the one that leads its content, if there is one."""
    flight = _flight(session, build)
    if flight is None:
        return
    leader = rows.build(session, flight.build_id, lock=True)
    if leader is not None and _leads(leader):
        build.leader_id = leader.id
    else:
        # Should not be; a flight ends with its build.
        session.delete(flight)
        session.flush()


def lead(session: Session, build: Build) -> None:
    """Make a build the leader of its content unless it follows one."""
    if build.leader_id is None:
        session.add(
            models.SingleFlight(
                project_id=build.project_id,
                content_key=build.content_key,
                build_id=build.id,
            )
        )


def followers(session: Session, build: Build) -> Sequence[Build]:
    """The builds that wait for a build, oldest first, locked."""
    query = (
        sa.select(Build)
        .where(
            Build.leader_id == build.id, Build.status == 'queued', rows.LIVE
        )
        .order_by(Build.created_at, Build.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return session.scalars(query).all()


def end(session: Session, build: Build) -> None:
    """End the flight that a build leads, if it does."""
    flight = _flight(session, build)
    if flight is not None and flight.build_id == build.id:
        session.delete(flight)


def hand_over(session: Session, build: Build) -> None:
    """Make the oldest follower of a build the leader of the others."""
    # Locked before the followers, in the order in which join() locks.
    flight = _flight(session, build)
    waiting = followers(session, build)
    if not waiting:
        end(session, build)
        return
    new, *others = waiting
    new.leader_id = None
    new.updated_at = session.now
    for other in others:
        other.leader_id = new.id
        other.updated_at = session.now
    if flight is None:
        lead(session, new)
    else:
        flight.build_id = new.id
    jobs.enqueue_build(session, new)
    history.note_status(
        session, new, f'queued: takes the place of build {build.id}'
    )


def _leads(build: Build) -> bool:
    return (
        build.deleted_at is None
        and build.leader_id is None
        and build.status in statuses.UNFINISHED
    )


def _flight(session: Session, build: Build) -> models.SingleFlight | None:
    return session.get(
        models.SingleFlight,
        (build.project_id, build.content_key),
        populate_existing=True,
        with_for_update=True,
    )
