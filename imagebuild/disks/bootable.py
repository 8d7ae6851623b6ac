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
"""From a tree of files to a disk that boots.

Everything is written into a sparse raw file by programs that need neither a
mount nor a loop device nor an appliance: the partition table (sfdisk), the
EFI system partition (mkfs.vfat, mcopy), the root file system with its files
(``mke2fs -d``: 2 s for 180 MB, through libguestfs 12 to 29 s) and GRUB's
BIOS sectors. Only a root of another kind than ext4 is filled by the kernel,
see :mod:`imagebuild.disks.root_file_systems`.

A bootable disk has the partition numbers of Debian's cloud images: the root
is number 1 and lies last, so that it can grow.

======  ==========  ===================================================
number  MiB         what
======  ==========  ===================================================
14      1 to 4      BIOS boot partition: GRUB's core image
15      4 to 128    EFI system partition: shim and GRUB
1       128 to end  root
======  ==========  ===================================================

A disk that is not bootable has partition 1 only, from 1 MiB to the end.

Programs of the tree are run in it, as root of the host: give it only trees
made of trusted packages.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import secrets
import shutil
import uuid
from collections.abc import Callable
from collections.abc import Sequence
from typing import Protocol

from imagebuild import exception
from imagebuild.common import os_errors
from imagebuild.disks import grub
from imagebuild.disks import root_file_systems

ROOT_PARTITION = 1
#: Reports a block as one step.
Step = Callable[[str], contextlib.AbstractContextManager[object]]

_MIB = 1024 * 1024
_SECTOR = 512
_BIOS_START, _ESP_START, _ROOT_START, _PLAIN_START = 1, 4, 128, 1
_ESP_NUMBER, _BIOS_NUMBER = 15, 14
#: Types of partitions: any Linux file system, root of x86-64, and so on.
_LINUX = '0FC63DAF-8483-4772-8E79-3D69D8477DE4'
_LINUX_ROOT = '4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709'
_BIOS_BOOT = '21686148-6449-6E6F-744E-656564454649'
_EFI_SYSTEM = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'
_BIOS_SIZE = _ESP_START - _BIOS_START
_ESP_SIZE = _ROOT_START - _ESP_START


class Run(Protocol):
    """Runs a program of this host."""

    def __call__(
        self, argv: Sequence[str], *, input_file: pathlib.Path | None = None
    ) -> object:
        """Run it.

        :param argv: the command.
        :param input_file: its standard input; empty by default.
        :raises EnvironmentFault: it failed.
        """


@dataclasses.dataclass(frozen=True)
class DiskPlan:
    """What a disk will be, known before its tree is made.

    :ivar size: bytes, a multiple of a MiB.
    :ivar bootable: whether there are a kernel and GRUB in the tree.
    :ivar root_uuid: of the root file system.
    :ivar esp_id: of the EFI system partition, 8 hexadecimal digits.
    :ivar file_system: of the root. A btrfs has it in its top volume, where
        everything finds it without being told.
    :ivar title: name in the boot menu.
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

    @property
    def root_start(self) -> int:
        """MiB from the start of the disk to the root file system."""
        return _ROOT_START if self.bootable else _PLAIN_START

    @property
    def root_size(self) -> int:
        """MiB of the root; the last one keeps the backup GPT."""
        return self.size // _MIB - self.root_start - 1

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


def make(
    tree: pathlib.Path,
    disk: pathlib.Path,
    plan: DiskPlan,
    run: Run,
    *,
    workspace: pathlib.Path,
    write_mounted: root_file_systems.WriteMounted | None = None,
    step: Step = contextlib.nullcontext,
) -> None:
    """Make a raw disk of a tree.

    :param tree: the files, with their owners; /etc/fstab is there. A
        bootable one has /vmlinuz, /initrd.img and GRUB's files in
        /usr/lib/grub; its /boot/grub is written here.
    :param disk: the raw file to make.
    :param run: runs a program of the host.
    :param workspace: directory for what is thrown away afterwards.
    :param write_mounted: writes a root that is not ext4.
    :param step: entered for each part of the work, with its name.
    :raises HostCommandFailed: a program failed.
    :raises DiskFull: there is no room on the host.
    """
    with os_errors.on_write(disk):
        with disk.open('xb') as stream:
            stream.truncate(plan.size)
        _partition(disk, plan, run, workspace)
        if plan.bootable:
            with step('install the boot loader'):
                grub.install(
                    tree,
                    plan.root_uuid,
                    run,
                    plan.title,
                    plan.kind.grub_module,
                )
                _write_esp(tree, disk, plan, run, workspace)
                grub.write_bios_boot(
                    tree, disk, _BIOS_START * _MIB, _BIOS_SIZE * _MIB
                )
        with step('write the tree'):
            _write_root(tree, disk, plan, run, workspace, write_mounted)


