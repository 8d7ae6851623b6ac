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
"""An open disk that a disk server holds: layers can be taken of it."""

from __future__ import annotations

import dataclasses
import pathlib

from imagebuild.disks import image_file
from imagebuild.disks import server
from imagebuild.remotes import disk_remote


@dataclasses.dataclass(frozen=True)
class ServedDisk:
    """A disk that is open.

    :ivar remote: reaches inside.
    """

    remote: disk_remote.DiskRemote
    _server: server.DiskServer

    @property
    def top(self) -> image_file.ImageInfo:
        """What is written to now, with what is under it."""
        return self._server.chain[-1]

    def snapshot(self, path: pathlib.Path) -> None:
        """Have further writes go to a new overlay; nothing runs meanwhile.

        What was written before is complete in the file that was
        :attr:`top`.

        :param path: the overlay to be made.
        :raises EnvironmentFault: the file systems cannot be brought to rest,
            there is no room, or the server failed.
        """
        with self.remote.resting():
            self._server.snapshot(path)
