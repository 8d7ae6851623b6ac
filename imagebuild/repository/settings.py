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
"""The section of the configuration file, read."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any
from typing import Self

from imagebuild.repository import limits
from imagebuild.repository import store

_MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Settings:
    """Where and how much.

    :ivar directory: of the repository.
    """

    directory: pathlib.Path
    limits: limits.Limits

    @classmethod
    def from_config(cls, config: Mapping[str, Mapping[str, Any]]) -> Self:
        """Read the sections that a job is given.

        :param config: ``repository``, as of
            :func:`imagebuild.conf.repository.values`, and ``disks``.
        """
        section = config['repository']
        reserve = section.get('reserve')
        if reserve is None:
            reserve = config.get('disks', {}).get('space_reserve') or 0
        return cls(
            pathlib.Path(section['directory']),
            limits.Limits(
                max_bytes=int(section.get('max_size') or 0) * 1024 * _MIB,
                max_age=float(section.get('max_age') or 0),
                max_number=int(section.get('max_images') or 0),
                reserve=int(reserve) * _MIB,
            ),
        )

    def open(self) -> store.Repository:
        """Open the repository.

        :raises ImageBuildError: see :class:`store.Repository`.
        """
        return store.Repository(self.directory, self.limits)
