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
"""From a tree of files to a disk that boots, for every driver.

Everything is written into a sparse raw file by programs that need neither a
mount nor a loop device nor an appliance: the partition table (sfdisk), the
EFI system partition (mkfs.vfat, mcopy), the root file system with its files
(``mke2fs -d``: 2 s for 180 MB, through libguestfs 12 to 29 s) and GRUB's
BIOS sectors. Only a root of another kind than ext4 is filled by the kernel,
see :mod:`imagebuild.disks.root_file_systems`.

Where on the disk what is: :mod:`imagebuild.disks.disk_plan`.

Programs of the tree are run in it, as root of the host: give it only trees
made of trusted packages.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
from collections.abc import Callable
from collections.abc import Sequence
from typing import Protocol

from imagebuild.common import os_errors
from imagebuild.disks import boot_files
from imagebuild.disks import disk_plan
from imagebuild.disks import grub
from imagebuild.disks import root_file_systems
from imagebuild.disks import tree_files
from imagebuild.disks import tree_labels

#: Reports a block as one step.
Step = Callable[[str], contextlib.AbstractContextManager[object]]

_MIB, _SECTOR = disk_plan.MIB, disk_plan.SECTOR
#: Directories in which a running system shows what is not its own: an archive
#: of one has none of them, or this host's devices in them.
_OF_KERNEL = ('dev', 'proc', 'run', 'sys')


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


def unpack(archive: pathlib.Path, tree: pathlib.Path, run: Run) -> None:
    """Make a tree of a tar archive, to make a disk of.

    :param archive: of the whole root file system, numeric owners and
        extended attributes included; compressed or not.
    :param tree: the directory to make.
    :param run: runs a program of the host.
    :raises HostCommandFailed: it is not an archive, or tar failed.
    :raises DiskFull: there is no room on the host.
    """
    with os_errors.on_write(tree):
        tree.mkdir()
    run(
        [
            'tar', '--extract', '--file', str(archive),
            '--directory', str(tree), '--preserve-permissions',
            '--same-owner', '--numeric-owner', '--xattrs',
            '--xattrs-include=*', '--sparse', '--anchored', '--wildcards',
            *(
                f'--exclude={start}{name}/*'
                for name in _OF_KERNEL
                for start in ('', './')
            ),
        ]
    )  # fmt: skip
    files = tree_files.Tree(tree)
    with os_errors.on_write(tree):
        for name in _OF_KERNEL:
            files.make_directory(name)


def make(
    tree: pathlib.Path,
    disk: pathlib.Path,
    plan: disk_plan.DiskPlan,
    run: Run,
    *,
    workspace: pathlib.Path,
    write_mounted: root_file_systems.WriteMounted | None = None,
    step: Step = contextlib.nullcontext,
) -> disk_plan.DiskPlan:
    """Make a raw disk of a tree.

    :param tree: the files, with their owners; /etc/fstab is there. A
        bootable one has what :func:`boot_files.find` looks for; its
        /boot/grub is written here.
    :param disk: the raw file to make.
    :param run: runs a program of the host.
    :param workspace: directory for what is thrown away afterwards.
    :param write_mounted: writes a root that is not ext4.
    :param step: entered for each part of the work, with its name.
    :returns: the plan, with the size of the disk.
    :raises InvalidInput: something is not in the tree that starts it.
    :raises HostCommandFailed: a program failed.
    :raises DiskFull: there is no room on the host.
    """
    plan = plan.sized_for(tree)
    files = tree_files.Tree(tree)
    with os_errors.on_write(disk):
        with disk.open('xb') as stream:
            stream.truncate(plan.size)
        _partition(disk, plan, run, workspace)
        if plan.bootable:
            with step('install the boot loader'):
                found = boot_files.find(files)
                grub.install(files, found, plan, run)
                _write_esp(files, found, disk, plan, run, workspace)
                grub.write_bios_boot(files, found, disk, plan)
        tree_labels.set_labels(files, run)
        with step('write the tree'):
            _write_root(tree, disk, plan, run, workspace, write_mounted)
    return plan


def _partition(
    disk: pathlib.Path,
    plan: disk_plan.DiskPlan,
    run: Run,
    workspace: pathlib.Path,
) -> None:
    # sfdisk, since sgdisk calls sync(2), which waits for whatever this host
    # writes, and then sleeps for a second.
    script = workspace / 'partitions'
    script.write_text(plan.partitions())
    run(
        [
            'sfdisk', '--quiet', '--no-reread', '--no-tell-kernel',
            str(disk),
        ],
        input_file=script,
    )  # fmt: skip


def _write_root(
    tree: pathlib.Path,
    disk: pathlib.Path,
    plan: disk_plan.DiskPlan,
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
    tree: tree_files.Tree,
    files: boot_files.BootFiles,
    disk: pathlib.Path,
    plan: disk_plan.DiskPlan,
    run: Run,
    workspace: pathlib.Path,
) -> None:
    """Make the EFI system partition with the loader for removable disks.

    shim starts the GRUB beside it, both signed; that one looks for its
    configuration in the directory of its distribution.
    """
    own = workspace / 'esp' / 'EFI' / files.distro
    removable = workspace / 'esp' / 'EFI' / 'BOOT'
    own.mkdir(parents=True)
    removable.mkdir()
    shim, loader = tree.find_file(files.shim), tree.find_file(files.loader)
    for directory, shim_name in (
        (own, 'shimx64.efi'),
        (removable, 'BOOTX64.EFI'),
    ):
        shutil.copy(shim or '', directory / shim_name)
        shutil.copy(loader or '', directory / 'grubx64.efi')
    (own / 'grub.cfg').write_text(
        f'search.fs_uuid {plan.root_uuid} root\n'
        f"set prefix=($root)'/{files.grub}'\n"
        'configfile $prefix/grub.cfg\n'
    )
    start = plan.esp_start * _MIB
    sector = str(start // _SECTOR)
    # Clusters of one sector: with larger ones there are too few for FAT32.
    run(
        [
            'mkfs.vfat', '-F', '32', '-s', '1', '-n', 'ESP',
            '-i', plan.esp_id, '-h', sector, '--offset', sector,
            str(disk), str(plan.esp_size * 1024),
        ]
    )  # fmt: skip
    source = str(workspace / 'esp' / 'EFI')
    run(['mcopy', '-s', '-i', f'{disk}@@{start}', source, '::/'])
