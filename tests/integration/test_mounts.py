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
"""Disks of every layout: found, and mounted whole.

One appliance has all the disks; each test shows mount_all one of them. One
disk is opened by way of the disk server. The last tests end the appliance,
have this host's kernel mount the same disks, and open one the way the program
does.
"""

import contextlib
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import pytest

from imagebuild import appliance
from imagebuild import exception
from imagebuild.disks import image_file
from imagebuild.disks import overlay
from imagebuild.disks import server
from imagebuild.remotes import appliance_disks
from imagebuild.remotes import guest_mounts
from imagebuild.remotes import guestfs
from tests.integration import native_disk

pytestmark = pytest.mark.timeout(1200)

MIB = 1024 * 1024
#: Layout to the names of its file systems in the appliance.
LAYOUTS = {
    'separate': ('/dev/sda',),
    'lvm': ('/dev/sdb', '/dev/my-vg/'),
    'btrfs': ('/dev/sdc',),
    'two': ('/dev/sdd',),
    'none': ('/dev/sde',),
    'missing': ('/dev/sdf',),
    'usr': ('/dev/sdg',),
}
MISSING = '01234567-89ab-cdef-0123-456789abcdef'


class OneDisk:
    """The appliance's handle, with the file systems of one disk."""

    def __init__(self, handle: Any, layout: str, known: Any) -> None:
        self._handle = handle
        self._names = LAYOUTS[layout]
        self._known = known

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    def list_filesystems(self) -> Mapping[str, str]:
        return {
            name: kind
            for name, kind in self._known.items()
            if name.removeprefix('btrfsvol:').startswith(self._names)
        }


