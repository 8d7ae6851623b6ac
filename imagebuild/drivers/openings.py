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
"""What a disk is opened with; see :mod:`imagebuild.drivers.open_disk`."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from imagebuild.disks import image_file
from imagebuild.disks import workspaces
from imagebuild.drivers import isolations
from imagebuild.remotes import guest_settings


class Notices(Protocol):
    """Who is told; monitors of programs and of drivers are."""

    def notice(self, message: str) -> None:
        """Called with a message for the user."""


@dataclasses.dataclass(frozen=True)
class Opening:
    """What is opened, and how.

    :ivar disk: the overlay, with what is under it; it is written to.
    :ivar name: how messages call it.
    :ivar workspace: around the overlay; what is started is recorded there.
    :ivar settings: which system is meant, limits, the appliance's settings.
    :ivar root_option: how the user says which system is meant, for messages;
        '' for imagebuild-pack's.
    :ivar choice: in what it is opened.
    :ivar grown: the disk is larger than what is under it: its last partition
        and the file system in it are made larger.
    :ivar served: layers will be taken of it, in the appliance, too.
    """

    disk: image_file.ImageInfo
    name: str
    workspace: workspaces.Workspace
    settings: guest_settings.GuestSettings
    root_option: str = ''
    choice: isolations.Choice = isolations.Choice()
    grown: bool = False
    served: bool = False
