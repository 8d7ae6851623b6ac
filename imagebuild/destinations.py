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
"""Where finished images go: this cloud, and others that have a name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from typing import Self

#: The name of the destination that every service has.
HERE = ''

_PUBLIC = (
    'description',
    'disk_format',
    'container_format',
    'max_image_size',
    'projects',
)


@dataclasses.dataclass(frozen=True)
class Destination:
    """One place that images are uploaded to, as the operator described it.

    No secrets are in it: how to log in is in the sections that a job is
    given beside it. It goes to the job as JSON (:meth:`to_document`).

    :ivar name: as requests call it; '' for this cloud.
    :ivar store: name of the store, see :mod:`imagebuild.stores`.
    :ivar description: for people.
    :ivar cloud: its name in ``clouds.yaml``; '' for the service user's.
    :ivar clouds_file: where that is looked for; '' for the usual places.
    :ivar region_name: of the image service; '' for what the cloud says.
    :ivar valid_interfaces: of the image service's endpoints, in the order in
        which they are tried; empty for what the cloud says.
    :ivar disk_format: of an image whose request has none; '' for ``qcow2``.
    :ivar container_format: likewise; '' for ``bare``.
    :ivar import_methods: ways in which images get into Glance, the preferred
        one first; empty for those of ``[glance]``.
    :ivar max_image_size: bytes that an image's file may have; 0 for no limit.
    :ivar timeout: seconds for one attempt at an upload.
    :ivar attempts: how many there are.
    :ivar enabled: whether new images may go there; those that are there can
        be deleted in any case.
    :ivar hide_undeletable: whether an image that is to be deleted, and is
        protected or in use, is taken off the lists of images until it is.
    :ivar projects: ids of those that may use it; empty for all.
    """

    name: str = HERE
    store: str = 'glance'
    description: str = ''
    cloud: str = ''
    clouds_file: str = ''
    region_name: str = ''
    valid_interfaces: tuple[str, ...] = ()
    disk_format: str = ''
    container_format: str = ''
    import_methods: tuple[str, ...] = ()
    max_image_size: int = 0
    timeout: int = 3600
    attempts: int = 4
    enabled: bool = True
    hide_undeletable: bool = False
    projects: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """How messages call it."""
        return f'destination "{self.name}"' if self.name else 'this cloud'

    def is_for(self, project_id: str) -> bool:
        """Whether a project may have new images put there."""
        return self.enabled and (
            not self.projects or project_id in self.projects
        )

    def formats(self, request: Mapping[str, Any]) -> tuple[str, str]:
        """The formats that the image of a request has here.

        :param request: ``disk_format`` and ``container_format`` of it win.
        :returns: disk format and container format.
        """
        return (
            str(request.get('disk_format') or self.disk_format or 'qcow2'),
            str(
                request.get('container_format')
                or self.container_format
                or 'bare'
            ),
        )

    def public(self) -> dict[str, Any]:
        """What the API may know of it, and what it needs to know."""
        document = self.to_document()
        return {name: document[name] for name in _PUBLIC}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read one.

        :param document: of :meth:`to_document`. Names that are not known are
            left out; None and what is missing mean the default.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in document.items()
            if name in known and value is not None
        }
        return cls(**values)

    def to_document(self) -> dict[str, Any]:
        """Plain values that can be written as JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }
