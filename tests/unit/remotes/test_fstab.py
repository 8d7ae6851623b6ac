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
"""What a guest's /etc/fstab mounts from its disks."""

import pytest

from imagebuild.remotes import fstab

TEXT = r"""
# <file system> <mount point> <type> <options> <dump> <pass>
UUID=1 /var/log ext4 defaults 0 2
UUID=2 /     ext4 errors=remount-ro 0 1  # the root
UUID=3 /var  btrfs subvol=@var,noatime
LABEL=a\040b /srv/two\040words/ xfs
tmpfs /tmp tmpfs nosuid
/dev/sr0 /media iso9660 ro,noauto
/srv /mnt none bind
/var /mnt/2 ext4 rw,bind
nfs:/x /home nfs defaults
UUID=4 none swap sw
UUID=5 swap
"""


def test_what_is_on_a_disk_parents_first() -> None:
    found = [
        (entry.spec, entry.target, entry.kind) for entry in fstab.parse(TEXT)
    ]
    assert found == [
        ('UUID=2', '/', 'ext4'),
        ('UUID=3', '/var', 'btrfs'),
        ('UUID=1', '/var/log', 'ext4'),
        ('LABEL=a b', '/srv/two words', 'xfs'),
    ]


@pytest.mark.parametrize(
    ('name', 'value'),
    [('subvol', '@var'), ('noatime', None), ('sub', None)],
)
def test_options(name: str, value: str | None) -> None:
    (entry,) = fstab.parse('UUID=3 /var btrfs subvol=@var,noatime')
    assert entry.option(name) == value
