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
import shutil
import struct
from collections.abc import Callable
from collections.abc import Sequence

from imagebuild import exception

#: The serial console last: it is /dev/console, which clouds record.
KERNEL_ARGUMENTS = 'console=tty0 console=ttyS0,115200'


_SECTOR = 512
# What is needed to find /boot/grub on the disk it was started from.
_CORE_MODULES = ('biosdisk', 'part_gpt')
# Where boot.img and the first sector of core.img keep what grub-bios-setup
# fills in: include/grub/i386/pc/boot.h and grub-core/boot/i386/pc/*.S.
_BOOT_CODE_SIZE = 440
_BOOT_KERNEL_SECTOR = 0x5C
_BOOT_DRIVE_CHECK = 0x66
_CORE_BLOCK_LIST = 0x1F4
_CORE_SEGMENT = 0x820
_NOPS = b'\x90\x90'


def install(
    tree: pathlib.Path,
    root_uuid: str,
    run: Callable[[Sequence[str]], object],
    title: str,
    file_system: str,
) -> None:
    """Make the tree's /boot/grub, as grub-install and update-grub do.

    grub-install wants the disk as a device, and update-grub asks what
    device / is on; neither exists yet. The first upgrade of the kernel in
    the guest runs update-grub and replaces grub.cfg.

    :param tree: has GRUB's files in /usr/lib/grub.
    :param root_uuid: of the file system that the tree will be.
    :param run: runs a program of the host.
    :param title: name in the menu.
    :param file_system: GRUB's module that reads the root's.
    """
    grub = tree / 'boot' / 'grub'
    modules = grub / 'i386-pc'
    grub.mkdir(exist_ok=True)
    shutil.copytree(tree / 'usr/lib/grub/i386-pc', modules)
    (tree / 'boot' / 'efi').mkdir(exist_ok=True)
    (grub / 'grub.cfg').write_text(_configuration(root_uuid, title))
    run(
        [
            'chroot', str(tree), 'grub-mkimage', '--format=i386-pc',
            '--prefix=(,gpt1)/boot/grub',
            '--output=/boot/grub/i386-pc/core.img', *_CORE_MODULES,
            file_system,
        ]
    )  # fmt: skip


def _configuration(root_uuid: str, title: str) -> str:
    arguments = f'root=UUID={root_uuid} ro {KERNEL_ARGUMENTS}'
    return f"""\
# Written by imagebuild; update-grub replaces it.
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=1
search --no-floppy --fs-uuid --set=root {root_uuid}
menuentry '{title}' {{
    linux /vmlinuz {arguments}
    initrd /initrd.img
}}
menuentry '{title} (recovery mode)' {{
    linux /vmlinuz {arguments} single
    initrd /initrd.img
}}
"""


def write_bios_boot(
    tree: pathlib.Path, disk: pathlib.Path, start: int, size: int
) -> None:
    """Write what grub-bios-setup would: first sector and core image.

    :param tree: after :func:`install`.
    :param disk: the raw disk, with its partition table.
    :param start: byte at which the BIOS boot partition starts.
    :param size: its bytes.
    :raises InvalidInput: the core image is larger than that.
    """
    modules = tree / 'boot/grub/i386-pc'
    core_start = start // _SECTOR
    core = core_image((modules / 'core.img').read_bytes(), core_start)
    if len(core) > size:
        raise exception.InvalidInput(
            "GRUB's core image does not fit into its partition."
        )
    boot = boot_code((modules / 'boot.img').read_bytes(), core_start)
    descriptor = os.open(disk, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, boot, 0)
        os.pwrite(descriptor, core, start)
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
