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

import pathlib
import struct
import uuid
from collections.abc import Sequence

import pytest

from imagebuild.disks import bootable
from imagebuild.disks import grub
from imagebuild.disks import root_file_systems

GIB = 1024**3


def test_boot_code_points_at_the_core_image() -> None:
    image = bytes(range(256)) * 2
    code = grub.boot_code(image, 2048)
    assert len(code) == 440
    assert struct.unpack_from('<Q', code, 0x5C) == (2048,)
    assert code[0x66:0x68] == b'\x90\x90'
    assert code[:0x5C] == image[:0x5C]
    assert code[0x68:] == image[0x68:440]


@pytest.mark.parametrize(
    ('size', 'sectors'), [(1024, 1), (1025, 2), (31000, 60)]
)
def test_core_image_knows_its_sectors(size: int, sectors: int) -> None:
    core = grub.core_image(bytes(size), 2048)
    assert len(core) == size
    assert struct.unpack_from('<QHH', core, 500) == (2049, sectors, 0x820)


@pytest.mark.parametrize(
    ('is_bootable', 'start', 'size'), [(True, 128, 3967), (False, 1, 4094)]
)
def test_where_the_root_is(is_bootable: bool, start: int, size: int) -> None:
    plan = bootable.DiskPlan(4 * GIB, is_bootable)
    assert (plan.root_start, plan.root_size) == (start, size)


def test_fstab() -> None:
    root = str(uuid.uuid4())
    plan = bootable.DiskPlan(4 * GIB, True, root, '0123ABCD')
    assert plan.fstab().splitlines() == [
        f'UUID={root} / ext4 rw,errors=remount-ro 0 1',
        'UUID=0123-ABCD /boot/efi vfat umask=0077 0 2',
    ]
    plain = bootable.DiskPlan(4 * GIB, False, root)
    assert plain.fstab().splitlines() == plan.fstab().splitlines()[:1]


@pytest.mark.parametrize('kind', ['xfs', 'btrfs'])
def test_fstab_of_another_file_system(
    kind: root_file_systems.FileSystem,
) -> None:
    root = str(uuid.uuid4())
    plan = bootable.DiskPlan(4 * GIB, False, root, file_system=kind)
    # Not the options of ext4, with which neither can be mounted.
    assert plan.fstab() == f'UUID={root} / {kind} rw 0 0\n'


def test_ids_are_its_own() -> None:
    one, other = (bootable.DiskPlan(4 * GIB, True) for _ in range(2))
    assert one.root_uuid != other.root_uuid
    assert len(one.esp_id) == 8


class Programs:
    """What is run, with the content of its input."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.inputs: list[str] = []

    def __call__(
        self, argv: Sequence[str], *, input_file: pathlib.Path | None = None
    ) -> None:
        self.commands.append(list(argv))
        self.inputs.append(input_file.read_text() if input_file else '')


def test_a_plain_disk_is_a_table_and_a_file_system(
    tmp_path: pathlib.Path,
) -> None:
    programs = Programs()
    plan = bootable.DiskPlan(GIB, False)
    bootable.make(
        tmp_path / 'tree',
        tmp_path / 'disk.raw',
        plan,
        programs,
        workspace=tmp_path,
    )
    assert (tmp_path / 'disk.raw').stat().st_size == GIB
    table, filesystem = programs.commands
    assert table[0] == 'sfdisk'
    assert '1 : start=2048, size=2093056, type=0FC63DAF' in programs.inputs[0]
    assert filesystem[2] == 'mke2fs'
    assert filesystem[-1] == f'{1022 * 1024}k'
    assert plan.root_uuid in filesystem


@pytest.mark.parametrize(
    ('kind', 'module'), [('ext4', 'ext2'), ('xfs', 'xfs'), ('btrfs', 'btrfs')]
)
def test_grub_reads_the_root(
    kind: root_file_systems.FileSystem, module: str, tmp_path: pathlib.Path
) -> None:
    tree = tmp_path / 'tree'
    (tree / 'boot').mkdir(parents=True)
    (tree / 'usr/lib/grub/i386-pc').mkdir(parents=True)
    programs = Programs()
    kinds = root_file_systems.KINDS
    grub.install(tree, 'u', programs, 'title', kinds[kind].grub_module)
    assert programs.commands[0][-3:] == ['biosdisk', 'part_gpt', module]
