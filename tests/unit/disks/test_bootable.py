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
from collections.abc import Mapping
from collections.abc import Sequence

import pytest

from imagebuild import exception
from imagebuild.disks import boot_files
from imagebuild.disks import bootable
from imagebuild.disks import disk_plan
from imagebuild.disks import grub
from imagebuild.disks import root_file_systems
from imagebuild.disks import tree_files

GIB = 1024**3
MIB = 1024**2


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
    plan = disk_plan.DiskPlan(4 * GIB, is_bootable)
    assert (plan.root_start, plan.root_size) == (start, size)


def test_fstab() -> None:
    root = str(uuid.uuid4())
    plan = disk_plan.DiskPlan(4 * GIB, True, root, '0123ABCD')
    assert plan.fstab().splitlines() == [
        f'UUID={root} / ext4 rw,errors=remount-ro 0 1',
        'UUID=0123-ABCD /boot/efi vfat umask=0077 0 2',
    ]
    plain = disk_plan.DiskPlan(4 * GIB, False, root)
    assert plain.fstab().splitlines() == plan.fstab().splitlines()[:1]


@pytest.mark.parametrize('kind', ['xfs', 'btrfs'])
def test_fstab_of_another_file_system(
    kind: root_file_systems.FileSystem,
) -> None:
    root = str(uuid.uuid4())
    plan = disk_plan.DiskPlan(4 * GIB, False, root, file_system=kind)
    # Not the options of ext4, with which neither can be mounted.
    assert plan.fstab() == f'UUID={root} / {kind} rw 0 0\n'


def test_ids_are_its_own() -> None:
    one, other = (disk_plan.DiskPlan(4 * GIB, True) for _ in range(2))
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
    plan = disk_plan.DiskPlan(GIB, False)
    (tmp_path / 'tree').mkdir()
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


#: What the Debian and the Red Hat family start from, as their packages have
#: it: content by path; a target after an arrow for links.
DEBIAN = {
    'etc/os-release': '->../usr/lib/os-release',
    'usr/lib/os-release': 'ID=debian\n',
    'usr/bin/grub-mkimage': '',
    'usr/lib/grub/i386-pc/boot.img': 'b' * 512,
    'usr/lib/grub/i386-pc/xfs.mod': 'module',
    'usr/lib/shim/shimx64.efi.signed': 'shim',
    'usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed': 'loader',
    'boot/vmlinuz-6.1.0-50-amd64': '',
    'boot/initrd.img-6.1.0-50-amd64': '',
    'vmlinuz': '->boot/vmlinuz-6.1.0-50-amd64',
    'initrd.img': '->/boot/initrd.img-6.1.0-50-amd64',
}
RED_HAT = {
    'etc/os-release': 'NAME="CentOS Stream"\nID="centos"\n',
    'usr/bin/grub2-mkimage': '',
    'usr/lib/grub/i386-pc/boot.img': 'b' * 512,
    'boot/efi/EFI/centos/shimx64.efi': 'shim',
    'boot/efi/EFI/centos/grubx64.efi': 'loader',
    'boot/vmlinuz-5.14.0-9.el9.x86_64': '',
    'boot/initramfs-5.14.0-9.el9.x86_64.img': '',
    'boot/vmlinuz-5.14.0-10.el9.x86_64': '',
    'boot/initramfs-5.14.0-10.el9.x86_64.img': '',
    'boot/vmlinuz-5.14.0-11.el9.x86_64': 'without an initramfs',
    'boot/vmlinuz-0-rescue-0123': '',
    'boot/initramfs-0-rescue-0123.img': '',
}


def make_tree(top: pathlib.Path, files: Mapping[str, str]) -> tree_files.Tree:
    for name, content in files.items():
        path = top / 'tree' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith('->'):
            path.symlink_to(content.removeprefix('->'))
        else:
            path.write_text(content)
    return tree_files.Tree(top / 'tree')


def make(
    tmp_path: pathlib.Path,
    files: Mapping[str, str],
    plan: disk_plan.DiskPlan,
) -> tuple[Programs, disk_plan.DiskPlan]:
    """A disk, by programs that do nothing but GRUB's core image."""
    tree = make_tree(tmp_path, files)
    programs = Programs()

    def run(
        argv: Sequence[str], *, input_file: pathlib.Path | None = None
    ) -> None:
        programs(argv, input_file=input_file)
        for word in argv:
            if word.startswith('--output=/'):
                core = tree.path / word.removeprefix('--output=/')
                core.write_bytes(b'c' * 600)

    made = bootable.make(
        tree.path, tmp_path / 'disk.raw', plan, run, workspace=tmp_path
    )
    return programs, made


