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
"""The options of the driver ``bootstrap``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from typing import ClassVar

from imagebuild.drivers import disk_options
from imagebuild.drivers import from_scratch
from imagebuild.drivers import option_schema
from imagebuild.drivers.bootstrap import releases

#: GiB. A minimal Debian takes 0.2, a bootable one 0.7; both want room for
#: what will be installed. Unused room takes none in the file.
_DEFAULT_SIZE = {True: 3, False: 4}
#: GiB. Below, the tree or the packages' unpacking finds no room.
_LEAST_SIZE = {True: 1, False: 2}


def _sizes(minimal: bool) -> dict[str, Any]:
    bounds = option_schema.integer(
        _LEAST_SIZE[minimal], disk_options.LARGEST_SIZE, 'GiB'
    )
    return {'properties': {'size': bounds}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BootstrapOptions(from_scratch.Options):
    """What to make a base image of.

    :ivar os: name of the release.
    :ivar minimal: no kernel, no bootloader, no cloud-init: what apt needs.
    :ivar size: GiB of the disk; 0 becomes the size by default.
    """

    os: str = dataclasses.field(
        metadata=option_schema.described(
            'Release of a distribution that the disk is made of.',
            {
                'enum': list(releases.RELEASES),
                'x-message': 'is not known; known are '
                + ', '.join(releases.RELEASES),
            },
        )
    )
    minimal: bool = dataclasses.field(
        default=False,
        metadata=option_schema.described(
            'No kernel, no boot loader, no cloud-init: what the package '
            'manager needs and nothing else.',
            option_schema.BOOLEAN,
        ),
    )
    # Its bounds are in the conditions: they depend on minimal.
    size: int = dataclasses.field(
        default=0,
        metadata={
            'description': 'GiB of the disk; 4 by default, 3 with minimal.'
        },
    )
    conditions: ClassVar[Mapping[str, Any]] = {
        'if': {
            'required': ['minimal'],
            'properties': {'minimal': {'const': True}},
        },
        'then': _sizes(minimal=True),
        'else': _sizes(minimal=False),
        **from_scratch.Options.conditions,
    }

    def __post_init__(self) -> None:
        if not self.size:
            object.__setattr__(self, 'size', _DEFAULT_SIZE[self.minimal])

    @property
    def release(self) -> releases.Release:
        """What to make."""
        return releases.RELEASES[self.os]
