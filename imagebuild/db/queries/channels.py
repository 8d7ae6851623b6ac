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
"""Channels: promotions, rollbacks, their end.

Which build is the current one of a channel is one value of one row, so there
is one at any moment, whatever has been killed. The tags in the stores follow:
see :mod:`imagebuild.db.queries.channel_care`.

As in :mod:`imagebuild.db.queries.lifecycle`, the project is locked first.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

import sqlalchemy as sa

from imagebuild import exception
from imagebuild.db import channel_records
from imagebuild.db.channel_models import Channel
from imagebuild.db.channel_models import Promotion
from imagebuild.db.models import Build
from imagebuild.db.models import Image
from imagebuild.db.queries import channel_lookup
from imagebuild.db.queries import channel_use
from imagebuild.db.queries import history
from imagebuild.db.queries import lifecycle
from imagebuild.db.queries import quotas as quota_queries
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import writer

#: Changes of one channel that are remembered.
HISTORY = 100


@writer
def promote_build(
    session: Session,
    build_id: str,
    channel: str,
    *,
    tags: Sequence[str] | None = None,
    user_id: str = '',
    tested: bool = False,
    expected: channel_records.Expectation | None = None,
    quotas: Mapping[str, int] | None = None,
) -> channel_records.Channel:
    """Make a build the current one of a channel of its name.

    Of the one that is that now the same is said again, but for ``tags``.

    :param tags: further tags that go with the channel; None: as they are.
    :param user_id: who asks.
    :param tested: whether it must have passed a boot test.
    :param expected: what must be there for it; None: anything.
    :param quotas: limits by resource: ``channels``.
    :raises NotFound: there is no such build.
    :raises Conflict: it is not active, its image is gone, it was not booted,
        something else is there than was expected, or another channel has one
        of the tags.
    :raises QuotaExceeded: the project has as many channels as it may.
    """
    build = _promotable(session, build_id, tested=tested)
    row = channel_lookup.find_row(
        session, build.project_id, build.name, channel
    )
    current = row.current_build_id if row is not None else None
    if row is not None and current == build_id and session.is_retry:
        return channel_lookup.to_record(session, row)
    if expected is not None and current != expected.build_id:
        raise _not_expected(build_id, build.name, channel, current)
    if current is None:
        row = _begin(session, build, channel, row, quotas or {})
    assert row is not None  # noqa: S101
    _set_tags(session, row, tags)
    if current != build_id:
        _replace(session, row, build, user_id, 'promote')
    else:
        row.revision += 1
        row.updated_at = session.now
    return channel_lookup.to_record(session, row)


@writer
def roll_back(
    session: Session, build_id: str, channel: str, *, user_id: str = ''
) -> channel_records.Channel:
    """Take a build back from a channel: the one before is the current again.

    What is taken back becomes the one before, so this is undone the same way.

    :param channel: of the build's name, or of another one that it had when it
        was promoted.
    :raises NotFound: there is no such build.
    :raises Conflict: it is not the current one, there is none before it, or
        the image of that is gone.
    """
    build = rows.locked_build(session, build_id)
    if build.deleted_at is not None:
        raise exception.NotFound(what='build', id=build_id)
    query = sa.select(Channel).where(
        Channel.project_id == build.project_id, Channel.channel == channel
    )
    here = [
        row
        for row in session.scalars(query)
        if build_id in (row.current_build_id, row.previous_build_id)
    ]
    for row in here:
        # This very call, before its answer was lost.
        if row.previous_build_id == build_id and session.did(row.updated_at):
            return channel_lookup.to_record(session, row)
    current = [row for row in here if row.current_build_id == build_id]
    if not current:
        raise _refused(
            build_id,
            'not the current one',
            f'the channel "{channel}" has nothing to take back from it',
        )
    # A build that was renamed may be that of two names.
    row = min(current, key=lambda each: (each.name != build.name, each.id))
    before = row.previous_build_id and rows.build(
        session, row.previous_build_id
    )
    if not before:
        raise _refused(
            build_id,
            'the only one',
            f'there was none before it in the channel "{channel}" of '
            f'"{row.name}"',
        )
    if before.deleted_at is not None or not images_of(session, before):
        raise exception.Conflict(
            what='Build',
            id=before.id,
            status='gone',
            reason='there is no image left to go back to',
        )
    _replace(session, row, before, user_id, 'rollback')
    return channel_lookup.to_record(session, row)


@writer
def delete_channel(session: Session, id: str) -> None:
    """Delete a channel; its builds stay, but for those of nobody else.

    :raises NotFound: there is none.
    """
    row = session.get(Channel, id)
    if row is not None:
        rows.lock_project(session, row.project_id)
        row = session.get(Channel, id, populate_existing=True)
    if row is None or row.current_build_id is None:
        if session.is_retry:
            return
        raise exception.NotFound(what='channel', id=id)
    held = channel_lookup.held_by(row)
    _drop_images(session, row)
    row.dropped_tags = sorted({*row.dropped_tags, *channel_use.tags_of(row)})
    row.current_build_id = row.previous_build_id = None
    row.tags = []
    row.revision += 1
    row.updated_at = session.now
    row.held_until = None
    session.change(sa.delete(Promotion).where(Promotion.channel_id == id))
    session.flush()
    _let_go(session, held)


# -- what they are made of --------------------------------------------------


def _promotable(session: Session, id: str, *, tested: bool) -> Build:
    """The row of a build that can be promoted, locked with its project."""
    build = rows.locked_build(session, id)
    if build.deleted_at is not None:
        raise exception.NotFound(what='build', id=id)
    if build.status != 'active':
        raise _refused(id, build.status, 'only an active one can be promoted')
    if not images_of(session, build):
        raise _refused(id, 'without an image', 'that was deleted')
    if tested and not (build.boot_test or {}).get('passed'):
        raise _refused(
            id,
            'not tested',
            'this channel takes images that have passed a boot test; build '
            'it with "boot_test"',
        )
    return build


def _refused(id: str, status: str, reason: str) -> exception.Conflict:
    return exception.Conflict(
        what='Build', id=id, status=status, reason=reason
    )


def _not_expected(
    id: str, name: str, channel: str, current: str | None
) -> exception.Conflict:
    found = f'build {current}' if current else 'none'
    return _refused(
        id,
        'not promoted',
        f'another one was expected in the channel "{channel}" of "{name}", '
        f'which has {found} now',
    )


def _begin(
    session: Session,
    build: Build,
    channel: str,
    row: Channel | None,
    quotas: Mapping[str, int],
) -> Channel:
    """Have a channel begin; its row may be there, of one that was deleted."""
    quota_queries.check_channels(
        session, build.project_id, quotas, besides=row.id if row else None
    )
    if row is None:
        row = Channel(
            id=session.call.row_id,
            project_id=build.project_id,
            name=build.name,
            channel=channel,
        )
        row.tags, row.dropped_tags, row.dropped_images = [], [], []
        row.revision = row.settled_revision = 0
    row.created_at = row.updated_at = session.now
    row.status_reason = ''
    session.add(row)
    with rows.retry_on_duplicate():
        session.flush()
    return row


def _set_tags(
    session: Session, row: Channel, tags: Sequence[str] | None
) -> None:
    """Give a channel other tags.

    :raises Conflict: another channel of the project has one of them.
    """
    if tags is None:
        return
    query = sa.select(Channel).where(
        Channel.project_id == row.project_id, Channel.id != row.id
    )
    for other in session.scalars(query):
        if taken := sorted({*tags} & {*channel_use.tags_of(other)}):
            raise exception.Conflict(
                what='Tag',
                id=f'"{taken[0]}"',
                status='taken',
                reason=f'it goes with the channel "{other.channel}" of '
                f'"{other.name}"',
            )
    row.dropped_tags = sorted({*row.dropped_tags, *row.tags} - {*tags})
    row.tags = list(dict.fromkeys(tags))


def _replace(
    session: Session, row: Channel, build: Build, user_id: str, action: str
) -> None:
    """Make a build the current one, and the current one the one before."""
    held = channel_lookup.held_by(row)
    replaced = row.current_build_id
    _drop_images(session, row)
    row.current_build_id, row.previous_build_id = build.id, replaced
    images = images_of(session, build)
    here = {image.id for image in images}
    row.dropped_images = [
        each for each in row.dropped_images if each not in here
    ]
    row.revision += 1
    row.user_id = user_id
    row.updated_at = session.now
    # What was tried in vain may do now.
    row.held_until = None
    session.add(
        Promotion(
            channel_id=row.id,
            action=action,
            build_id=build.id,
            image_id=_image_id(images),
            replaced_build_id=replaced,
            user_id=user_id,
            at=session.now,
        )
    )
    words = 'Promoted to' if action == 'promote' else 'Brought back to'
    history.note(
        session, build, 'note', f'{words} "{row.channel}" of "{row.name}"'
    )
    session.flush()
    _forget_old(session, row)
    _let_go(session, held - channel_lookup.held_by(row))


def _drop_images(session: Session, row: Channel) -> None:
    """Note that the images of the current build are to lose its tags."""
    current = row.current_build_id and rows.build(
        session, row.current_build_id
    )
    if current:
        gone = [image.id for image in images_of(session, current)]
        row.dropped_images = sorted({*row.dropped_images, *gone})


def _let_go(session: Session, build_ids: Iterable[str]) -> None:
    """Delete builds that were to be when no channel has them any more."""
    for id in sorted(build_ids):
        build = rows.build(session, id)
        if (
            build is not None
            and build.delete_when_unused
            and build.deleted_at is None
            and not channel_use.holding(session, id)
        ):
            lifecycle.delete(session, build)


def _forget_old(session: Session, row: Channel) -> None:
    query = (
        sa.select(Promotion.id)
        .where(Promotion.channel_id == row.id)
        .order_by(Promotion.id.desc())
        .offset(HISTORY)
        .limit(1)
    )
    if (last := session.scalar(query)) is not None:
        session.change(
            sa.delete(Promotion).where(
                Promotion.channel_id == row.id, Promotion.id <= last
            )
        )


def images_of(session: Session, build: Build) -> list[Image]:
    """The images of a build that are there, this cloud's first."""
    query = (
        sa.select(Image)
        .where(
            Image.build_id == (build.reused_from or build.id),
            Image.status == 'active',
        )
        .order_by(Image.destination, Image.created_at)
    )
    return list(session.scalars(query))


def _image_id(images: Iterable[Image]) -> str | None:
    """The id of an image in this cloud."""
    return next(
        (each.image_id for each in images if not each.destination), None
    )