@pytest.mark.parametrize(
    ('files', 'kernel', 'initrd', 'grub', 'mkimage'),
    [
        (DEBIAN, 'vmlinuz', 'initrd.img', 'boot/grub', 'grub-mkimage'),
        (
            RED_HAT,
            'boot/vmlinuz-5.14.0-10.el9.x86_64',
            'boot/initramfs-5.14.0-10.el9.x86_64.img',
            'boot/grub2',
            'grub2-mkimage',
        ),
    ],
)
def test_what_starts_a_tree(
    files: Mapping[str, str],
    kernel: str,
    initrd: str,
    grub: str,
    mkimage: str,
    tmp_path: pathlib.Path,
) -> None:
    plan = disk_plan.DiskPlan(4 * GIB, bootable=True)
    programs, _ = make(tmp_path, files, plan)
    chroot = next(each for each in programs.commands if each[0] == 'chroot')
    assert chroot[2] == mkimage
    assert f'--prefix=(,gpt1)/{grub}' in chroot
    text = (tmp_path / 'tree' / grub / 'grub.cfg').read_text()
    assert f'linux /{kernel} root=UUID={plan.root_uuid} ro' in text
    assert f'initrd /{initrd}\n' in text
    efi = tmp_path / 'esp' / 'EFI'
    for name in ('BOOT/BOOTX64.EFI', 'BOOT/grubx64.efi'):
        assert (efi / name).is_file()
    [own] = [each for each in efi.iterdir() if each.name != 'BOOT']
    assert own.name == ('debian' if files is DEBIAN else 'centos')
    assert f"($root)'/{grub}'" in (own / 'grub.cfg').read_text()


def test_versions_that_int_does_not_read() -> None:
    names = ['6.9', '6.10', '6.²', '6.' + '9' * 5000, '06.1']
    names.sort(key=boot_files._by_version)
    assert [each[:5] for each in names] == [
        '06.1', '6.9', '6.10', '6.999', '6.²',
    ]  # fmt: skip


def test_everything_that_lacks_is_named(tmp_path: pathlib.Path) -> None:
    tree = make_tree(tmp_path, {'etc/os-release': 'ID=debian\n'})
    with pytest.raises(exception.InvalidInput) as caught:
        boot_files.find(tree)
    assert str(caught.value) == (
        'The disk cannot be made bootable: its tree lacks a kernel with its '
        'initramfs; GRUB for a BIOS (boot.img); grub-mkimage; shim and a '
        'signed GRUB for UEFI.'
    )


def test_no_file_of_the_host_is_a_file_of_the_tree(
    tmp_path: pathlib.Path,
) -> None:
    secret = tmp_path / 'secret'
    secret.write_text('secret')
    links = {
        **DEBIAN,
        'usr/lib/shim/shimx64.efi.signed': f'->{secret}',
        'boot/grub': f'->{tmp_path}',
    }
    tree = make_tree(tmp_path, links)
    with pytest.raises(exception.InvalidInput, match='lacks shim'):
        boot_files.find(tree)
    assert tree.find('../../../../secret') is None
    with pytest.raises(exception.InvalidInput, match='a link where a direct'):
        tree.write('boot/grub/grub.cfg', 'text')
    (tree.path / 'loop').symlink_to('loop')
    assert tree.find('loop') is None


@pytest.mark.parametrize('name', ['a b', '../x', '', '/etc'])
def test_an_id_is_no_path(name: str, tmp_path: pathlib.Path) -> None:
    tree = make_tree(tmp_path, {**DEBIAN, 'usr/lib/os-release': f'ID={name}'})
    with pytest.raises(exception.InvalidInput, match='no ID'):
        boot_files.find(tree)


# -- partition tables -------------------------------------------------------


def test_a_bootable_mbr() -> None:
    plan = disk_plan.DiskPlan(4 * GIB, bootable=True, table='mbr')
    assert plan.partitions().splitlines() == [
        'label: dos',
        'unit: sectors',
        'sector-size: 512',
        f'1 : start={128 * 2048}, size={3967 * 2048}, type=83, bootable',
        f'2 : start=2048, size={127 * 2048}, type=ef',
    ]
    # In the gap before the first partition, where other tools look for it.
    assert plan.core_start == 512
    assert plan.core_size == 1024**2 - 512


