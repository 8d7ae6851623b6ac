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
"""Records of what is in images."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class PackageVersion:
    """A package at a version, in some images of a project.

    :ivar type: of its ecosystem: ``deb``, ``pypi`` or ``rpm``.
    :ivar architecture: '' where there is none.
    """

    id: int
    type: str
    name: str
    version: str
    architecture: str


@dataclasses.dataclass(frozen=True, order=True)
class PackagePlace:
    """Where a list of images that hold packages goes on: after these.

    :ivar image: id of the image's row.
    """

    package: int
    sbom: int
    image: str


@dataclasses.dataclass(frozen=True)
class HeldPackage:
    """A package in an active image.

    :ivar image_id: in the store of its destination.
    :ivar build_id: of a build that has the image; '' when none is left.
    :ivar build_name: of that build.
    """

    place: PackagePlace
    package: PackageVersion
    project_id: str
    image_id: str
    destination: str
    disk_format: str
    build_id: str = ''
    build_name: str = ''