class Lab:
    """The appliance with its disks."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.disks: dict[str, pathlib.Path] = {}
        for name in LAYOUTS:
            self.disks[name] = directory / f'{name}.img'
            with self.disks[name].open('wb') as disk:
                disk.truncate(400 * MIB)
        self.directory = directory
        base = image_file.inspect(self.disks['separate'])
        self.served = server.DiskServer([base], directory, export='nbd')
        drives = {
            name: appliance.Drive(path, 'raw')
            for name, path in self.disks.items()
        }
        drives['separate'] = appliance.Drive(
            base.path,
            'raw',
            server=self.served.socket,
            export=self.served.EXPORT_NAME,
        )
        self.appliance = appliance.launch(
            list(drives.values()), workspace=directory
        )
        self.handle = self.appliance.handle
        #: Asked for once: it takes seconds for so many disks.
        self.filesystems: Mapping[str, str] = {}

    def mount(
        self, layout: str, wanted: str | None = None
    ) -> tuple[str, list[str]]:
        """Mount a layout: the root file system, and what was noticed."""
        notices: list[str] = []
        root = self.appliance.call(
            guest_mounts.mount_all,
            OneDisk(self.handle, layout, self.filesystems),
            image=f'{layout}.img',
            wanted=wanted,
            on_notice=notices.append,
        )
        return root, notices

    def mounted(self) -> dict[str, str]:
        points = self.handle.mountpoints()
        return {target: device for device, target in points.items()}

    def leave_marks(self, *targets: str) -> None:
        """Write a file under each mount point."""
        for target in targets:
            self.handle.write(f'{target}/mark', target.encode())

    @contextlib.contextmanager
    def alone(self, device: str) -> Iterator[Any]:
        """Mount one file system and nothing else."""
        self.handle.umount_all()
        self.handle.mount(device, '/')
        yield self.handle
        self.handle.umount_all()

    def mark(self, device: str) -> str:
        """The mark left on a file system."""
        with self.alone(device) as handle:
            return handle.read_file('/mark').decode()


def parts(handle: Any, disk: str, *sizes: int) -> None:
    """Make partitions of some MiB."""
    handle.part_init(disk, 'gpt')
    start = 1
    for size in sizes:
        first, last = start * MIB // 512, (start + size) * MIB // 512 - 1
        handle.part_add(disk, 'p', first, last)
        start += size


def system(handle: Any, name: str, fstab: str) -> None:
    """Make the mounted file system look like a root."""
    handle.mkdir_p('/etc')
    handle.mkdir_p('/usr/lib')
    handle.write('/usr/lib/os-release', f'ID=x\nPRETTY_NAME="{name}"\n')
    handle.ln_s('../usr/lib/os-release', '/etc/os-release')
    handle.write('/etc/fstab', fstab)


def build_separate(lab: Lab) -> None:
    handle = lab.handle
    parts(handle, '/dev/sda', 40, 40, 60, 60)
    handle.mkfs('vfat', '/dev/sda1')
    handle.mkfs('ext4', '/dev/sda2', label='BOOT')
    handle.mkfs('ext4', '/dev/sda3')
    handle.mkfs('ext4', '/dev/sda4')
    uuid = handle.vfs_uuid('/dev/sda3')
    efi = handle.vfs_uuid('/dev/sda1')
    part = handle.part_get_gpt_guid('/dev/sda', 4)
    with lab.alone('/dev/sda3'):
        system(
            handle,
            'Separate',
            f'# what is mounted\nUUID={efi}\t/boot/efi vfat umask=0077 0 1\n'
            f'PARTUUID={part.lower()} /var ext4 defaults 0 2\n\n'
            f'UUID={uuid} / ext4 errors=remount-ro 0 1\n'
            'LABEL=BOOT /boot ext4 defaults 0 2\n'
            'proc /proc proc defaults 0 0\ntmpfs /tmp tmpfs size=1G 0 0\n'
            f'UUID={MISSING} none swap sw 0 0\n'
            'LABEL=BOOT /mnt ext4 noauto 0 0\n/var/x /srv none bind 0 0\n',
        )


def build_lvm(lab: Lab) -> None:
    handle = lab.handle
    handle.pvcreate('/dev/sdb')
    handle.vgcreate('my-vg', ['/dev/sdb'])
    for name in ('root', 'usr', 'var', 'log-files'):
        handle.lvcreate(name, 'my-vg', 60)
        handle.mkfs('ext4', f'/dev/my-vg/{name}')
    # As in images of RHEL with rootvg-usrlv: os-release is a link into it.
    with lab.alone('/dev/my-vg/usr'):
        handle.mkdir('/lib')
        handle.write('/lib/os-release', 'ID=x\nPRETTY_NAME="Volumes"\n')
    with lab.alone('/dev/my-vg/root'):
        for directory in ('/etc', '/usr'):
            handle.mkdir(directory)
        handle.ln_s('../usr/lib/os-release', '/etc/os-release')
        handle.write(
            '/etc/fstab',
            '/dev/mapper/my--vg-root / ext4 defaults 0 1\n'
            '/dev/mapper/my--vg-log--files /var/log ext4 defaults 0 1\n'
            '/dev/my-vg/var /var ext4 defaults 0 1\n'
            '/dev/mapper/my--vg-usr /usr ext4 defaults 0 1\n',
        )


def build_btrfs(lab: Lab) -> None:
    handle = lab.handle
    parts(handle, '/dev/sdc', 390)
    handle.mkfs('btrfs', '/dev/sdc1')
    uuid = handle.vfs_uuid('/dev/sdc1')
    with lab.alone('/dev/sdc1'):
        for name in ('root', 'home', 'var'):
            handle.btrfs_subvolume_create(f'/{name}')
    with lab.alone('btrfsvol:/dev/sdc1/root'):
        system(
            handle,
            'Subvolumes',
            f'UUID={uuid} / btrfs subvol=root,compress=zstd:1 0 0\n'
            f'UUID={uuid} /home btrfs subvol=home,compress=zstd:1 0 0\n'
            f'UUID={uuid} /var btrfs subvol=/var 0 0\n',
        )


def build_roots(lab: Lab) -> None:
    handle = lab.handle
    parts(handle, '/dev/sdd', 60, 60, 60)
    for device, name in (('/dev/sdd1', 'One'), ('/dev/sdd2', 'Two')):
        handle.mkfs('ext4', device)
        with lab.alone(device):
            system(handle, f'System {name}', '')
    handle.mkfs('ext4', '/dev/sdd3')
    handle.mkfs('ext4', '/dev/sde')
    handle.mkfs('ext4', '/dev/sdf')
    with lab.alone('/dev/sdf'):
        system(handle, 'Missing', '')


def build_usr(lab: Lab) -> None:
    """/usr is a file system of its own, and os-release a link into it."""
    handle = lab.handle
    parts(handle, '/dev/sdg', 60, 60, 60)
    for number in (1, 2, 3):
        handle.mkfs('ext4', f'/dev/sdg{number}')
    usr = handle.vfs_uuid('/dev/sdg2')
    data = handle.vfs_uuid('/dev/sdg3')
    with lab.alone('/dev/sdg2'):
        handle.mkdir('/lib')
        handle.write('/lib/os-release', 'ID=x\nPRETTY_NAME="Own usr"\n')
    with lab.alone('/dev/sdg1'):
        for directory in ('/etc', '/usr'):
            handle.mkdir(directory)
        handle.ln_s('../usr/lib/os-release', '/etc/os-release')
        # A mount point by way of a link that begins at the guest's root.
        handle.ln_s('/srv/data', '/data')
        handle.write(
            '/etc/fstab',
            f'UUID={usr} /usr ext4 ro 0 1\nUUID={data} /data ext4 rw 0 2\n',
        )


def build(lab: Lab) -> None:
    build_separate(lab)
    build_lvm(lab)
    build_btrfs(lab)
    build_roots(lab)
    build_usr(lab)
    lab.filesystems = lab.handle.list_filesystems()
    assert appliance_disks.filesystems(lab.handle) == lab.filesystems


@pytest.fixture(scope='module')
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp('lab'))
    with made.served, made.appliance:
        made.appliance.call(build, made, timeout=1000)
        yield made


def test_separate_file_systems(lab: Lab) -> None:
    root, notices = lab.mount('separate')
    assert (root, notices) == ('/dev/sda3', [])
    assert lab.mounted() == {
        '/': '/dev/sda3',
        '/boot': '/dev/sda2',
        '/boot/efi': '/dev/sda1',
        '/var': '/dev/sda4',
    }
    lab.leave_marks('/boot', '/boot/efi', '/var')
    # A layer, taken while the appliance has the disk open, ends here.
    lab.handle.sync()
    layer = lab.served.snapshot(lab.directory / 'layer')
    lab.handle.write('/var/later', b'x')
    lab.handle.sync()
    assert layer.path == lab.disks['separate']
    assert b'/boot/efi' in layer.path.read_bytes()
    assert lab.mark('/dev/sda1') == '/boot/efi'
    assert lab.mark('/dev/sda2') == '/boot'
    assert lab.mark('/dev/sda4') == '/var'
    with lab.alone('/dev/sda3') as handle:
        for directory in ('/boot', '/var'):
            assert handle.ls(directory) == []


def test_logical_volumes(lab: Lab) -> None:
    root, notices = lab.mount('lvm')
    assert (root, notices) == ('/dev/my-vg/root', [])
    assert lab.mounted() == {
        '/': '/dev/my-vg/root',
        '/usr': '/dev/my-vg/usr',
        '/var': '/dev/my-vg/var',
        '/var/log': '/dev/my-vg/log-files',
    }
    assert b'Volumes' in lab.handle.read_file('/etc/os-release')
    lab.leave_marks('', '/usr', '/var', '/var/log')
    assert lab.mark('/dev/my-vg/root') == ''
    assert lab.mark('/dev/my-vg/usr') == '/usr'
    assert lab.mark('/dev/my-vg/var') == '/var'
    assert lab.mark('/dev/my-vg/log-files') == '/var/log'


def test_subvolumes(lab: Lab) -> None:
    root, notices = lab.mount('btrfs')
    assert (root, notices) == ('btrfsvol:/dev/sdc1/root', [])
    lab.leave_marks('', '/home', '/var')
    for name, mark in (('root', ''), ('home', '/home'), ('var', '/var')):
        assert lab.mark(f'btrfsvol:/dev/sdc1/{name}') == mark
    with lab.alone('/dev/sdc1') as handle:
        assert handle.ls('/') == ['home', 'root', 'var']
        assert not handle.exists('/root/var/mark')


def test_the_default_subvolume_is_one_system(lab: Lab) -> None:
    """With a snapshot of it beside, as snapper makes them."""
    handle = lab.handle
    with lab.alone('/dev/sdc1'):
        subvolumes = handle.btrfs_subvolume_list('/')
        number = next(
            item['btrfssubvolume_id']
            for item in subvolumes
            if item['btrfssubvolume_path'] == 'root'
        )
        handle.btrfs_subvolume_set_default(number, '/')
    root, notices = lab.mount('btrfs')
    assert (root, notices) == ('/dev/sdc1', [])
    lab.leave_marks('')
    assert lab.mark('btrfsvol:/dev/sdc1/root') == ''


def test_usr_is_a_file_system_of_its_own(lab: Lab) -> None:
    for wanted in (None, '/dev/sdg1'):
        assert lab.mount('usr', wanted) == ('/dev/sdg1', [])
        assert lab.mounted() == {
            '/': '/dev/sdg1',
            '/usr': '/dev/sdg2',
            '/srv/data': '/dev/sdg3',
        }
    assert b'Own usr' in lab.handle.read_file('/etc/os-release')
    lab.leave_marks('/usr', '/data')
    assert lab.mark('/dev/sdg2') == '/usr'
    assert lab.mark('/dev/sdg3') == '/data'


def test_a_missing_usr_is_named(lab: Lab) -> None:
    with lab.alone('/dev/sdg1') as handle:
        handle.write('/etc/fstab', f'UUID={MISSING} /usr ext4 ro 0 1\n')
    with pytest.raises(exception.InvalidImage, match=f'{MISSING} on /usr,'):
        lab.mount('usr')


def test_two_systems(lab: Lab) -> None:
    with pytest.raises(exception.AmbiguousRoot) as caught:
        lab.mount('two')
    both = '/dev/sdd1 (System One), /dev/sdd2 (System Two)'
    assert both in str(caught.value)
    for device in ('/dev/sdd1', '/dev/sdd2'):
        assert lab.mount('two', device) == (device, [])
        assert lab.mounted() == {'/': device}
    for device in ('/dev/sdd3', '/dev/sdz9', 'nonsense'):
        with pytest.raises(exception.UnknownRoot) as unknown:
            lab.mount('two', device)
        assert device in str(unknown.value)
        assert both in str(unknown.value)


def test_no_system(lab: Lab) -> None:
    with pytest.raises(exception.NoOperatingSystem, match='none.img'):
        lab.mount('none')


@pytest.mark.parametrize(
    'entry, target',
    [
        (f'UUID={MISSING} /var ext4 defaults 0 2', '/var'),
        ('/dev/sdf7 /usr ext4 defaults 0 2', '/usr'),
        ('LABEL=nowhere /boot ext4 defaults 0 2', '/boot'),
    ],
)
def test_a_missing_file_system(lab: Lab, entry: str, target: str) -> None:
    with lab.alone('/dev/sdf') as handle:
        handle.write('/etc/fstab', f'{entry}\n')
    with pytest.raises(exception.InvalidImage) as caught:
        lab.mount('missing')
    for message in ('missing.img', entry.split()[0], f'on {target},'):
        assert message in str(caught.value)


@pytest.mark.parametrize(
    'entry, target',
    [
        (f'UUID={MISSING} /var ext4 defaults,nofail 0 2', '/var'),
        (f'UUID={MISSING} /data ext4 defaults 0 2', '/data'),
        (f'UUID={MISSING} /boot/efi vfat defaults 0 2', '/boot/efi'),
    ],
)
def test_what_can_be_missing(lab: Lab, entry: str, target: str) -> None:
    with lab.alone('/dev/sdf') as handle:
        handle.write('/etc/fstab', f'{entry}\n')
    root, [notice] = lab.mount('missing')
    assert root == '/dev/sdf'
    assert MISSING in notice
    assert target in notice
    assert lab.mounted() == {'/': '/dev/sdf'}


@pytest.fixture(scope='module')
def ended(lab: Lab) -> Lab:
    """The disks, when the appliance has ended."""
    lab.appliance.call(lab.handle.umount_all)
    lab.appliance.shutdown()
    lab.served.close()
    return lab


def chain_of(lab: Lab, layout: str) -> tuple[image_file.ImageInfo, ...]:
    """The files of a disk, with an overlay to be written to."""
    base = image_file.inspect(lab.disks[layout])
    chain = lab.served.chain if layout == 'separate' else (base,)
    path = lab.directory / f'{layout}.native'
    path.unlink(missing_ok=True)
    overlay.create(chain[-1], path)
    top = image_file.ImageInfo(path, 'qcow2', base.virtual_size, 0)
    return (*chain, top)


@pytest.mark.parametrize(
    'layout, wanted, expected',
    [
        ('separate', None, ('/dev/sda3', '/boot /boot/efi /var')),
        ('btrfs', None, ('/dev/sda1', '/home /var')),
        ('two', None, exception.AmbiguousRoot),
        ('two', '/dev/sda2', ('/dev/sda2', '')),
        ('two', '/dev/sda3', exception.UnknownRoot),
        ('none', None, exception.NoOperatingSystem),
        ('missing', None, ('/dev/sda', '')),
        ('usr', None, exception.InvalidImage),
        ('lvm', None, exception.NotForSandbox),
    ],
)
def test_the_same_disk_without_an_appliance(
    ended: Lab, layout: str, wanted: str | None, expected: Any
) -> None:
    directory = ended.directory / f'{layout}-{wanted or ""}'.replace('/', '-')
    directory.mkdir()
    chain = chain_of(ended, layout)
    if isinstance(expected, type):
        with pytest.raises(expected):
            with native_disk.Native(directory, chain) as native:
                native.mount(wanted)
        return
    root, below = expected
    with native_disk.Native(directory, chain) as native:
        found, notices = native.mount(wanted)
        left = [each for each in notices if 'vfat' in each]
        assert found == root
        if layout != 'missing':
            assert notices == left
        points = native.points()
        if left:
            below = below.replace(' /boot/efi', '')
        assert points == ['/', *below.split()]
        if layout == 'separate':
            assert native.child.read_file('/var/mark') == b'/var'
            assert native.child.read_file('/var/later') == b'x'
        native.finish()


def test_remote_over_separate_file_systems(
    ended: Lab, tmp_path: pathlib.Path
) -> None:
    with guestfs.GuestfsRemote(
        [appliance.Drive(ended.disks['separate'], 'raw')], workspace=tmp_path
    ) as remote:
        assert remote.root == '/dev/sda3'
        points = remote.appliance.call(remote.appliance.handle.mountpoints)
        assert sorted(points.values()) == ['/', '/boot', '/boot/efi', '/var']
        assert remote.read_file('/boot/efi/mark') == b'/boot/efi'
        remote.write_file('/var/lib/x', b'content')
        assert remote.read_file('/var/lib/x') == b'content'
        remote.shutdown()


def test_logical_volumes_are_left_to_the_appliance(
    ended: Lab, tmp_path: pathlib.Path
) -> None:
    manifest = tmp_path / 'manifest.yaml'
    manifest.write_text('validators: [{script: {x: {inline: "true"}}}]\n')
    why = 'cannot be opened in the sandbox: /dev/sda holds logical volumes'

    def pack(isolation: str) -> list[str]:
        done = subprocess.run(
            [
                *(sys.executable, '-m', 'imagebuild.cmd.pack', '--image'),
                *(str(ended.disks['lvm']), '--manifest', str(manifest)),
                *('--isolation', isolation),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        return done.stderr.strip().splitlines()

    refused = pack('sandbox')
    assert why in refused[-1]
    assert 'Traceback' not in ''.join(refused)
    assert not any('is used.' in line for line in refused), refused
    fallen_back = pack('auto')
    assert any(
        why in line and line.endswith('The appliance is used.')
        for line in fallen_back
    )
    # There it was found, and has nothing to run commands with.
    assert '/bin/sh cannot be found' in fallen_back[-1]
