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
"""A guest that is open in either isolation, for tests."""

import contextlib
import pathlib
from collections.abc import Iterator

from imagebuild import appliance
from imagebuild.disks import image_file
from imagebuild.disks import overlay
from imagebuild.drivers import isolations
from imagebuild.remotes import disk_remote
from imagebuild.remotes import guestfs
from tests.integration import sandboxes


@contextlib.contextmanager
def opened(
    isolation: isolations.Isolation,
    image: pathlib.Path,
    directory: pathlib.Path,
) -> Iterator[disk_remote.DiskRemote]:
    """Open an overlay over an image; close it at the end of the block.

    :param image: which is only read.
    :param directory: for the overlay and everything else.
    """
    if isolation == 'sandbox':
        with sandboxes.opened(image, directory) as remote:
            yield remote
        return
    disk = directory / 'overlay.qcow2'
    overlay.create(image_file.inspect(image), disk)
    drives = [appliance.Drive(disk, 'qcow2')]
    with guestfs.GuestfsRemote(drives, workspace=directory) as remote:
        yield remote
