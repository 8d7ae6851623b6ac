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
"""Base images that are named by a channel: ``os: {channel, name}``.

What is the current image then is what the build begins with: its id becomes
the ``base_image`` of the request that is stored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from imagebuild import db
from imagebuild.catalogue import OperatingSystem
from imagebuild.exception import Problem

FIELD = 'os'
_IMAGE = 'base_image'


@dataclasses.dataclass(frozen=True)
class ChannelBase:
    """A channel that a request names as its base.

    :ivar named: what the request says.
    :ivar image_id: of its current image in this cloud; '' when the request
        names another base image itself, or there is none.
    :ivar architecture: of the machines that the image is for.
    :ivar problem: why it cannot be used, as a message for users.
    """

    named: Mapping[str, Any]
    image_id: str = ''
    architecture: str = ''
    problem: str = ''

    def without(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A request as if it named the image itself."""
        found = {
            name: value for name, value in request.items() if name != FIELD
        }
        return found | ({_IMAGE: self.image_id} if self.image_id else {})

    def within(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The same request with what it named."""
        return {**request, FIELD: dict(self.named)}

    def entry(self, entry: OperatingSystem) -> OperatingSystem:
        """The entry of the catalogue that stands for it."""
        if not self.architecture:
            return entry
        return dataclasses.replace(entry, architecture=self.architecture)

    def problems(self) -> list[Problem]:
        """What is wrong with it."""
        return [Problem(FIELD, self.problem)] if self.problem else []


def moved(problem: Problem) -> Problem:
    """The problem of a base image where the request names a channel."""
    path = FIELD if problem.path == _IMAGE else problem.path
    return Problem(path, problem.message)


def of_request(
    database: db.Database, project_id: str, request: Mapping[str, Any]
) -> ChannelBase | None:
    """Look up the channel that a request names as its base.

    :param project_id: whose channel it is.
    :param request: which has passed its schema.
    :returns: None when it names none.
    """
    named = request.get(FIELD)
    if not isinstance(named, Mapping):
        return None
    if request.get(_IMAGE):
        return ChannelBase(named)
    found = database.find_channel(
        project_id, str(named['name']), str(named['channel'])
    )
    where = f'the channel "{named["channel"]}" of "{named["name"]}"'
    if found is None or found.current_build_id is None:
        return ChannelBase(
            named, problem=f'{where} is empty: nothing was promoted to it'
        )
    if found.current_image_id is None:
        return ChannelBase(
            named, problem=f'{where} has no image in this cloud any more'
        )
    return ChannelBase(
        named,
        image_id=found.current_image_id,
        architecture=database.get_build(found.current_build_id).architecture,
    )
