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
"""Which file systems are asked of libguestfs, and which are known sooner."""

import pytest

from imagebuild.remotes import appliance_disks

SLOW = {'/dev/vg/root': 'ext4'}
MIB = 1024 * 1024


class Handle:
    """Devices and partitions, with kind and MiB of each."""

    def __init__(self, **parts):
        self.parts = {f'/dev/{name}': what for name, what in parts.items()}

    def list_devices(self):
        return [name for name in self.parts if not name[-1].isdigit()]

    def list_partitions(self):
        return [name for name in self.parts if name[-1].isdigit()]

    def blockdev_getsize64(self, device):
        return self.parts[device][1] * MIB

    def vfs_type(self, device):
        kind = self.parts[device][0]
        if kind is None:
            raise RuntimeError('ambivalent')
        return kind

    def list_filesystems(self):
        return SLOW


def test_plain_ones_are_known():
    handle = Handle(
        sda=('', 9),
        sda1=('', 1),
        sda2=('vfat', 100),
        sda3=('ext4', 900),
        sda4=('swap', 100),
        sdaa=('xfs', 100),
    )
    assert appliance_disks.filesystems(handle) == {
        '/dev/sdaa': 'xfs',
        '/dev/sda1': 'unknown',
        '/dev/sda2': 'vfat',
        '/dev/sda3': 'ext4',
        '/dev/sda4': 'swap',
    }


@pytest.mark.parametrize(
    'kind', ['LVM2_member', 'linux_raid_member', 'crypto_LUKS', 'btrfs', '']
)
def test_what_may_hold_more_is_asked_for(kind):
    handle = Handle(sda=('', 900), sda1=('ext4', 800), sda2=(kind, 100))
    assert appliance_disks.filesystems(handle) == SLOW


def test_what_is_two_things_is_asked_for():
    handle = Handle(sda=('', 900), sda1=(None, 900))
    assert appliance_disks.filesystems(handle) == SLOW
