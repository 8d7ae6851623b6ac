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
"""An image of Glance's, and who may use it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild.common import checksums
from imagebuild.common import image_properties

_OPEN_TO_ALL = ('public', 'community')


@dataclasses.dataclass(frozen=True)
class GlanceImage:
    """An image as Glance describes it.

    :ivar id: its id.
    :ivar name: its name, '' for none.
    :ivar status: ``queued``, ``saving``, ``importing``, ``active``,
        ``deactivated``, ``killed``, ...
    :ivar owner: id of the project.
    :ivar visibility: ``private``, ``shared``, ``community``, ``public``.
    :ivar protected: it cannot be deleted.
    :ivar os_hidden: lists leave it out.
    :ivar size: bytes, 0 while there are none.
    :ivar virtual_size: bytes that a guest sees, 0 when Glance does not know.
    :ivar disk_format: ``qcow2``, ...; '' when not known.
    :ivar os_hash_algo: ``sha512`` nearly always; '' while there are no data.
    :ivar os_hash_value: hexadecimal.
    :ivar created_at: ISO 8601, so that later is greater.
    :ivar min_disk: GiB.
    :ivar min_ram: MiB.
    :ivar tags: in no order.
    :ivar stores: ids of the stores of Glance that it is in, with commas; ''
        when Glance has only one.
    :ivar properties: all that is not one of Glance's own.
    """

    id: str
    name: str = ''
    status: str = ''
    owner: str = ''
    visibility: str = ''
    protected: bool = False
    os_hidden: bool = False
    size: int = 0
    virtual_size: int = 0
    disk_format: str = ''
    os_hash_algo: str = ''
    os_hash_value: str = ''
    created_at: str = ''
    min_disk: int = 0
    min_ram: int = 0
    tags: Sequence[str] = ()
    stores: str = ''
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> GlanceImage:
        """Read one of Glance's records."""
        own = {field.name: field.type for field in dataclasses.fields(cls)}
        known = {
            name: value
            for name, value in answer.items()
            if name in own and name != 'properties' and value is not None
        }
        others = {
            name: value
            for name, value in answer.items()
            if name not in BASE_FIELDS and isinstance(value, str)
        }
        return cls(**known, properties=others)

    @property
    def import_task(self) -> str:
        """Id of the task that imports or copies it now; '' for none."""
        return self.properties.get('os_glance_import_task', '')

    @property
    def failed_imports(self) -> tuple[str, ...]:
        """Ids of the stores that the last import or copy failed for."""
        return _listed(self.properties.get('os_glance_failed_import'))

    @property
    def in_stores(self) -> tuple[str, ...]:
        """Ids of the stores that it is in, as far as Glance tells."""
        return _listed(self.stores)

    @property
    def checksum(self) -> str:
        """``algorithm:hexdigest``, '' when Glance knows none."""
        if not self.os_hash_algo or not self.os_hash_value:
            return ''
        return str(checksums.Checksum(self.os_hash_algo, self.os_hash_value))

    def is_visible_to(
        self, project_id: str, accepted_by: Collection[str]
    ) -> bool:
        """Whether a project may use the image, by Glance's rules.

        :param project_id: who asks.
        :param accepted_by: the members that have accepted it.
        """
        if self.visibility in _OPEN_TO_ALL or self.owner == project_id:
            return True
        return self.visibility == 'shared' and project_id in accepted_by


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (text or '').split(',')))


#: The names that are Glance's own; everything else is a property.
BASE_FIELDS = image_properties.FIELDS
