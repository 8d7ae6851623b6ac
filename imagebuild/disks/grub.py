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
"""GRUB in a tree and on the first sectors of a disk."""

from __future__ import annotations

import os
import pathlib
import struct
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import NamedTuple

from imagebuild import exception
from imagebuild.disks import boot_files
from imagebuild.disks import disk_plan
from imagebuild.disks import tree_files

#: The serial console last: it is /dev/console, which clouds record.
KERNEL_ARGUMENTS = 'console=tty0 console=ttyS0,115200'


_SECTOR = 512
# Where boot.img and the first sector of core.img keep what grub-bios-setup
# fills in: include/grub/i386/pc/boot.h and grub-core/boot/i386/pc/*.S.
_BOOT_CODE_SIZE = 440
_BOOT_KERNEL_SECTOR = 0x5C
_BOOT_DRIVE_CHECK = 0x66
_CORE_BLOCK_LIST = 0x1F4
_CORE_SEGMENT = 0x820
_NOPS = b'\x90\x90'


_DEFAULTS = f"""\
# Written by imagebuild.
GRUB_TIMEOUT=1
GRUB_CMDLINE_LINUX="{KERNEL_ARGUMENTS}"
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
"""


class _Table(NamedTuple):
    """How GRUB calls a kind of partition table.

    :ivar module: its reader of it.
    :ivar prefix: of the number of a partition.
    """

    module: str
    prefix: str


_TABLES: Mapping[disk_plan.Table, _Table] = {
    'gpt': _Table('part_gpt', 'gpt'),
    'mbr': _Table('part_msdos', 'msdos'),
}


def install(
    tree: tree_files.Tree,
    files: boot_files.BootFiles,
    plan: disk_plan.DiskPlan,
    run: Callable[[Sequence[str]], object],
) -> None:
    """Make the tree's /boot/grub, as grub-install and update-grub do.

    grub-install wants the disk as a device, and update-grub asks what
    device / is on; neither exists yet. The first upgrade of the kernel in
    the guest runs update-grub and replaces grub.cfg.

    :param files: of the tree.
    :param plan: of the disk.
    :param run: runs a program of the host.
    """
    tree.copy_files(files.modules, f'{files.grub}/i386-pc')
    tree.make_directory('boot/efi')
    tree.write(f'{files.grub}/grub.cfg', _configuration(files, plan))
    table = _TABLES[plan.table]
    run(
        [
            'chroot', str(tree.path), files.mkimage, '--format=i386-pc',
            f'--prefix=(,{table.prefix}{disk_plan.ROOT_PARTITION})'
            f'/{files.grub}',
            f'--output=/{files.grub}/i386-pc/core.img',
            'biosdisk', table.module, plan.kind.grub_module,
        ]
    )  # fmt: skip


def write_defaults(tree: tree_files.Tree, *, grub_cloud: bool) -> None:
    """Have update-grub of the Debian family say what we do.

    :param grub_cloud: whether the package grub-cloud-amd64 is in the tree.
    """
    tree.write('etc/default/grub.d/50_imagebuild.cfg', _DEFAULTS)
    if grub_cloud:
        # It waits for it; there was no disk to install to until
        # now.
        tree.write('etc/grub.d/enable_cloud', '')


def _configuration(
    files: boot_files.BootFiles, plan: disk_plan.DiskPlan
) -> str:
    root = plan.root_uuid
    arguments = f'root=UUID={root} ro {KERNEL_ARGUMENTS}'
    return f"""\
# Written by imagebuild; update-grub replaces it.
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=1
search --no-floppy --fs-uuid --set=root {root}
menuentry '{plan.title}' {{
    linux /{files.kernel} {arguments}
    initrd /{files.initrd}
}}
menuentry '{plan.title} (recovery mode)' {{
    linux /{files.kernel} {arguments} single
    initrd /{files.initrd}
}}
"""


def write_bios_boot(
    tree: tree_files.Tree,
    files: boot_files.BootFiles,
    disk: pathlib.Path,
    plan: disk_plan.DiskPlan,
) -> None:
    """Write what grub-bios-setup would: first sector and core image.

    :param tree: after :func:`install`.
    :param files: of the tree.
    :param disk: the raw disk, with its partition table.
    :param plan: of the disk.
    :raises InvalidInput: the core image has no room.
    """
    modules = tree.make_directory(f'{files.grub}/i386-pc')
    core_start = plan.core_start // _SECTOR
    core = core_image((modules / 'core.img').read_bytes(), core_start)
    if len(core) > plan.core_size:
        raise exception.InvalidInput(
            "GRUB's core image does not fit before the first partition."
        )
    boot = boot_code((modules / 'boot.img').read_bytes(), core_start)
    descriptor = os.open(disk, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, boot, 0)
        os.pwrite(descriptor, core, plan.core_start)
    finally:
        os.close(descriptor)


def boot_code(boot_image: bytes, core_start: int) -> bytes:
    """Make the 440 bytes before the disk's partition table.

    :param boot_image: GRUB's boot.img.
    :param core_start: sector of the core image.
    """
    code = bytearray(boot_image[:_BOOT_CODE_SIZE])
    struct.pack_into('<Q', code, _BOOT_KERNEL_SECTOR, core_start)
    # Some BIOSes do not pass on which disk they booted; then it is the first.
    code[_BOOT_DRIVE_CHECK : _BOOT_DRIVE_CHECK + 2] = _NOPS
    return bytes(code)


def core_image(core: bytes, start: int) -> bytes:
    """Tell a core image's first sector where the others are.

    :param core: what grub-mkimage made.
    :param start: its first sector; the others follow.
    """
    patched = bytearray(core)
    sectors = -(-len(core) // _SECTOR)
    struct.pack_into(
        '<QHH', patched, _CORE_BLOCK_LIST, start + 1, sectors - 1,
        _CORE_SEGMENT,
    )  # fmt: skip
    return bytes(patched)
