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
"""File systems that a disk's root may have."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Literal
from typing import Protocol

FileSystem = Literal['ext4', 'xfs', 'btrfs']

#: The label of the root.
LABEL = 'root'

# Newer mke2fs turns on features (metadata_csum_seed, orphan_file) that GRUB
# and kernels of older releases cannot read; so the host's own configuration is
# not used.
_MKE2FS_CONF = """\
[defaults]
    base_features = sparse_super,large_file,filetype,resize_inode,dir_index,\
ext_attr
    default_mntopts = acl,user_xattr
    blocksize = 4096
    inode_size = 256
    inode_ratio = 16384
[fs_types]
    ext4 = {
        features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,\
dir_nlink,extra_isize
    }
"""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file system.

    :ivar program: makes it, on the host.
    :ivar package: that it is in, on the host.
    :ivar grub_module: GRUB's reader of it.
    :ivar fstab: options and the two numbers, of fstab(5).
    :ivar machine_packages: what a guest needs to make it larger, besides
        what all have.
    :ivar mounted: it is filled by the kernel, since its program does not
        keep everything, or not in all versions.
    """

    program: str
    package: str
    grub_module: str
    fstab: str
    machine_packages: tuple[str, ...]
    mounted: bool


#: mkfs.xfs' prototype file knows no extended attributes and no hard links;
#: ``mkfs.btrfs --rootdir`` made several files of one with several names for
#: years. Neither can write into a part of a file.
KINDS: Mapping[FileSystem, Kind] = {
    'ext4': Kind(
        'mke2fs',
        'e2fsprogs',
        'ext2',
        'rw,errors=remount-ro 0 1',
        (),
        mounted=False,
    ),
    # Both repair themselves when they are mounted; fsck does nothing.
    'xfs': Kind(
        'mkfs.xfs', 'xfsprogs', 'xfs', 'rw 0 0', ('xfsprogs',), mounted=True
    ),
    'btrfs': Kind(
        'mkfs.btrfs',
        'btrfs-progs',
        'btrfs',
        'rw 0 0',
        ('btrfs-progs',),
        mounted=True,
    ),
}


class WriteMounted(Protocol):
    """Makes a file system in a part of a disk and has the kernel fill it."""

    def __call__(
        self,
        tree: pathlib.Path,
        disk: pathlib.Path,
        *,
        kind: FileSystem,
        offset: int,
        size: int,
        uuid: str,
    ) -> object:
        """Do it; everything is in the disk's file, and nothing mounted.

        :param tree: what it is filled with.
        :param disk: the raw file.
        :param offset: byte at which the file system begins.
        :param size: its bytes.
        :param uuid: what it is found by.
        :raises EnvironmentFault: it failed.
        """


def mke2fs(
    tree: pathlib.Path,
    disk: pathlib.Path,
    *,
    uuid: str,
    offset: int,
    size: int,
    workspace: pathlib.Path,
) -> list[str]:
    """The command that writes a tree as ext4 into a part of a new disk.

    :param offset: byte at which the part begins.
    :param size: its bytes.
    :param workspace: directory for its configuration.
    """
    conf = workspace / 'mke2fs.conf'
    conf.write_text(_MKE2FS_CONF)
    # The disk is new, so what is not written is zero: lazy is complete.
    extended = f'offset={offset},lazy_itable_init=1,lazy_journal_init=1'
    return [
        'env', f'MKE2FS_CONFIG={conf}',
        'mke2fs', '-q', '-F', '-t', 'ext4', '-L', LABEL, '-U', uuid,
        '-d', str(tree), '-E', extended, str(disk), f'{size // 1024}k',
    ]  # fmt: skip
