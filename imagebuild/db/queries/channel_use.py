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
"""Which builds and images channels have, for queries about those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from imagebuild import exception
from imagebuild.db import channel_records
from imagebuild.db.channel_models import Channel
from imagebuild.db.models import Build
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader


def holding(session: Session, build_id: str) -> list[Channel]:
    """The channels that have a build, as the current one or the one before."""
    query = (
        sa.select(Channel)
        .where(
            sa.or_(
                Channel.current_build_id == build_id,
                Channel.previous_build_id == build_id,
            )
        )
        .order_by(Channel.created_at, Channel.id)
    )
    return list(session.scalars(query))


def refuse_held(session: Session, build_id: str) -> None:
    """Pass when no channel has a build.

    :raises Conflict: one has it, as the current one or the one before.
    """
    for channel in holding(session, build_id):
        raise exception.Conflict(
            what='Build',
            id=build_id,
            status='in use',
            reason=channel_records.why_kept(
                channel.channel,
                channel.name,
                is_current=channel.current_build_id == build_id,
            ),
        )


@reader
def check_unused(session: Session, build_id: str) -> None:
    """See that no channel has a build.

    :raises Conflict: one has it.
    """
    refuse_held(session, build_id)


def tags_of(channel: Channel) -> list[str]:
    """All tags that a channel's current image is to have."""
    own = channel_records.tag_of(channel.channel, channel.name)
    return [own, *channel.tags]


@reader
def channel_tags(session: Session, build_id: str) -> list[str]:
    """The tags that a build's image has because of channels.

    They may be there by another build that shares the image.
    """
    build = rows.build(session, build_id)
    if build is None:
        return []
    return sorted(_given(session, build))


def _given(
    session: Session, build: Build, *, besides: str | None = None
) -> set[str]:
    """Tags of channels whose current image is a build's.

    :param besides: id of a channel that does not count.
    """
    same = Build.id == build.id
    if build.image_row_id is not None:
        same = Build.image_row_id == build.image_row_id
    query = (
        sa.select(Channel)
        .join(Build, Build.id == Channel.current_build_id)
        .where(same)
    )
    return {
        tag
        for channel in session.scalars(query)
        if channel.id != besides
        for tag in tags_of(channel)
    }


def kept_tags(session: Session, build: Build, besides: str) -> frozenset[str]:
    """Tags that a build's image has for other reasons than one channel.

    :param besides: id of that channel.
    """
    users = [build]
    if build.image_row_id is not None:
        query = sa.select(Build).where(
            Build.image_row_id == build.image_row_id, rows.LIVE
        )
        users = list(session.scalars(query))
    found = _given(session, build, besides=besides)
    for user in users:
        request: Mapping[str, Any] = user.request
        found.update(request.get('tags') or ())
    return frozenset(found)
