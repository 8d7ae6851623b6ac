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
"""Where on a disk what is: partition tables, and the files that name it.

A bootable disk starts in machines with a BIOS and in those with UEFI. Its
root is number 1 and lies last, so that it can grow; with a GPT the numbers
are those of Debian's cloud images.

======  ===========  ===================================================
number  MiB          what
======  ===========  ===================================================
GPT
14      1 to 4       BIOS boot partition: GRUB's core image
15      4 to 128     EFI system partition: shim and GRUB
1       128 to end   root
MBR
..      0 to 1       GRUB's core image, from the second sector on
2       1 to 128     EFI system partition
1       128 to end   root
======  ===========  ===================================================

A disk that is not bootable has partition 1 only, from 1 MiB to the end.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import secrets
import uuid
from typing import Literal

from imagebuild.disks import root_file_systems

#: The kind of partition table.
Table = Literal['gpt', 'mbr']
TABLES: tuple[Table, ...] = ('gpt', 'mbr')
#: Bytes that a disk with an MBR may have: its sectors are counted by 32 bits.
MBR_LIMIT = 2 * 1024**4 - 512

ROOT_PARTITION = 1
MIB = 1024 * 1024
SECTOR = 512
_ROOT_START, _PLAIN_START = 128, 1
#: Types of partitions: any Linux file system, root of x86-64, and so on.
_GPT_LINUX = '0FC63DAF-8483-4772-8E79-3D69D8477DE4'
_GPT_LINUX_ROOT = '4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709'
_GPT_BIOS_BOOT = '21686148-6449-6E6F-744E-656564454649'
_GPT_EFI_SYSTEM = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'
_MBR_LINUX, _MBR_EFI_SYSTEM = '83', 'ef'

# What a root has besides its content when nobody has said how large it is to
# be: what a first boot and a few packages take. The rest is what file systems
# keep for themselves (ext4: 5 % and its journal).
_MARGIN = 768 * MIB
_OVERHEAD = 1.15
#: Bytes of a file besides its blocks: an inode, and its name.
_OF_FILE = 512
_BLOCK = 4096
#: Disks by content are multiples of it.
_STEP = 64 * MIB


@dataclasses.dataclass(frozen=True)
class DiskPlan:
    """What a disk will be, known before its tree is made.

    :ivar size: bytes, a multiple of a MiB; 0 to have it chosen when the
        tree is there, see :meth:`sized_for`.
    :ivar bootable: whether there are a kernel and GRUB in the tree.
    :ivar root_uuid: of the root file system.
    :ivar esp_id: of the EFI system partition, 8 hexadecimal digits.
    :ivar file_system: of the root. A btrfs has it in its top volume, where
        everything finds it without being told.
    :ivar title: name in the boot menu.
    :ivar table: kind of the partition table.
    """

    size: int
    bootable: bool
    root_uuid: str = dataclasses.field(
        default_factory=lambda: str(uuid.uuid4())
    )
    esp_id: str = dataclasses.field(
        default_factory=lambda: secrets.token_hex(4).upper()
    )
    file_system: root_file_systems.FileSystem = 'ext4'
    title: str = 'Linux'
    table: Table = 'gpt'

    @property
    def root_start(self) -> int:
        """MiB from the start of the disk to the root file system."""
        return _ROOT_START if self.bootable else _PLAIN_START

    @property
    def root_size(self) -> int:
        """MiB of the root; the last one keeps the backup GPT."""
        return self.size // MIB - self.root_start - 1

    @property
    def esp_start(self) -> int:
        """MiB from the start of the disk to the EFI system partition."""
        return 4 if self.table == 'gpt' else 1

    @property
    def esp_size(self) -> int:
        """MiB of the EFI system partition."""
        return _ROOT_START - self.esp_start

    @property
    def core_start(self) -> int:
        """Byte at which GRUB's core image for a BIOS begins."""
        return MIB if self.table == 'gpt' else SECTOR

    @property
    def core_size(self) -> int:
        """Bytes that the core image may have."""
        return self.esp_start * MIB - self.core_start

    @property
    def kind(self) -> root_file_systems.Kind:
        """What is known of its root's file system."""
        return root_file_systems.KINDS[self.file_system]

    def fstab(self) -> str:
        """Content of the tree's /etc/fstab."""
        lines = [
            f'UUID={self.root_uuid} / {self.file_system} {self.kind.fstab}',
        ]
        if self.bootable:
            esp = f'{self.esp_id[:4]}-{self.esp_id[4:]}'
            lines.append(f'UUID={esp} /boot/efi vfat umask=0077 0 2')
        return ''.join(f'{line}\n' for line in lines)

    def partitions(self) -> str:
        """The partition table as sfdisk wants to be told it."""
        # number, MiB from the start, MiB, type
        root = (ROOT_PARTITION, self.root_start, self.root_size)
        esp = (self.esp_start, self.esp_size)
        rows: list[tuple[int, int, int, str]]
        if self.table == 'mbr':
            # Some BIOSes start nothing where no partition is active.
            rows = [(*root, f'{_MBR_LINUX}, bootable')]
            if self.bootable:
                rows.append((2, *esp, _MBR_EFI_SYSTEM))
        elif self.bootable:
            rows = [
                (14, 1, self.esp_start - 1, _GPT_BIOS_BOOT),
                (15, *esp, _GPT_EFI_SYSTEM),
                (*root, _GPT_LINUX_ROOT),
            ]
        else:
            rows = [(*root, _GPT_LINUX)]
        label = 'gpt' if self.table == 'gpt' else 'dos'
        lines = [f'label: {label}', 'unit: sectors', f'sector-size: {SECTOR}']
        lines.extend(
            f'{number} : start={start * MIB // SECTOR}, '
            f'size={size * MIB // SECTOR}, type={kind}'
            for number, start, size, kind in rows
        )
        return ''.join(f'{line}\n' for line in lines)

    def sized_for(self, tree: pathlib.Path) -> DiskPlan:
        """The plan with a size; the same when it has one.

        :param tree: complete, but for what the boot loader needs.
        """
        if self.size:
            return self
        root = int(content_size(tree) * _OVERHEAD) + _MARGIN
        size = root + (self.root_start + 1) * MIB
        return dataclasses.replace(self, size=-(-size // _STEP) * _STEP)


def content_size(tree: pathlib.Path) -> int:
    """Bytes that the files of a tree take in a file system.

    :param tree: a directory; links are not followed.
    """
    seen: set[tuple[int, int]] = set()
    total = 0
    for directory, names, files in os.walk(tree):
        for name in (*names, *files):
            found = os.lstat(os.path.join(directory, name))
            total += _OF_FILE
            identity = (found.st_dev, found.st_ino)
            if found.st_nlink > 1 and identity in seen:
                continue
            seen.add(identity)
            # A file of this host may be smaller than its blocks elsewhere.
            total += max(-(-found.st_blocks * 512 // _BLOCK), 0) * _BLOCK
    return total
