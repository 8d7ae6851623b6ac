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
"""What of a disk may be mounted by this host, and what is left to others.

The job makes a :class:`Plan` of what was found on the disk, without touching
it, and hands it to the supervisor (:mod:`mounts`).
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any
from typing import NoReturn
from typing import Self

from imagebuild import exception
from imagebuild.common import disk_layout
from imagebuild.sandbox import mount_calls

#: blkid's kind -> the kernel's. ext4 knows its ancestors, and is what all
#: distributions have.
KINDS = {
    'ext2': 'ext4',
    'ext3': 'ext4',
    'ext4': 'ext4',
    'xfs': 'xfs',
    'btrfs': 'btrfs',
    'vfat': 'vfat',
}
#: The kind of an EFI system partition.
ESP = 'vfat'
#: What is never mounted for a Linux system that is packed.
_NO_MATTER = frozenset(
    {'', 'swap', 'swsuspend', 'iso9660', 'squashfs', 'ntfs', 'udf', 'exfat'}
)
#: What holds file systems without being one.
_VOLUMES = {
    'LVM2_member': 'logical volumes (LVM)',
    'LVM1_member': 'logical volumes (LVM)',
    'crypto_LUKS': 'an encrypted file system (LUKS)',
    'linux_raid_member': 'a software RAID',
    'zfs_member': 'ZFS volumes',
    'bcache': 'a cached device (bcache)',
}
_TABLES = ('', 'gpt', 'dos')


@dataclasses.dataclass(frozen=True)
class Plan:
    """What of a disk may be mounted.

    :ivar disk: the raw file, as the supervisor sees it.
    :ivar filesystems: what is on it.
    :ivar readonly: nothing is written to it, not even a journal replayed.
    :ivar image: what messages call it.
    """

    disk: pathlib.Path
    filesystems: tuple[disk_layout.FileSystem, ...]
    readonly: bool = False
    image: str = 'the image'

    def to_json(self) -> dict[str, Any]:
        """As it is sent to the supervisor."""
        return {**dataclasses.asdict(self), 'disk': str(self.disk)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returned."""
        found = tuple(
            disk_layout.FileSystem(**each) for each in raw['filesystems']
        )
        disk = pathlib.Path(raw['disk'])
        return cls(disk, found, raw['readonly'], raw['image'])


def plan(
    layout: disk_layout.DiskLayout,
    disk: pathlib.Path,
    *,
    image: str,
    readonly: bool = False,
) -> Plan:
    """Decide whether this host may mount what is on a disk.

    :param layout: what was found on it (``disks.partitions.read``).
    :param disk: its raw file, as the supervisor sees it.
    :param image: what messages call it.
    :raises NotForSandbox: it has volumes or file systems that are left to
        the appliance (LVM, LUKS, RAID, f2fs, ...).
    """
    if layout.table not in _TABLES:
        refuse(image, f'its partition table is of the kind {layout.table}')
    for each in layout.filesystems:
        if each.kind in _VOLUMES or each.kind.endswith('_member'):
            held = _VOLUMES.get(each.kind, f'volumes ({each.kind})')
            refuse(image, f'{each.device} holds {held}')
        if each.kind not in KINDS and each.kind not in _NO_MATTER:
            refuse(image, f'{each.device} holds {each.kind}')
        kind = KINDS.get(each.kind, ESP)
        # A partition for the firmware that is not mounted is no matter; one
        # that cannot be mounted is found when it is tried.
        if kind != ESP and not mount_calls.knows(kind):
            refuse(
                image,
                f"{each.device} holds {each.kind}, which this host's kernel "
                'does not know',
            )
    return Plan(disk, layout.filesystems, readonly, image)


def refuse(image: str, reason: str) -> NoReturn:
    """Leave an image to the appliance.

    :raises NotForSandbox: always; with the reason.
    """
    raise exception.NotForSandbox(path=image, reason=reason)