def test_grub_reads_an_mbr(tmp_path: pathlib.Path) -> None:
    plan = disk_plan.DiskPlan(4 * GIB, bootable=True, table='mbr')
    programs, _ = make(tmp_path, DEBIAN, plan)
    chroot = next(each for each in programs.commands if each[0] == 'chroot')
    assert '--prefix=(,msdos1)/boot/grub' in chroot
    assert chroot[-3:] == ['biosdisk', 'part_msdos', 'ext2']
    disk = (tmp_path / 'disk.raw').read_bytes()[: 2 * 1024**2]
    assert disk[512:514] == b'cc'
    assert struct.unpack_from('<Q', disk, 0x5C) == (1,)
    assert disk[440:512] == bytes(72)


@pytest.mark.parametrize(
    ('kind', 'module'), [('ext4', 'ext2'), ('xfs', 'xfs'), ('btrfs', 'btrfs')]
)
def test_grub_reads_the_root(
    kind: root_file_systems.FileSystem, module: str, tmp_path: pathlib.Path
) -> None:
    tree = make_tree(tmp_path, DEBIAN)
    programs = Programs()
    plan = disk_plan.DiskPlan(4 * GIB, bootable=True, file_system=kind)
    grub.install(tree, boot_files.find(tree), plan, programs)
    assert programs.commands[0][-3:] == ['biosdisk', 'part_gpt', module]
    copied = tree.path / 'boot/grub/i386-pc'
    assert sorted(each.name for each in copied.iterdir()) == [
        'boot.img',
        'xfs.mod',
    ]


# -- sizes ------------------------------------------------------------------


def test_the_size_is_that_of_the_content_and_a_margin(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / 'tree').mkdir()
    large = tmp_path / 'tree' / 'large'
    large.write_bytes(b'x' * 100 * MIB)
    (tmp_path / 'tree' / 'same').hardlink_to(large)
    with (tmp_path / 'tree' / 'sparse').open('wb') as file:
        file.truncate(10 * GIB)
    _, plan = make(tmp_path, {}, disk_plan.DiskPlan(0, bootable=False))
    assert plan.size % (64 * MIB) == 0
    assert 100 * MIB + 768 * MIB < plan.size < 1024 * MIB
    assert (tmp_path / 'disk.raw').stat().st_size == plan.size


def test_a_size_that_was_asked_for_is_kept(tmp_path: pathlib.Path) -> None:
    plan = disk_plan.DiskPlan(4 * GIB, bootable=False)
    assert plan.sized_for(tmp_path / 'not looked at') is plan


# -- SELinux ----------------------------------------------------------------

POLICY = {
    'etc/selinux/config': 'SELINUX=enforcing\nSELINUXTYPE=tiny\n',
    'etc/selinux/tiny/contexts/files/file_contexts': '',
}


def test_the_policy_of_the_tree_labels_it(tmp_path: pathlib.Path) -> None:
    plan = disk_plan.DiskPlan(GIB, bootable=False)
    files = {**POLICY, 'usr/sbin/setfiles': ''}
    programs, _ = make(tmp_path, files, plan)
    _table, labels, _filesystem = programs.commands
    assert f'--root={tmp_path}/tree' in labels
    assert '--mount-proc=/proc' in labels
    assert labels[labels.index('setfiles') :] == [
        *('setfiles', '-F', '-e', '/proc', '-e', '/sys', '-e', '/dev'),
        *('/etc/selinux/tiny/contexts/files/file_contexts', '/'),
    ]


def test_labels_wait_for_the_first_boot(tmp_path: pathlib.Path) -> None:
    make(tmp_path, POLICY, disk_plan.DiskPlan(GIB, bootable=False))
    assert (tmp_path / 'tree' / '.autorelabel').is_file()


@pytest.mark.parametrize(
    'files', [{}, {**POLICY, 'etc/selinux/config': 'SELINUX=disabled\n'}]
)
def test_no_labels_where_there_is_no_selinux(
    files: Mapping[str, str], tmp_path: pathlib.Path
) -> None:
    programs, _ = make(
        tmp_path, files, disk_plan.DiskPlan(GIB, bootable=False)
    )
    assert len(programs.commands) == 2
    assert not (tmp_path / 'tree' / '.autorelabel').exists()
