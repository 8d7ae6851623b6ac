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
"""What of a tree starts it: its kernel, GRUB, and the loaders for UEFI.

Distributions have them in other places; what is found is used, and nothing is
asked of a distribution's name.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.disks import tree_files

#: GRUB for a BIOS: boot.img, the core image's parts and modules.
_MODULES = ('usr/lib/grub/i386-pc', 'usr/share/grub2/i386-pc')
_MKIMAGE = ('grub-mkimage', 'grub2-mkimage')
_PROGRAMS = ('usr/bin', 'usr/sbin', 'bin', 'sbin')
#: shim and the GRUB that it starts, both signed; {} is the distribution's ID.
_LOADERS = (
    (
        # Newer packages name the signature's owner, too.
        (
            'usr/lib/shim/shimx64.efi.signed',
            'usr/lib/shim/shimx64.efi.signed.latest',
        ),
        ('usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed',),
    ),
    (
        ('boot/efi/EFI/{}/shimx64.efi', 'boot/efi/EFI/BOOT/BOOTX64.EFI'),
        ('boot/efi/EFI/{}/grubx64.efi',),
    ),
    (('usr/share/efi/x86_64/shim.efi',), ('usr/share/efi/x86_64/grub.efi',)),
)
#: Links to the newest kernel and its initramfs, which its package keeps.
_KERNEL_LINKS = (
    ('vmlinuz', 'initrd.img'),
    ('boot/vmlinuz', 'boot/initrd'),
    ('boot/vmlinuz', 'boot/initrd.img'),
)
_KERNEL = re.compile(r'vmlinuz-(?P<version>(?!0-rescue).+)')
_INITRDS = ('initramfs-{}.img', 'initrd.img-{}', 'initrd-{}')


@dataclasses.dataclass(frozen=True)
class BootFiles:
    """Paths in the tree, relative to its root.

    :ivar distro: the distribution's ID; its directory of the EFI system
        partition.
    :ivar grub: GRUB's own directory.
    :ivar modules: GRUB for a BIOS.
    :ivar mkimage: the program that makes its core image.
    :ivar shim: started by UEFI, and starts
    :ivar loader: GRUB for UEFI.
    :ivar kernel: of Linux.
    :ivar initrd: what the kernel starts from.
    """

    distro: str
    grub: str
    modules: str
    mkimage: str
    shim: str
    loader: str
    kernel: str
    initrd: str


def find(tree: tree_files.Tree) -> BootFiles:
    """Find what a tree is started with.

    :raises InvalidInput: something is not there; names all of it.
    """
    distro = _distro(tree)
    modules = _first(tree, [f'{name}/boot.img' for name in _MODULES])
    mkimage = _first(
        tree, [f'{place}/{name}' for name in _MKIMAGE for place in _PROGRAMS]
    )
    shim, loader = _loaders(tree, distro)
    kernel, initrd = _kernel(tree)
    lacking = [
        what
        for what, found in (
            ('a kernel with its initramfs', kernel),
            ('GRUB for a BIOS (boot.img)', modules),
            ('grub-mkimage', mkimage),
            ('shim and a signed GRUB for UEFI', loader),
        )
        if not found
    ]
    if lacking:
        raise exception.InvalidInput(
            f'The disk cannot be made bootable: its tree lacks '
            f'{"; ".join(lacking)}.'
        )
    program = mkimage.rpartition('/')[2]
    return BootFiles(
        distro=distro,
        grub='boot/grub2' if program.startswith('grub2') else 'boot/grub',
        modules=modules.rpartition('/')[0],
        mkimage=program,
        shim=shim,
        loader=loader,
        kernel=kernel,
        initrd=initrd,
    )


def _distro(tree: tree_files.Tree) -> str:
    text = tree.read('etc/os-release') or tree.read('usr/lib/os-release')
    for line in text.splitlines():
        if line.startswith('ID='):
            name = line.removeprefix('ID=').strip('"\'')
            # It becomes the name of a directory.
            if re.fullmatch(r'[a-z0-9][a-z0-9._-]*', name):
                return name
    raise exception.InvalidInput('The tree has no ID in its os-release.')


def _first(tree: tree_files.Tree, names: Sequence[str]) -> str:
    return next((name for name in names if tree.find_file(name)), '')


def _loaders(tree: tree_files.Tree, distro: str) -> tuple[str, str]:
    for shims, loaders in _LOADERS:
        shim = _first(tree, [name.format(distro) for name in shims])
        loader = _first(tree, [name.format(distro) for name in loaders])
        if shim and loader:
            return shim, loader
    return '', ''


def _kernel(tree: tree_files.Tree) -> tuple[str, str]:
    """The kernel that a package keeps a link to, or else the newest one."""
    for kernel, initrd in _KERNEL_LINKS:
        if tree.find_file(kernel) and tree.find_file(initrd):
            return kernel, initrd
    versions = [
        match['version']
        for name in tree.names('boot')
        if (match := _KERNEL.fullmatch(name))
    ]
    for version in sorted(versions, key=_by_version, reverse=True):
        for name in _INITRDS:
            initrd = f'boot/{name.format(version)}'
            if tree.find_file(initrd):
                return f'boot/vmlinuz-{version}', initrd
    return '', ''


def _by_version(text: str) -> list[tuple[int, int, str]]:
    """6.10 after 6.9."""
    # Not by int(), which takes 4300 digits and no more.
    return [
        (1, len(digits := part.lstrip('0')), digits)
        if part[0].isdecimal()
        else (0, 0, part)
        for part in re.findall(r'\d+|\D+', text)
    ]
