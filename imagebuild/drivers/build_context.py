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
"""What a driver is told of the build that it opens a disk for."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any
from typing import Literal

from imagebuild import artifacts
from imagebuild.drivers.disk_monitor import DiskMonitor
from imagebuild.drivers.settings import Settings

#: Where a base image is.
BaseImageKind = Literal['glance', 'url', 'path', 'none']


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
    :ivar disk_format: what it should be (``qcow2``, ``raw``), '' when that
        is not known.
    :ivar os: name in the catalogue, '' for ``base_image`` of a request.
    :ivar identity: what decides its content; part of the content key.
    """

    driver: str = ''
    kind: BaseImageKind = 'none'
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildContext:
    """One attempt of one build.

    :ivar base_image: what :meth:`Driver.prepared` gave, or what was resolved
        when the build was accepted.
    :ivar options: of the driver, as for :meth:`Driver.validate`, which is
        called first.
    :ivar workspace: an existing directory of this attempt only, on a file
        system with room for what the build adds to the disk.
    :ivar settings: of this conductor; ``settings.sections`` has those
        sections of the configuration that the driver has declared.
    :ivar monitor: called with the steps and the download's progress.
    :ivar build_id: id of the build, a UUID; '' outside of the service.
    :ivar attempt: its number, from 1.
    :ivar project_id: of the project that has asked for the build, which the
        image will belong to; '' if nobody knows.
    """

    base_image: BaseImage
    options: Mapping[str, Any]
    workspace: pathlib.Path
    settings: Settings
    monitor: DiskMonitor = dataclasses.field(default_factory=DiskMonitor)
    build_id: str = ''
    attempt: int = 1
    project_id: str = ''

    def stamp(self) -> artifacts.AttemptStamp:
        """What everything is marked with that is made outside of this host.

        :raises ServiceUnavailable: Keystone is asked who this is, and is away.
        """
        return self.settings.stamp(self.build_id, self.attempt)
