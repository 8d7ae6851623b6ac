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
"""What the database hands out of channels; see ``records``."""

from __future__ import annotations

import dataclasses
import datetime

from imagebuild.db import records

#: What tags of channels begin with.
TAG_PREFIX = 'imagebuild_channel:'


def tag_of(channel: str, name: str) -> str:
    """The tag of the current image of a channel."""
    return f'{TAG_PREFIX}{channel}:{name}'


def why_kept(channel: str, name: str, *, is_current: bool) -> str:
    """Say why a build that a channel has cannot be deleted.

    :param is_current: whether it is the current one, not the one before.
    :returns: without a full stop.
    """
    place = 'the current image' if is_current else 'the image before'
    return (
        f'it is {place} in the channel "{channel}" of "{name}"; promote '
        'others in its place, or delete the channel'
    )


@dataclasses.dataclass(frozen=True)
class Channel:
    """The current image of a name in a channel, and the one before it.

    :ivar name: of the build when it was promoted, which is that of its image.
    :ivar channel: such as ``prod``.
    :ivar user_id: who has promoted last.
    :ivar current_build_id: the build whose image is the current one; None
        when the channel is deleted.
    :ivar current_image_id: that image in this cloud; None when it is in others
        only, or gone.
    :ivar previous_build_id: what a rollback brings back; None for nothing.
    :ivar tags: further tags of the current image, beside :attr:`tag`.
    :ivar dropped_tags: former ones, to be taken from its images.
    :ivar status_reason: what could not be done in the stores; '' for nothing.
    :ivar revision: counted up when tags have to change; up to
        ``settled_revision`` that is done.
    :ivar settled_at: when the tags were last as they should be.
    :ivar conductor: who works on it, until ``held_until``.
    """

    id: str
    project_id: str
    name: str
    channel: str
    user_id: str
    current_build_id: str | None
    current_image_id: str | None
    previous_build_id: str | None
    previous_image_id: str | None
    tags: list[str]
    dropped_tags: list[str]
    status_reason: str
    revision: int
    settled_revision: int
    settled_at: datetime.datetime | None
    conductor: str | None
    held_until: datetime.datetime | None
    created_at: datetime.datetime
    updated_at: datetime.datetime

    @property
    def tag(self) -> str:
        """The tag that the current image has, and no other."""
        return tag_of(self.channel, self.name)

    @property
    def is_settled(self) -> bool:
        """Whether the stores have been told."""
        return self.settled_revision >= self.revision


@dataclasses.dataclass(frozen=True)
class Promotion:
    """One change of a channel.

    :ivar action: ``promote`` or ``rollback``.
    :ivar build_id: the current build from then on.
    :ivar replaced_build_id: the one before; None for the first.
    """

    action: str
    build_id: str
    image_id: str | None
    replaced_build_id: str | None
    user_id: str
    at: datetime.datetime


@dataclasses.dataclass(frozen=True)
class ChannelImage:
    """An image whose tags a channel decides.

    :ivar build_id: a build that has it.
    :ivar is_current: whether it is to have the channel's tags.
    :ivar kept_tags: tags that it has for another reason.
    """

    image: records.Image
    build_id: str
    is_current: bool
    kept_tags: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What must be the current build of a channel for a promotion to happen.

    :ivar build_id: its id; None: there is none yet.
    """

    build_id: str | None
