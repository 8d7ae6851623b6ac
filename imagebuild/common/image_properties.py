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
"""Which properties a request may give an image.

The service user writes them, whom Glance lets write nearly everything; so a
request must not name what other services trust because users cannot write
it. The API checks a request with it, the store again before it writes.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Self

#: Fields of the image itself; a property of that name would be the field, and
#: one of a request could give the image to another project.
FIELDS = frozenset(
    {
        'checksum', 'container_format', 'created_at', 'deleted',
        'deleted_at', 'direct_url', 'disk_format', 'file', 'id', 'is_public',
        'links', 'locations', 'members', 'min_disk', 'min_ram', 'name',
        'os_hash_algo', 'os_hash_value', 'os_hidden', 'owner', 'protected',
        'schema', 'self', 'size', 'status', 'stores', 'tags', 'updated_at',
        'virtual_size', 'visibility',
    }
)  # fmt: skip

#: Names, as shell patterns, that no operator can allow: this service finds
#: its own images by them, and Glance refuses them.
_OURS = ('imagebuild_*', 'os_glance*')

#: Names, as shell patterns, that other services write or trust.
RESERVED = (
    # Glance deletes the key with the image, with rights the user may lack.
    *('cinder_encryption_key*', 'os_encrypt*'),
    # Nova: keys, signatures, and what it writes into its snapshots. A
    # mapping names volumes and snapshots to boot from.
    *('hw_ephemeral_encryption_secret_uuid', 'img_signature*'),
    *('block_device_mapping', 'bdm_v2', 'mappings', 'image_location'),
    # Glance's own, in one or another of its API versions.
    *('location', 'os_hash*', 'deleted', 'is_public'),
)


@dataclasses.dataclass(frozen=True)
class Rules:
    """What an operator configures beyond that; shell patterns of names.

    :ivar allowed: taken although reserved.
    :ivar denied: refused as well.
    """

    allowed: Sequence[str] = ()
    denied: Sequence[str] = ()

    @classmethod
    def from_section(cls, section: Mapping[str, Any]) -> Self:
        """Read the options of ``[glance]``.

        :param section: ``allowed_properties``, ``denied_properties``; what is
            left out is empty.
        """
        return cls(
            allowed=tuple(section.get('allowed_properties') or ()),
            denied=tuple(section.get('denied_properties') or ()),
        )

    def error(self, name: str) -> str | None:
        """Return why a request may not set a property, None if it may."""
        # Databases of Glance may compare without regard to case.
        key = name.lower()
        # In this order: no operator can allow what would be a field or is
        # ours.
        if key in FIELDS:
            return 'this is a field of the image itself'
        if _any(key, _OURS):
            return 'the name is reserved by the image service or this one'
        if _any(key, self.denied):
            return 'the operator of this cloud does not allow this property'
        if _any(key, RESERVED) and not _any(key, self.allowed):
            return 'the name is reserved for other services of the cloud'
        return None


def _any(key: str, patterns: Sequence[str]) -> bool:
    return any(
        fnmatch.fnmatchcase(key, pattern.lower()) for pattern in patterns
    )
