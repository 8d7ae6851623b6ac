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
"""Channels that are looked up."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from imagebuild import exception
from imagebuild.db import channel_records
from imagebuild.db.channel_models import Channel
from imagebuild.db.channel_models import Promotion
from imagebuild.db.models import Build
from imagebuild.db.models import Image
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader


@reader
def get_channel(
    session: Session, id: str, *, project_id: str | None = None
) -> channel_records.Channel:
    """Look a channel up.

    :param project_id: only if it is this project's; None for any.
    :raises NotFound: there is none.
    """
    row = session.get(Channel, id)
    if (
        row is None
        or row.current_build_id is None
        or project_id not in (None, row.project_id)
    ):
        raise exception.NotFound(what='channel', id=id)
    return to_record(session, row)


@reader
def find_channel(
    session: Session, project_id: str, name: str, channel: str
) -> channel_records.Channel | None:
    """Find a channel of a project; None while nothing is promoted to it."""
    row = find_row(session, project_id, name, channel, lock=False)
    if row is None or row.current_build_id is None:
        return None
    return to_record(session, row)


@reader
def list_channels(
    session: Session,
    *,
    project_id: str | None = None,
    name: str | None = None,
    channel: str | None = None,
    build_id: str | None = None,
    limit: int | None = None,
    marker: str | None = None,
) -> list[channel_records.Channel]:
    """List channels, the oldest first.

    :param project_id: only this project's; None for all, as in the others.
    :param build_id: only those that have this build, as the current one or
        the one before.
    :param limit: at most so many.
    :param marker: id of the last channel of the page before.
    :raises NotFound: there is no channel of the marker's id.
    """
    query = (
        sa.select(Channel)
        .where(Channel.current_build_id.is_not(None))
        .order_by(Channel.created_at, Channel.id)
    )
    for column, wanted in (
        (Channel.project_id, project_id),
        (Channel.name, name),
        (Channel.channel, channel),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if build_id is not None:
        query = query.where(
            sa.or_(
                Channel.current_build_id == build_id,
                Channel.previous_build_id == build_id,
            )
        )
    if marker is not None:
        last = get_channel(session, marker, project_id=project_id)
        query = query.where(
            sa.or_(
                Channel.created_at > last.created_at,
                sa.and_(
                    Channel.created_at == last.created_at,
                    Channel.id > last.id,
                ),
            )
        )
    return to_records(session, session.scalars(query.limit(limit)))


@reader
def list_promotions(
    session: Session, channel_id: str
) -> list[channel_records.Promotion]:
    """What became the current build of a channel, the newest first."""
    query = (
        sa.select(Promotion)
        .where(Promotion.channel_id == channel_id)
        .order_by(Promotion.id.desc())
    )
    return [
        rows.record(channel_records.Promotion, row)
        for row in session.scalars(query)
    ]


@reader
def count_channels(session: Session) -> dict[str, int]:
    """Count channels: ``settled``, and ``waiting`` for their tags."""
    settled = Channel.settled_revision >= Channel.revision
    query = sa.select(settled, sa.func.count()).group_by(settled)
    found = {
        bool(done): int(number) for done, number in session.execute(query)
    }
    return {'settled': found.get(True, 0), 'waiting': found.get(False, 0)}


def find_row(
    session: Session,
    project_id: str,
    name: str,
    channel: str,
    *,
    lock: bool = True,
) -> Channel | None:
    query = sa.select(Channel).where(
        Channel.project_id == project_id,
        Channel.name == name,
        Channel.channel == channel,
    )
    if lock:
        query = query.with_for_update().execution_options(
            populate_existing=True
        )
    return session.scalar(query)


def held_by(row: Channel) -> set[str]:
    return {id for id in (row.current_build_id, row.previous_build_id) if id}


def to_record(session: Session, row: Channel) -> channel_records.Channel:
    """As :func:`to_records`, of one row."""
    [copy] = to_records(session, [row])
    return copy


def to_records(
    session: Session, found: Iterable[Channel]
) -> list[channel_records.Channel]:
    """Copy rows, each with the ids of its images in this cloud."""
    session.flush()
    found = list(found)
    ids = sorted({id for row in found for id in held_by(row)})
    images: dict[str, str] = {}
    if ids:
        maker = sa.func.coalesce(Build.reused_from, Build.id)
        query = (
            sa.select(Build.id, Image.image_id)
            .join(Image, Image.build_id == maker)
            .where(
                Build.id.in_(ids),
                rows.LIVE,
                Image.status == 'active',
                # What the row of a build names may be in another cloud.
                Image.destination == '',
            )
            .order_by(Image.created_at)
        )
        for build_id, image_id in session.execute(query):
            images.setdefault(build_id, image_id)
    return [
        rows.record(
            channel_records.Channel,
            row,
            current_image_id=images.get(row.current_build_id or ''),
            previous_image_id=images.get(row.previous_build_id or ''),
        )
        for row in found
    ]
