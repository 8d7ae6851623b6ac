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
"""What changes of an image that is there.

Users change images in the store as well. So a change has only what somebody
has asked for, and everything else stays as the store has it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.common import image_properties


@dataclasses.dataclass(frozen=True)
class ImageChange:
    """Fields of an image, named as in Glance; None for what stays.

    :ivar tags: all of them.
    :ivar members: ids of all projects that it is shared with.
    :ivar properties: those that it is to have with these values; it keeps
        others.
    :ivar dropped: names of properties that it is to lose.
    :ivar min_disk: GiB.
    :ivar min_ram: MiB.
    :ivar only_adds: nothing is taken away or replaced: tags and members are
        further ones, properties are for an image that lacks them, the
        numbers least values, a visibility is for what is private. An image
        that is not shared gets no members.
    """

    name: str | None = None
    visibility: str | None = None
    protected: bool | None = None
    tags: Sequence[str] | None = None
    members: Sequence[str] | None = None
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)
    dropped: Collection[str] = ()
    min_disk: int | None = None
    min_ram: int | None = None
    only_adds: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return self == ImageChange(only_adds=self.only_adds)

    def check(self, rules: image_properties.Rules) -> None:
        """Refuse what an image cannot be.

        :raises InvalidRequest: a property has the name of a field, or of
            what this service or Glance sets itself; or there are members and
            a visibility that has none.
        """
        problems = [
            exception.Problem(f'properties.{name}', wrong)
            for name in self.properties
            if (wrong := rules.error(name))
        ]
        if self.members and self.visibility not in (None, 'shared'):
            problems.append(
                exception.Problem(
                    'members',
                    f'an image that is {self.visibility} has no members',
                )
            )
        if problems:
            raise exception.InvalidRequest(problems)

    def applied_to(
        self,
        *,
        visibility: str,
        tags: Collection[str],
        properties: Collection[str],
        min_disk: int,
        min_ram: int,
        least_disk: int = 0,
    ) -> ImageChange:
        """What there is to do about one image.

        :param visibility: that it has, and so on.
        :param properties: names of those that it has.
        :param least_disk: GiB that its disk needs, whatever is asked for.
        :returns: the same with what it keeps; tags and members of one that
            only adds are further ones still.
        """
        if not self.only_adds:
            return dataclasses.replace(
                self,
                tags=None if self.tags is None else sorted(set(self.tags)),
                dropped=[
                    name
                    for name in self.dropped
                    if name in properties and name not in self.properties
                ],
                min_disk=None
                if self.min_disk is None
                else max(self.min_disk, least_disk),
            )
        shown = self.visibility if visibility == 'private' else None
        is_shared = (shown or visibility) == 'shared'
        return dataclasses.replace(
            self,
            name=None,
            visibility=shown,
            protected=self.protected or None,
            tags=sorted({*(self.tags or ())} - {*tags}) or None,
            members=self.members if is_shared else None,
            properties={
                name: value
                for name, value in self.properties.items()
                if name not in properties
            },
            dropped=(),
            min_disk=_more(self.min_disk, min_disk),
            min_ram=_more(self.min_ram, min_ram),
        )


def _more(wanted: int | None, present: int) -> int | None:
    return wanted if wanted and wanted > present else None
