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
"""The tags of channels: which images are to have them, and which not.

A conductor that works on a channel holds it, so that others leave it alone.
That is no fence: what it has done is written down only if nothing else is
wanted by then, and then it is done again.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from imagebuild.db import channel_records
from imagebuild.db import records
from imagebuild.db.channel_models import Channel
from imagebuild.db.channel_models import Promotion
from imagebuild.db.models import Build
from imagebuild.db.models import Image
from imagebuild.db.queries import channel_lookup
from imagebuild.db.queries import channel_use
from imagebuild.db.queries import channels
from imagebuild.db.queries import holds
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer


@reader
def channels_to_attend(
    session: Session, conductor: str, check_after: float, limit: int = 1000
) -> list[str]:
    """List channels whose tags are to be changed or looked at.

    Those that have waited for the longest time come first.

    :param conductor: who asks; what it holds itself is left of a process
        that was killed.
    :param check_after: seconds after which tags are looked at again.
    :param limit: at most so many.
    :returns: their ids.
    """
    waiting = Channel.settled_revision < Channel.revision
    query = (
        sa.select(Channel.id)
        .where(
            holds.free(session, Channel, conductor),
            sa.or_(
                waiting,
                Channel.settled_at.is_(None),
                Channel.settled_at <= session.ago(check_after),
            ),
        )
        .order_by(
            sa.case((waiting, 0), else_=1), Channel.settled_at, Channel.id
        )
        .limit(limit)
    )
    return list(session.scalars(query))


@writer
def hold_channel(
    session: Session, id: str, conductor: str, seconds: float
) -> channel_records.Channel | None:
    """Keep other conductors from working on a channel.

    :param seconds: for so long at most.
    :returns: the channel; None when another one holds it, or it is gone.
    """
    row = holds.take(session, Channel, id, conductor, seconds)
    return None if row is None else channel_lookup.to_record(session, row)


@writer
def release_channel(
    session: Session, id: str, conductor: str, seconds: float = 0
) -> None:
    """Let others work on a channel again.

    :param seconds: not before so long; not this conductor either.
    """
    holds.release(session, Channel, id, conductor, seconds)


@reader
def images_of_channel(
    session: Session, id: str
) -> list[channel_records.ChannelImage]:
    """The images whose tags a channel decides, the current ones first.

    The images of its current build are to have its tags; those of the one
    before, and whatever has had them, are not.
    """
    row = session.get(Channel, id)
    if row is None:
        return []
    found: dict[str, channel_records.ChannelImage] = {}
    for build_id in (row.current_build_id, row.previous_build_id):
        build = rows.build(session, build_id) if build_id else None
        if build is None or build.deleted_at is not None:
            continue
        for image in channels.images_of(session, build):
            found.setdefault(
                image.id,
                _channel_image(session, row, image, build),
            )
    dropped = sa.select(Image).where(
        Image.id.in_(row.dropped_images), Image.status == 'active'
    )
    for image in session.scalars(dropped.order_by(Image.id)):
        if image.id in found:
            continue
        build = rows.build(session, image.build_id)
        if build is not None:
            found[image.id] = _channel_image(session, row, image, build)
    return list(found.values())


def _channel_image(
    session: Session, row: Channel, image: Image, build: Build
) -> channel_records.ChannelImage:
    return channel_records.ChannelImage(
        image=rows.record(records.Image, image),
        build_id=build.id,
        is_current=build.id == row.current_build_id,
        kept_tags=channel_use.kept_tags(session, build, row.id),
    )


@writer
def settle_channel(
    session: Session,
    id: str,
    revision: int,
    reason: str,
    touched: Collection[str] = (),
) -> bool:
    """Note that the tags of a channel are as they should be.

    The row of one that was deleted goes.

    :param revision: up to which that is so.
    :param reason: what could not be done and is looked at again later, as a
        message; '' if all was.
    :param touched: ids of rows of images that were given tags. If something
        else is wanted by now, they are looked at once more.
    :returns: False when something else is wanted by now.
    """
    row = session.get(
        Channel, id, populate_existing=True, with_for_update=True
    )
    if row is None:
        return False
    if row.revision != revision:
        row.dropped_images = sorted({*row.dropped_images, *touched})
        row.revision += 1
        return False
    if row.current_build_id is None:
        session.change(sa.delete(Promotion).where(Promotion.channel_id == id))
        session.delete(row)
        return True
    row.settled_revision = revision
    row.settled_at = session.now
    row.status_reason = reason
    if not reason:
        row.dropped_tags, row.dropped_images = [], []
        return True
    # Some that are there may have tags still.
    there = sa.select(Image.id).where(
        Image.id.in_(row.dropped_images), Image.status == 'active'
    )
    row.dropped_images = sorted(session.scalars(there))
    return True
