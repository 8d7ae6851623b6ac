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
"""Which partition and file system grow, over a handle that only tells."""

import pytest

from imagebuild import exception
from imagebuild.disks import grow

GIB = 1024**3


class Handle:
    def __init__(self, kind, parts, size, *, mounted=None, filesystem=''):
        self.kind, self.parts, self.size = kind, parts, size
        self.mounted, self.filesystem = mounted or {}, filesystem
        self.calls = []

    def part_get_parttype(self, _device):
        if not self.kind:
            raise RuntimeError('unrecognised disk label')
        return self.kind

    def part_list(self, _device):
        return [
            {'part_num': number, 'part_start': start}
            for number, start in self.parts.items()
        ]

    def blockdev_getsize64(self, _device):
        return self.size

    def vfs_type(self, _device):
        return self.filesystem

    def mountpoints(self):
        return self.mounted

    def __getattr__(self, name):
        return lambda *args: self.calls.append((name, *args))


def resized(number, end):
    return ('part_resize', '/dev/sda', number, end)


@pytest.mark.parametrize(
    ('kind', 'parts', 'size', 'device', 'calls'),
    [
        # The last on the disk has the first number, as in cloud images.
        ('gpt', {1: 99, 14: 1, 15: 9}, GIB, '/dev/sda1',
         [('part_expand_gpt', '/dev/sda'), resized(1, 2097152 - 34)]),
        ('msdos', {1: 1, 2: 9}, GIB, '/dev/sda2', [resized(2, 2097152 - 34)]),
        ('msdos', {1: 1}, 3072 * GIB, '/dev/sda1', [resized(1, 2**32 - 1)]),
        ('', {}, GIB, '/dev/sda', []),
        ('msdos', {2: 9, 5: 10}, GIB, None, []),
        ('mac', {1: 1}, GIB, None, []),
    ],
)  # fmt: skip
def test_the_last_partition(kind, parts, size, device, calls):
    handle = Handle(kind, parts, size)
    assert grow.partition(handle) == ([device] if device else [])
    assert handle.calls == calls


@pytest.mark.parametrize(
    ('filesystem', 'mounted', 'call'),
    [
        ('ext4', {}, ('resize2fs', '/dev/sda1')),
        ('xfs', {'/dev/sda1': '/'}, ('xfs_growfs', '/')),
        ('btrfs', {'btrfsvol:/dev/sda1/@': '/'},
         ('btrfs_filesystem_resize', '/')),
        ('btrfs', {'btrfsvol:/dev/sda10/@': '/'}, None),
        ('xfs', {}, None),
        ('vfat', {'/dev/sda1': '/'}, None),
    ],
)  # fmt: skip
def test_its_file_system(filesystem, mounted, call):
    handle = Handle('gpt', {}, 0, mounted=mounted, filesystem=filesystem)
    grow.filesystem(handle, '/dev/sda1')
    assert handle.calls == ([call] if call else [])


@pytest.mark.parametrize('kind', ['gpt', 'msdos'])
def test_a_table_that_is_refused(kind):
    class Refusing(Handle):
        def part_resize(self, *_args):
            raise RuntimeError('parted: overlapping\npartitions')

    with pytest.raises(exception.StepError) as caught:
        grow.partition(Refusing(kind, {1: 99}, GIB))
    assert str(caught.value) == (
        'the partition table cannot be made as large as the disk is to be '
        '(parted: overlapping partitions)'
    )


def test_a_table_that_ends_with_a_mib():
    class Strict(Handle):
        def part_resize(self, *args):
            self.calls.append(('part_resize', *args))
            if (args[-1] + 1) % 2048:
                raise RuntimeError('Unable to satisfy all constraints')

    handle = Strict('gpt', {1: 99}, GIB)
    assert grow.partition(handle) == ['/dev/sda1']
    assert handle.calls[1:] == [
        resized(1, 2097152 - 34),
        resized(1, 2097152 - 2048 - 1),
    ]
