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
"""What a run has to know of a system as it was before its first step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from typing import Self

from imagebuild import exception
from imagebuild.distros import os_releases
from imagebuild.remotes.base import Remote

MACHINE_ID = '/etc/machine-id'
#: machine-id(5): what stands there in an image that has not booted yet.
UNSET = (None, b'', b'\n', b'uninitialized\n', b'uninitialized')
#: Stands for an identity, which is nobody else's business.
_SET = b'set'


@dataclasses.dataclass(frozen=True)
class BaseFacts:
    """A system before the first step.

    :ivar os_release: decides which family it is, and which branches.
    :ivar machine_id: content of /etc/machine-id, None without that file;
        ``b'set'`` in place of a real identity.
    """

    os_release: os_releases.OsRelease
    machine_id: bytes | None

    @classmethod
    def read(cls, remote: Remote, release: os_releases.OsRelease) -> Self:
        """Look at a system.

        :param release: was read already.
        """
        found = read_machine_id(remote)
        return cls(release, found if found in UNSET else _SET)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote.

        :raises KeyError: it is something else.
        :raises TypeError: likewise.
        """
        release = dict(values['os_release'])
        release['id_like'] = tuple(release['id_like'])
        known = values['machine_id']
        return cls(
            os_releases.OsRelease(**release),
            None if known is None else str(known).encode(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        known = self.machine_id
        return {
            'os_release': os_release_values(self.os_release),
            'machine_id': None if known is None else known.decode('ascii'),
        }


def os_release_values(release: os_releases.OsRelease) -> dict[str, Any]:
    """The fields of os-release as plain values for JSON."""
    return dataclasses.asdict(release) | {'id_like': list(release.id_like)}


def read_machine_id(remote: Remote) -> bytes | None:
    """The content of /etc/machine-id, None without that file."""
    try:
        return remote.read_file(MACHINE_ID)
    except exception.RemoteFileNotFound:
        return None
