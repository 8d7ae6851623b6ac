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
"""What of a disk may be mounted, and by which options; without mounting."""

import json
import pathlib

import pytest

from imagebuild import exception
from imagebuild.common import disk_layout
from imagebuild.sandbox import loop_devices
from imagebuild.sandbox import mount_calls
from imagebuild.sandbox import mount_plan
from imagebuild.sandbox import mounts

DISK = pathlib.Path('/ws/disk.raw')


def layout(*kinds, table='gpt'):
    return disk_layout.DiskLayout(
        2**30,
        table,
        tuple(
            disk_layout.FileSystem(
                f'/dev/sda{number}',
                number * 2**20,
                2**20,
                kind,
                {'LABEL': 'x'},
            )
            for number, kind in enumerate(kinds, 1)
        ),
    )


def test_a_plan_survives_its_way_to_the_supervisor():
    plan = mount_plan.plan(layout('vfat', '', 'ext4'), DISK, image='x.qcow2')
    sent = json.loads(json.dumps(plan.to_json()))
    assert mount_plan.Plan.from_json(sent) == plan
    assert (plan.image, plan.disk, plan.readonly) == ('x.qcow2', DISK, False)


@pytest.mark.parametrize(
    'kind', ['', 'swap', 'ntfs', 'iso9660', 'xfs', 'btrfs', 'ext3', 'vfat']
)
def test_what_the_sandbox_takes(monkeypatch, kind):
    monkeypatch.setattr(mount_calls, 'knows', lambda kind: True)
    assert mount_plan.plan(layout('ext4', kind), DISK, image='x').filesystems


@pytest.mark.parametrize(
    'kind, reason',
    [
        ('LVM2_member', 'x.img cannot be opened in the sandbox: /dev/sda2 '
         'holds logical volumes (LVM).'),
        ('crypto_LUKS', 'an encrypted file system (LUKS).'),
        ('linux_raid_member', 'a software RAID.'),
        ('isw_raid_member', 'volumes (isw_raid_member).'),
        ('zfs_member', 'ZFS volumes.'),
        ('f2fs', '/dev/sda2 holds f2fs.'),
        ('several kinds at once', '/dev/sda2 holds several kinds at once.'),
    ],
)  # fmt: skip
def test_what_is_left_to_the_appliance(kind, reason):
    with pytest.raises(exception.NotForSandbox) as caught:
        mount_plan.plan(layout('ext4', kind), DISK, image='x.img')
    assert str(caught.value).endswith(reason)


def test_a_table_that_nobody_has():
    with pytest.raises(exception.NotForSandbox, match='of the kind mac'):
        mount_plan.plan(layout(table='mac'), DISK, image='x')


def test_what_this_kernel_does_not_know(monkeypatch):
    monkeypatch.setattr(mount_calls, 'knows', lambda kind: kind == 'ext4')
    with pytest.raises(exception.NotForSandbox, match="sda2 holds xfs, which"):
        mount_plan.plan(layout('ext4', 'xfs'), DISK, image='x')
    # The firmware's partition is not needed to install packages.
    assert mount_plan.plan(layout('ext4', 'vfat'), DISK, image='x')


class Kernel:
    """Stands in for the calls that mount."""

    def __init__(self):
        self.mounted = []
        self.loops = []


@pytest.fixture
def kernel(monkeypatch, tmp_path):
    made = Kernel()

    class Loop:
        def __init__(self, file, offset, size, *, directory, readonly):
            self.path = f'/dev/loop{offset >> 20}'
            made.loops.append((self.path, size, readonly))

        def sync(self):
            pass

        def wait_until_free(self, timeout):
            return True

        def close(self):
            made.loops.append((self.path, 'closed'))

    def make_mount(kind, source, options, attributes):
        if source == '/dev/loop4':
            raise OSError(22, 'wrong fs type')
        made.mounted.append((kind, source, dict(options), attributes))
        return mount_calls.os.open(tmp_path, mount_calls.os.O_RDONLY)

    monkeypatch.setattr(loop_devices, 'LoopDevice', Loop)
    monkeypatch.setattr(mount_calls, 'make_mount', make_mount)
    monkeypatch.setattr(mount_calls, 'knows', lambda kind: True)
    monkeypatch.setattr(mount_calls, 'attach', lambda mount, target: None)
    monkeypatch.setattr(mount_calls, 'detach', lambda path: None)
    return made


