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
"""The base image of a build: what was resolved, and what it is on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from typing import Literal

Kind = Literal['glance', 'url', 'path', 'none']


@dataclasses.dataclass(frozen=True)
class BaseImage:
    """What a build starts from, as the conductor resolved it.

    It is stored with the build and given to the job as JSON
    (:meth:`to_dict`), so what is built is what was accepted, also when the
    catalogue or a name in Glance has changed meanwhile.

    :ivar driver: name of the driver that will open it.
    :ivar kind: where it is; ``none`` for drivers that want no base image.
    :ivar id: id in Glance, '' for other kinds.
    :ivar location: URL or path, '' for other kinds.
    :ivar checksum: ``algorithm:hexdigest``; '' only for a path without
        one.
    :ivar size: bytes of the file, 0 when not known.
    :ivar disk_format: what it is said to be (``qcow2``, ``raw``), '' when
        nothing is said.
    :ivar os: name in the catalogue, '' for ``base_image`` of a request.
    :ivar identity: what decides its content; part of the content key.
    """

    driver: str = ''
    kind: Kind = 'none'
    id: str = ''
    location: str = ''
    checksum: str = ''
    size: int = 0
    disk_format: str = ''
    os: str = ''
    identity: str = ''

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BaseImage:
        """Read one; names that are not known are left out."""
        names = {field.name for field in dataclasses.fields(cls)}
        known = {
            name: value
            for name, value in values.items()
            if name in names and value is not None
        }
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """The form that is stored."""
        return dataclasses.asdict(self)
