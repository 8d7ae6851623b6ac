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
"""Mounted file systems that are made as large as their devices.

The kernel does it, asked as xfs_growfs(8) and btrfs(8) ask it. An ext4 grows
before it is mounted (``disks.raw_disk``).
"""

from __future__ import annotations

import fcntl
import struct

#: The commands of ioctl(2), with the sizes of what goes with them.
_XFS_GEOMETRY = 0x80705864
_XFS_GROW_DATA = 0x4010586E
_BTRFS_RESIZE = 0x50009403

#: struct xfs_fsop_geom_v1: its size, and where block size and imaxpct are.
_GEOMETRY = 112
_BLOCK_SIZE = 0
_MOST_INODES = 28
#: struct btrfs_ioctl_vol_args: a descriptor and a name.
_VOLUME = struct.Struct('=q4088s')


def xfs(root: int, size: int) -> None:
    """Grow an XFS.

    :param root: descriptor of its root.
    :param size: bytes of its device.
    :raises OSError: the kernel refuses.
    """
    geometry = fcntl.ioctl(root, _XFS_GEOMETRY, bytes(_GEOMETRY))
    (block,) = struct.unpack_from('=I', geometry, _BLOCK_SIZE)
    # The share of inodes stays as it is.
    (most,) = struct.unpack_from('=I', geometry, _MOST_INODES)
    wanted = struct.pack('=QI4x', size // block, most)
    fcntl.ioctl(root, _XFS_GROW_DATA, wanted)


def btrfs(root: int) -> None:
    """Grow a btrfs of one device to all of it.

    :param root: descriptor of its root.
    :raises OSError: the kernel refuses.
    """
    # More than 1024 bytes are taken only when they can be written to.
    fcntl.ioctl(root, _BTRFS_RESIZE, bytearray(_VOLUME.pack(0, b"max")))