def _partition(
    disk: pathlib.Path, plan: DiskPlan, run: Run, workspace: pathlib.Path
) -> None:
    # sfdisk, since sgdisk calls sync(2), which waits for whatever this host
    # writes, and then sleeps for a second.
    script = workspace / 'partitions'
    script.write_text(_partitions(plan))
    run(
        [
            'sfdisk', '--quiet', '--no-reread', '--no-tell-kernel',
            str(disk),
        ],
        input_file=script,
    )  # fmt: skip


def _partitions(plan: DiskPlan) -> str:
    """The partition table as sfdisk wants to be told it."""
    # number, MiB from the start, MiB, type
    rows = [(ROOT_PARTITION, plan.root_start, plan.root_size, _LINUX)]
    if plan.bootable:
        rows = [
            (_BIOS_NUMBER, _BIOS_START, _BIOS_SIZE, _BIOS_BOOT),
            (_ESP_NUMBER, _ESP_START, _ESP_SIZE, _EFI_SYSTEM),
            (ROOT_PARTITION, plan.root_start, plan.root_size, _LINUX_ROOT),
        ]
    lines = ['label: gpt', 'unit: sectors', f'sector-size: {_SECTOR}']
    lines.extend(
        f'{number} : start={start * _MIB // _SECTOR}, '
        f'size={size * _MIB // _SECTOR}, type={kind}'
        for number, start, size, kind in rows
    )
    return ''.join(f'{line}\n' for line in lines)


def _write_root(
    tree: pathlib.Path,
    disk: pathlib.Path,
    plan: DiskPlan,
    run: Run,
    workspace: pathlib.Path,
    write_mounted: root_file_systems.WriteMounted | None,
) -> None:
    offset, size = plan.root_start * _MIB, plan.root_size * _MIB
    if not plan.kind.mounted:
        run(
            root_file_systems.mke2fs(
                tree,
                disk,
                uuid=plan.root_uuid,
                offset=offset,
                size=size,
                workspace=workspace,
            )
        )
        return
    if write_mounted is None:
        raise ValueError(f'Nothing is there to write {plan.file_system}.')
    write_mounted(
        tree,
        disk,
        kind=plan.file_system,
        offset=offset,
        size=size,
        uuid=plan.root_uuid,
    )


def _write_esp(
    tree: pathlib.Path,
    disk: pathlib.Path,
    plan: DiskPlan,
    run: Run,
    workspace: pathlib.Path,
) -> None:
    """Make the EFI system partition with the loader for removable disks.

    shim starts the GRUB beside it, both signed; that one looks for its
    configuration in the directory of its distribution.
    """
    distro = _efi_name(tree)
    own = workspace / 'esp' / 'EFI' / distro
    removable = workspace / 'esp' / 'EFI' / 'BOOT'
    own.mkdir(parents=True)
    removable.mkdir()
    loader = tree / 'usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed'
    shim = tree / 'usr/lib/shim/shimx64.efi.signed'
    if not shim.exists():
        # Newer packages name the signature's owner, too.
        shim = shim.with_name('shimx64.efi.signed.latest')
    for directory, shim_name in (
        (own, 'shimx64.efi'),
        (removable, 'BOOTX64.EFI'),
    ):
        shutil.copy(shim, directory / shim_name)
        shutil.copy(loader, directory / 'grubx64.efi')
    (own / 'grub.cfg').write_text(
        f'search.fs_uuid {plan.root_uuid} root\n'
        "set prefix=($root)'/boot/grub'\n"
        'configfile $prefix/grub.cfg\n'
    )
    start = _ESP_START * _MIB
    sector = str(start // _SECTOR)
    # Clusters of one sector: with larger ones there are too few for FAT32.
    run(
        [
            'mkfs.vfat', '-F', '32', '-s', '1', '-n', 'ESP',
            '-i', plan.esp_id, '-h', sector, '--offset', sector,
            str(disk), str(_ESP_SIZE * 1024),
        ]
    )  # fmt: skip
    source = str(workspace / 'esp' / 'EFI')
    run(['mcopy', '-s', '-i', f'{disk}@@{start}', source, '::/'])


def _efi_name(tree: pathlib.Path) -> str:
    for line in (tree / 'usr/lib/os-release').read_text().splitlines():
        if line.startswith('ID='):
            return line.removeprefix('ID=').strip('"')
    raise exception.InvalidInput('The tree has no ID in its os-release.')
