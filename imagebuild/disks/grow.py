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
"""Giving a file system the room that its disk has been given.

What cloud images do themselves at their first boot, done before packages
are installed. Only the last partition can grow, and only when a file system
lies directly in it; everything else is left as it is.
"""

from __future__ import annotations

import logging
from typing import Any

from imagebuild import exception

LOG = logging.getLogger(__name__)

_DISK = '/dev/sda'
_SECTOR = 512
#: Sectors.
_MIB = 2048
#: Sectors that a GPT takes at the end of a disk.
_GPT_END = 34
#: The last sector that a DOS table can tell of, 2 TiB.
_DOS_END = 2**32 - 1


def partition(handle: Any) -> list[str]:
    """Make the last partition as large as the disk lets it be.

    To be called before anything is mounted.

    :param handle: libguestfs', launched, whose first disk is meant; or a
        :class:`raw_disk.RawDisk`.
    :returns: the device whose file system can now grow; none when nothing
        can.
    :raises StepError: its table is one that cannot be changed.
    """
    try:
        kind = handle.part_get_parttype(_DISK)
        last = max(
            handle.part_list(_DISK), key=lambda part: int(part['part_start'])
        )
    except (RuntimeError, ValueError):
        # No partition table: the file system is the disk.
        return [_DISK]
    number = int(last['part_num'])
    if kind not in ('gpt', 'msdos'):
        return []
    if kind == 'msdos' and number > 4:
        # A logical one: the extended one around it would have to grow, too.
        return []
    try:
        _resize(handle, kind, number)
    except RuntimeError as error:
        raise exception.StepError(
            'the partition table cannot be made as large as the disk is to be '
            f'({" ".join(str(error).split())})'
        ) from error
    return [f'{_DISK}{number}']


def _resize(handle: Any, kind: str, number: int) -> None:
    if kind == 'gpt':
        handle.part_expand_gpt(_DISK)
    end = int(handle.blockdev_getsize64(_DISK)) // _SECTOR - _GPT_END
    if kind == 'msdos':
        end = min(end, _DOS_END)
    try:
        handle.part_resize(_DISK, number, end)
    except RuntimeError:
        if kind != 'gpt':
            raise
        # sfdisk's tables end where a MiB does, and sgdisk keeps that when it
        # moves their copy: parted refuses any later sector.
        handle.part_resize(_DISK, number, (end + 1) // _MIB * _MIB - 1)


def filesystem(handle: Any, device: str) -> None:
    """Make a file system as large as its device.

    To be called when everything is mounted.

    :param handle: libguestfs', or that of a sandbox.
    :param device: from :func:`partition`.
    """
    mounted = _mounted(handle, device)
    kind = handle.vfs_type(device)
    try:
        if kind in ('ext2', 'ext3', 'ext4'):
            handle.resize2fs(device)
        elif kind == 'xfs' and mounted:
            handle.xfs_growfs(mounted)
        elif kind == 'btrfs' and mounted:
            handle.btrfs_filesystem_resize(mounted)
        else:
            LOG.info('%s (%s) does not grow', device, kind or 'no file system')
    except RuntimeError as error:
        LOG.warning('%s cannot be made larger: %s', device, error)


def _mounted(handle: Any, device: str) -> str | None:
    """Where a device, or a subvolume of it, is mounted."""
    for name, target in handle.mountpoints().items():
        if name == device or name.startswith(f'btrfsvol:{device}/'):
            return str(target)
    return None
