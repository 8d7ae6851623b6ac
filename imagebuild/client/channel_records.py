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
"""What the API says of channels; see :mod:`imagebuild.client.records`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from imagebuild.client.records import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class Channel(Record):
    """Which image of a name is the one for development, production, ...

    :ivar name: of its images.
    :ivar channel: such as prod.
    :ivar user_id: who has promoted last.
    :ivar current_build_id: the build whose image is the current one.
    :ivar current_image_id: that Glance image; '' when it is in other clouds
        only, or was deleted.
    :ivar previous_build_id: what a rollback brings back, '' for nothing.
    :ivar tag: that the current image has.
    :ivar tags: further ones, which go with the channel.
    :ivar settled: whether the images have got and lost its tags.
    :ivar status_reason: what could not be done with the tags.
    """

    id: str
    name: str = ''
    channel: str = ''
    project_id: str = ''
    user_id: str = ''
    current_build_id: str = ''
    current_image_id: str = ''
    previous_build_id: str = ''
    previous_image_id: str = ''
    tag: str = ''
    tags: Sequence[str] = ()
    settled: bool = False
    status_reason: str = ''
    created_at: str = ''
    updated_at: str = ''


@dataclasses.dataclass(frozen=True, kw_only=True)
class Promotion(Record):
    """One change of a channel.

    :ivar action: promote or rollback.
    :ivar build_id: the current build from then on.
    :ivar replaced_build_id: the one before, '' for the first.
    """

    action: str = ''
    build_id: str = ''
    image_id: str = ''
    replaced_build_id: str = ''
    user_id: str = ''
    at: str = ''
