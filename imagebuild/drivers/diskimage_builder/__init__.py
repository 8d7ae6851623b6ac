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
"""Base images out of the elements of diskimage-builder.

``disk-image-create -t tar`` makes the tree, in namespaces of its own on a
host that it can only read, and :mod:`imagebuild.disks.bootable` the disk.
Elements are programs that run as root on this host: which ones users may name
is the operator's decision.
"""

from imagebuild.drivers.diskimage_builder.driver import DiskImageBuilderDriver
from imagebuild.drivers.diskimage_builder.options import DibOptions

__all__ = ['DibOptions', 'DiskImageBuilderDriver']
