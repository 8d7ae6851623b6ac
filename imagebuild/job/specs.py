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
"""What a conductor tells a job, the only thing that goes to it.

Written by the conductor (``to_document``) as the one line of JSON on the job's
standard input, and read by the job (``from_document``), which may be of a
later release: an upgrade replaces the files under a running conductor.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import cast

from imagebuild import artifacts
from imagebuild.common import checksums
from imagebuild.drivers import base as drivers
from imagebuild.stores.base import ImageCopy
from imagebuild.stores.base import ImageProperties
from imagebuild.stores.base import Stamp

Config = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class BuildSpec:
    """What is to be built.

    :ivar request: the body of the request, hidden values included.
    :ivar base: what was resolved when the build was accepted.
    :ivar workspace: an existing directory of this build only.
    :ivar output: the file to make.
    :ivar config: sections by name.
    :ivar steps_digest: of the steps that were accepted, None if nobody knows.
    :ivar project_id: whose build it is, '' if nobody knows.
    :ivar timeout: seconds, None for no limit.
    """

    request: Mapping[str, Any]
    base: drivers.BaseImage
    driver: str
    driver_options: Mapping[str, Any]
    workspace: pathlib.Path
    output: pathlib.Path
    disk_format: drivers.OutputFormat
    config: Config
    steps_digest: str | None = None
    project_id: str = ''
    build_id: str = ''
    attempt: int = 1
    timeout: float | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> BuildSpec:
        """Read one.

        :raises KeyError: a part is missing.
        :raises TypeError: a part is something else.
        """
        return cls(
            request=document['request'],
            base=drivers.BaseImage.from_dict(document['base']),
            driver=document['driver'],
            driver_options=document.get('driver_options') or {},
            workspace=pathlib.Path(document['workspace']),
            output=pathlib.Path(document['output']),
            disk_format=cast(drivers.OutputFormat, document['disk_format']),
            config=document['config'],
            steps_digest=document.get('steps_digest'),
            project_id=document.get('project_id') or '',
            build_id=document.get('build_id') or '',
            attempt=document.get('attempt') or 1,
            timeout=document.get('timeout'),
        )

    def to_document(self) -> dict[str, Any]:
        """Write it, as JSON has it."""
        return {
            **_plain(self),
            'action': 'build',
            'base': self.base.to_dict(),
        }


@dataclasses.dataclass(frozen=True)
class ImageSource:
    """An image that gives back a file that no conductor has any more.

    :ivar destination: where it is, '' for this cloud.
    :ivar store: name of the store there.
    :ivar build_id: of the build that made it; others may use it.
    :ivar disk_format: what it is.
    :ivar size: bytes.
    :ivar checksum: that its store has computed.
    :ivar artifact: id that the file has in the repository then.
    :ivar config: sections by name, those of that destination.
    """

    destination: str
    store: str
    image_id: str
    build_id: str
    disk_format: str
    size: int
    checksum: checksums.Checksum
    artifact: str
    config: Config

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ImageSource:
        """Read what ``dataclasses.asdict`` made.

        :raises TypeError: it is something else.
        """
        checksum = checksums.Checksum(**document['checksum'])
        return cls(**{**document, 'checksum': checksum})


@dataclasses.dataclass(frozen=True)
class UploadSpec:
    """What is to be uploaded.

    :ivar destination: its name, '' for this cloud.
    :ivar store: name of the store there.
    :ivar repository: directory of the repository that has the file.
    :ivar artifact: id of the file in it; of no matter with a ``source``.
    :ivar disk_format: in which it is to be uploaded; converted if need be.
    :ivar image: fields and properties of the image, as of
        :class:`ImageProperties`, without its formats.
    :ivar config: sections by name, those of the destination.
    :ivar copies: active images of the same content that its Glance may copy.
    :ivar timeout: seconds, None for no limit.
    :ivar source: where the file comes from, None if the repository has it.
    :ivar made: the image that a cloud has made, which is adopted; None if a
        file is uploaded.
    """

    upload_id: str
    build_id: str
    project_id: str
    destination: str
    store: str
    repository: pathlib.Path
    artifact: str
    disk_format: str
    container_format: str
    image: Mapping[str, Any]
    content_key: str
    config: Config
    copies: Sequence[ImageCopy] = ()
    timeout: float | None = None
    source: ImageSource | None = None
    made: artifacts.ImageArtifact | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> UploadSpec:
        """Read one; what a later release added is passed over.

        :raises KeyError: a part is missing.
        :raises TypeError: a part is something else.
        """
        values = {
            field.name: document[field.name]
            for field in dataclasses.fields(cls)
            # What this release added is not in one of the release before.
            if field.name in document or field.default is dataclasses.MISSING
        }
        values['repository'] = pathlib.Path(values['repository'])
        values['copies'] = [_copy(each) for each in values.get('copies', ())]
        if values.get('source') is not None:
            values['source'] = ImageSource.from_document(values['source'])
        if values.get('made') is not None:
            values['made'] = artifacts.ImageArtifact.from_document(
                values['made']
            )
        spec = cls(**values)
        # Now, not when half of it is done.
        _ = spec.properties
        return spec

    def to_document(self) -> dict[str, Any]:
        """Write it, as JSON has it."""
        return {
            **_plain(self),
            'action': 'upload',
            'copies': [dataclasses.asdict(each) for each in self.copies],
            'source': self.source and dataclasses.asdict(self.source),
            'made': self.made and self.made.to_document(),
        }

    @property
    def properties(self) -> ImageProperties:
        """Fields and properties of the image.

        :raises TypeError: there is one that is not known.
        """
        return ImageProperties.from_dict(
            {
                'owner': self.project_id,
                **self.image,
                'disk_format': self.disk_format,
                'container_format': self.container_format,
            }
        )

    @property
    def stamp(self) -> Stamp:
        """What the image is marked with."""
        return Stamp(
            build_id=self.build_id,
            upload_id=self.upload_id,
            content_key=self.content_key,
        )


@dataclasses.dataclass(frozen=True)
class ValidationSpec:
    """Which machines are to be looked at, and for what.

    :ivar request: fields of a description, and ``reconcile``; hidden values
        included.
    :ivar hosts: each with name, address, port, user and host_key.
    :ivar credentials: ``private_key``, ``passphrase``, ``password`` and
        ``sudo_password``, those that there are.
    :ivar parallel: how many machines at a time.
    :ivar timeout: seconds for all of it.
    """

    request: Mapping[str, Any]
    hosts: Sequence[Mapping[str, Any]]
    credentials: Mapping[str, str] = dataclasses.field(repr=False)
    config: Config
    accept_unknown_host_keys: bool
    parallel: int
    timeout: float

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ValidationSpec:
        """Read one; what a later release added is passed over.

        :raises KeyError: a part is missing.
        """
        return cls(
            **{
                field.name: document[field.name]
                for field in dataclasses.fields(cls)
            }
        )

    def to_document(self) -> dict[str, Any]:
        """Write it, as JSON has it."""
        return {**_plain(self), 'action': 'validate'}


@dataclasses.dataclass(frozen=True)
class ReapSpec:
    """What attempts have left in a cloud.

    :ivar driver: name of the driver that they were made with.
    :ivar attempts: build id and number of each that is reaped.
    :ivar look: whether to find out which attempts have left something.
    :ivar timeout: seconds for all of it.
    """

    driver: str
    attempts: Sequence[tuple[str, int]]
    config: Config
    timeout: float
    look: bool = False

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ReapSpec:
        """Read one; what a later release added is passed over.

        :raises KeyError: a part is missing.
        :raises ValueError: a part is something else.
        """
        return cls(
            driver=document['driver'],
            attempts=[
                (str(build_id), int(attempt))
                for build_id, attempt in document['attempts']
            ],
            config=document['config'],
            timeout=document['timeout'],
            look=bool(document.get('look')),
        )

    def to_document(self) -> dict[str, Any]:
        """Write it, as JSON has it."""
        return {**_plain(self), 'action': 'reap'}


def _copy(document: Mapping[str, Any]) -> ImageCopy:
    checksum = document.get('checksum')
    known = checksums.Checksum(**checksum) if checksum else None
    return ImageCopy(**{**document, 'checksum': known})


def _plain(spec: Any) -> dict[str, Any]:
    found = {
        field.name: getattr(spec, field.name)
        for field in dataclasses.fields(spec)
    }
    return {
        name: str(value) if isinstance(value, pathlib.PurePath) else value
        for name, value in found.items()
    }
