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
"""What ``os`` stands for: the element of an operating system, a release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from imagebuild.drivers.bootstrap import releases


class System(NamedTuple):
    """An operating system.

    :ivar element: that makes its root.
    :ivar release: as that element calls it.
    """

    element: str
    release: str


#: Those of the driver bootstrap have the same names there, so that an entry
#: of the catalogue for one is an entry for the other.
SYSTEMS: Mapping[str, System] = {
    **{
        name: System(f'{release.distro}-minimal', release.codename)
        for name, release in releases.RELEASES.items()
    },
    'centos-9-stream': System('centos-minimal', '9-stream'),
    'centos-10-stream': System('centos-minimal', '10-stream'),
    'fedora-41': System('fedora-minimal', '41'),
    'fedora-42': System('fedora-minimal', '42'),
    'opensuse-15.6': System('opensuse-minimal', '15.6'),
}


def release_of(name: str) -> releases.Release | None:
    """What is known of a release whose packages apt installs.

    :param name: as the element calls it, such as ``bookworm``.
    """
    for release in releases.RELEASES.values():
        if release.codename == name:
            return release
    return None