@pytest.fixture
def begun(kernel, tmp_path):
    found = layout('ext4', 'xfs', 'btrfs', 'ext2', 'vfat', 'swap')
    (tmp_path / 'root').mkdir()

    def begin(**kw):
        plan = mount_plan.plan(found, DISK, image='x', **kw)
        return mounts.Mounts(plan, tmp_path / 'root', guest_root=7)

    return begin


EXT4 = {'errors': 'remount-ro', 'noinit_itable': None, 'resuid': '7'}
NEVER = (
    mount_calls.ATTR_NODEV | mount_calls.ATTR_NOSUID | mount_calls.ATTR_NOATIME
)


@pytest.mark.parametrize(
    'device, options, expected',
    [
        ('/dev/sda1', '', ('ext4', EXT4)),
        ('/dev/sda1', 'ro', ('ext4', {**EXT4, 'ro': None})),
        ('/dev/sda2', '', ('xfs', {'nouuid': None})),
        ('/dev/sda3', 'subvol=a,b', ('btrfs', {'subvol': 'a,b'})),
        ('/dev/sda3', 'ro,subvolid=256',
         ('btrfs', {'ro': None, 'subvolid': '256'})),
        ('btrfsvol:/dev/sda3/@/x', '', ('btrfs', {'subvol': '@/x'})),
        ('/dev/sda5', '', ('vfat', {'fmask': '0022', 'dmask': '0022'})),
    ],
)  # fmt: skip
def test_how_it_is_mounted(begun, kernel, device, options, expected):
    made = begun()
    if options:
        made.mount_options(options, device, '/')
    else:
        made.mount(device, '/')
    [(kind, _, used, attributes)] = kernel.mounted
    assert (kind, used) == expected
    assert attributes == NEVER
    assert made.mountpoints() == {device: '/'}
    made.close()


@pytest.mark.parametrize(
    'device, option',
    [
        ('/dev/sda1', 'noload'),
        ('/dev/sda2', 'norecovery'),
        ('/dev/sda3', 'rescue'),
    ],
)
def test_read_only_means_read_only(begun, kernel, device, option):
    made = begun(readonly=True)
    made.mount(device, '/')
    [(_, _, used, _)] = kernel.mounted
    assert 'ro' in used and option in used
    assert kernel.loops[0][2] is True
    made.close()


def test_what_the_kernel_refuses_is_remembered(begun, kernel):
    made = begun()
    with pytest.raises(RuntimeError, match='^/dev/sda4: wrong fs type$'):
        made.mount('/dev/sda4', '/')
    assert made.refused() == {'/dev/sda4': 'wrong fs type'}
    # Its loop device does not stay.
    assert kernel.loops[-1] == ('/dev/loop4', 'closed')


@pytest.mark.parametrize(
    'device', ['/dev/sda6', '/dev/sda9', 'btrfsvol:/dev/sda9/x', '/etc', '']
)
def test_what_is_no_file_system_of_the_disk(begun, kernel, device):
    with pytest.raises(RuntimeError):
        begun().mount(device, '/')
    assert kernel.mounted == []


def test_unknown_options_are_refused(begun, kernel):
    for options in ('rw', 'ro,exec', 'errors=panic', 'ro,,subvol=x'):
        with pytest.raises(RuntimeError, match='mount option'):
            begun().mount_options(options, '/dev/sda1', '/')
    assert kernel.mounted == []


def test_subvolumes_share_a_device(begun, kernel):
    made = begun()
    made.mount('btrfsvol:/dev/sda3/root', '/')
    made.mount('btrfsvol:/dev/sda3/home', '/')
    assert [each[0] for each in kernel.loops] == ['/dev/loop3']
    made.umount_all()
    assert kernel.loops[-1] == ('/dev/loop3', 'closed')
    assert made.mountpoints() == {}


def test_what_is_known_of_a_device(begun):
    made = begun()
    assert made.blkid('/dev/sda1') == {'LABEL': 'x', 'TYPE': 'ext4'}
    assert made.list_filesystems()['/dev/sda6'] == 'swap'
    with pytest.raises(RuntimeError):
        made.blkid('/dev/sdb')
