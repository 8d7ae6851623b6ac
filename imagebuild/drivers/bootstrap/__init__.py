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
"""Base images from scratch, out of a distribution's own packages.

mmdebstrap makes the tree and :mod:`imagebuild.disks.bootable` the disk.
Nothing is mounted on the host and no appliance is started; only packages of
the distribution run their maintainer scripts, in a chroot with mounts and
processes of its own that end with this program.
"""

from imagebuild.drivers.base import DiskFormat
from imagebuild.drivers.base import DiskMonitor
from imagebuild.drivers.base import FileArtifact
from imagebuild.drivers.bootstrap.driver import BootstrapDriver
from imagebuild.drivers.bootstrap.options import BootstrapOptions

__all__ = [
    'BootstrapDriver',
    'BootstrapOptions',
    'DiskFormat',
    'DiskMonitor',
    'FileArtifact',
]
