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
"""What a build ends with: a file, or an image that is in Glance already.

A driver returns one of the two from ``OpenDisk.finish``, the build job reports
it, and a store takes it: ``Store.upload`` a file, ``Store.adopt`` an image.

What an attempt makes in a cloud while it works (servers, ports, key pairs,
images that are not finished) has the :class:`AttemptStamp` of that attempt, so
that it is found again when the attempt is gone: ``Driver.reap``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Mapping
from typing import Any
from typing import Literal

#: What a file can be, as Glance calls it.
OutputFormat = Literal['qcow2', 'raw', 'vmdk', 'vhd', 'vdi']
#: What a driver's builds end with.
Kind = Literal['file', 'image']

#: Property of all that a service makes in a cloud: its id.
SERVICE = 'imagebuild_service'
#: Property of what an attempt has made: ``<build id>/<attempt>``.
ATTEMPT = 'imagebuild_attempt'

_UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
_VALUE = re.compile(rf'({_UUID})/([1-9]\d{{0,8}})')
_NAME = re.compile(rf'imagebuild-([0-9a-f]{{12}})-({_UUID})-([1-9]\d{{0,8}})')


@dataclasses.dataclass(frozen=True)
class AttemptStamp:
    """What an attempt marks everything with that it makes in a cloud.

    :ivar service: id of the service, which tells its builds from those of
        another imagebuild service in the same cloud.
    :ivar build_id: of the build, a UUID.
    :ivar attempt: its number, from 1.
    """

    service: str
    build_id: str
    attempt: int

    def properties(self) -> dict[str, str]:
        """For what has properties or metadata: images, servers, volumes."""
        return {
            SERVICE: self.service,
            ATTEMPT: f'{self.build_id}/{self.attempt}',
        }

    @property
    def name(self) -> str:
        """For what has nothing but a name: key pairs, ports.

        Of at most 80 characters, all of them letters, digits and hyphens.
        """
        return (
            f'imagebuild-{_short(self.service)}-{self.build_id}-{self.attempt}'
        )

    @classmethod
    def from_properties(
        cls, properties: Mapping[str, Any], service: str
    ) -> AttemptStamp | None:
        """Read it; None where there is none of this service."""
        found = _VALUE.fullmatch(str(properties.get(ATTEMPT) or ''))
        if found is None or properties.get(SERVICE) != service:
            return None
        return cls(service, found[1], int(found[2]))

    @classmethod
    def from_name(cls, name: str, service: str) -> AttemptStamp | None:
        """Read it; None where there is none of this service."""
        found = _NAME.fullmatch(name)
        if found is None or found[1] != _short(service):
            return None
        return cls(service, found[2], int(found[3]))


@dataclasses.dataclass(frozen=True)
class FileArtifact:
    """A disk file that a driver made.

    :ivar path: the file.
    :ivar format: ``qcow2``, ``raw``, ``vmdk``, ``vhd`` or ``vdi``.
    :ivar virtual_size: bytes that the guest sees.
    """

    path: pathlib.Path
    format: OutputFormat
    virtual_size: int


@dataclasses.dataclass(frozen=True)
class ImageArtifact:
    """An image that a driver has had a cloud make: a snapshot, say.

    It is active, has :meth:`AttemptStamp.properties`, and belongs to the
    service user's project, where ``Driver.reap`` looks for it, or to the one
    that asked for the build.

    :ivar image_id: its id in Glance.
    :ivar stamp: of the attempt that made it.
    :ivar destination: in whose Glance it is; '' for that of this cloud.
    """

    image_id: str
    stamp: AttemptStamp
    destination: str = ''

    def to_document(self) -> dict[str, Any]:
        """The form that jobs are told, and that is stored; plain JSON."""
        return {
            'image_id': self.image_id,
            'destination': self.destination,
            **dataclasses.asdict(self.stamp),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ImageArtifact:
        """Read one; what a later release added is passed over.

        :raises KeyError: a part is missing.
        :raises ValueError: a part is something else.
        """
        return cls(
            image_id=str(document['image_id']),
            stamp=AttemptStamp(
                str(document['service']),
                str(document['build_id']),
                int(document['attempt']),
            ),
            destination=str(document.get('destination') or ''),
        )


#: What ``OpenDisk.finish`` returns.
Artifact = FileArtifact | ImageArtifact


def _short(service: str) -> str:
    # The id may be of any length, and of any characters.
    return hashlib.sha256(service.encode()).hexdigest()[:12]
