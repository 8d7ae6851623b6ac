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
"""Retention: removing rows for good."""

from __future__ import annotations

import datetime

import sqlalchemy as sa

from imagebuild.common import statuses
from imagebuild.db import models
from imagebuild.db import transaction
from imagebuild.db.models import Build
from imagebuild.db.models import Conductor
from imagebuild.db.models import Image
from imagebuild.db.queries import artifacts
from imagebuild.db.queries import contents
from imagebuild.db.queries import images
from imagebuild.db.queries import jobs
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import writer

#: Builds removed in one transaction.
BATCH = 100
#: Builds removed while another one is made.
AT_ONCE = 5
#: Packages removed in one transaction.
PACKAGES = 2000

_OF_A_BUILD = (
    models.SingleFlight,
    models.Event,
    models.Step,
    models.LogChunk,
    models.Job,
    models.Upload,
)


def purge(
    database: transaction.Transactions, older_than: datetime.datetime
) -> int:
    """Remove for good what nobody can use any more.

    Builds deleted, or ended ``error`` or ``cancelled``, before that time
    with their logs, steps, events and uploads; deleted images;
    conductors without a heartbeat since; rows of files that have left a
    repository; packages that no image holds. Many small transactions.

    :param older_than: naive UTC.
    :returns: how many builds were removed.
    """
    removed = 0
    while True:
        # A transaction each: one over all rows would block the others.
        batch = _purge_builds(database, older_than)
        removed += batch
        if batch < BATCH:
            break
    _purge_the_rest(database, older_than)
    while _purge_packages(database) == PACKAGES:
        pass
    return removed


@writer
def _purge_builds(session: Session, older_than: datetime.datetime) -> int:
    """Remove up to BATCH builds; return how many."""
    old = (
        sa.select(Build.id)
        .where(
            sa.or_(
                Build.deleted_at < older_than,
                sa.and_(
                    rows.LIVE,
                    Build.status.in_(statuses.WITHOUT_IMAGE),
                    Build.finished_at < older_than,
                ),
            )
        )
        .order_by(Build.id)
        .limit(BATCH)
    )
    return _remove(session, list(session.scalars(old)))


def purge_deleted_beyond(session: Session, project_id: str, kept: int) -> int:
    """Remove some deleted builds of a project, the oldest first.

    Nobody sees them, and they wait for the purge; but a project that makes
    and deletes builds all day would fill the table until then. The project
    is locked.

    :param kept: how many stay.
    :returns: how many were removed; the others follow with further calls.
    """
    deleted = sa.and_(
        Build.project_id == project_id, Build.deleted_at.is_not(None)
    )
    count = sa.select(sa.func.count()).where(deleted)
    beyond = (session.scalar(count) or 0) - kept
    if beyond <= 0:
        return 0
    # What they have put into a store is found by their rows only.
    unfinished = sa.exists().where(
        models.Upload.build_id == Build.id, models.Upload.status == 'uploading'
    )
    oldest = (
        sa.select(Build.id)
        .where(deleted, ~unfinished)
        .order_by(Build.deleted_at, Build.id)
        .limit(min(beyond, AT_ONCE))
    )
    return _remove(session, list(session.scalars(oldest)))


def _remove(session: Session, ids: list[str]) -> int:
    if not ids:
        return 0
    # What builds without an image in this cloud left elsewhere.
    images.retire(
        session,
        Image.build_id.in_(
            sa.select(Build.id).where(
                Build.id.in_(ids), Build.image_row_id.is_(None)
            )
        ),
    )
    # Rows with a foreign key go before the row it points to.
    for model in _OF_A_BUILD:
        session.change(sa.delete(model).where(model.build_id.in_(ids)))
    session.change(
        sa.update(Build).where(Build.leader_id.in_(ids)).values(leader_id=None)
    )
    session.change(sa.delete(Build).where(Build.id.in_(ids)))
    contents.remove_unused(session, ids)
    return len(ids)


@writer
def _purge_packages(session: Session) -> int:
    """Remove up to PACKAGES packages; return how many."""
    return contents.purge_packages(session, PACKAGES)


@writer
def _purge_the_rest(session: Session, older_than: datetime.datetime) -> None:
    """Remove images, files and conductors of long ago."""
    session.execute(
        sa.delete(Image).where(
            Image.status == 'deleted',
            Image.deleted_at < older_than,
            ~sa.exists().where(Build.image_row_id == Image.id),
            ~sa.exists().where(models.Job.id == Image.id),
        )
    )
    artifacts.purge_gone(session, older_than)
    session.execute(
        sa.delete(Conductor).where(Conductor.heartbeat_at < older_than)
    )
    jobs.remove_unused_lanes(session)
