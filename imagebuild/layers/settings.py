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
"""How a host keeps layers."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any
from typing import Self

from imagebuild.layers import session
from imagebuild.layers import store

_MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Settings:
    """Where, how much and when.

    :ivar directory: of the store; see :class:`store.Store`.
    """

    directory: pathlib.Path
    limits: store.Limits
    policy: session.Policy

    @classmethod
    def from_config(
        cls, config: Mapping[str, Mapping[str, Any]]
    ) -> Self | None:
        """Read the sections that a job is given.

        :param config: ``layers``, as of
            :func:`imagebuild.conf.layers.values`, and ``disks``.
        :returns: None where no layers are kept.
        """
        section = config.get('layers') or {}
        if not section.get('enabled') or not section.get('directory'):
            return None
        reserve = config.get('disks', {}).get('space_reserve') or 0
        return cls(
            pathlib.Path(section['directory']),
            store.Limits(
                max_bytes=int(section.get('max_size') or 0) * 1024 * _MIB,
                max_age=float(section.get('max_age') or 0),
                reserve=int(reserve) * _MIB,
            ),
            session.Policy(
                min_seconds=float(section.get('min_seconds') or 0),
                package_max_age=float(section.get('package_max_age') or 0),
            ),
        )

    def store(self) -> store.Store:
        """Open the store.

        :raises ImageBuildError: see :class:`store.Store`.
        """
        return store.Store(self.directory, self.limits)

    def policy_for(
        self, *, use: bool, max_age: float | None
    ) -> session.Policy:
        """The policy of one build.

        :param use: False: layers are made, and none is used.
        :param max_age: seconds; what was fetched longer ago is not used,
            None for no matter.
        """
        policy = dataclasses.replace(self.policy, use=use)
        if max_age is None:
            return policy
        known = policy.package_max_age or float('inf')
        # 0 would be for ever.
        return dataclasses.replace(
            policy,
            package_max_age=min(known, max_age),
            use=use and max_age > 0,
        )
