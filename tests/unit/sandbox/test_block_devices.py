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
import os
import pathlib
import types

import pytest

from imagebuild.sandbox import block_devices

TABLE = """\
20 1 254:0 / / rw - ext4 /dev/vda rw
30 20 7:3 / /w/sandbox/root rw shared:1 - ext4 /dev/loop3 rw,noatime
31 30 7:4 / /w/sandbox/root/boot/efi rw - vfat /dev/loop4 rw
32 20 0:50 / /w/sandbox/roots rw - ext4 /dev/loop5 rw
33 30 0:51 / /w/sandbox/root/run rw - tmpfs tmpfs rw
"""


class Mounts:
    """What is asked of sandbox.mounts.Mounts here."""

    def mountpoints(self):
        return {'/dev/sda2': '/', '/dev/sda1': '/boot/efi'}

    def blkid(self, device):
        return {'/dev/sda2': {'UUID': 'aa-bb', 'LABEL': 'my/own root'}}[device]


def test_sources_of_the_guests_mounts():
    assert list(block_devices._mounted(TABLE, '/w/sandbox/root')) == [
        ('/', '/dev/loop3'),
        ('/boot/efi', '/dev/loop4'),
    ]


def test_names_are_those_of_udev():
    assert list(block_devices._names(Mounts().blkid('/dev/sda2'))) == [
        '/dev/disk/by-uuid/aa-bb',
        '/dev/disk/by-label/my\\x2fown\\x20root',
    ]


def test_a_device_that_nothing_is_known_of(monkeypatch):
    monkeypatch.setattr(pathlib.Path, 'read_text', lambda *_: TABLE)
    monkeypatch.setattr(
        Mounts, 'blkid', lambda *_: (_ for _ in ()).throw(RuntimeError())
    )
    found = block_devices.find(Mounts(), pathlib.Path('/w/sandbox/root'))
    assert all(not each.links for each in found)


@pytest.mark.parametrize('value', ['ünï', 'A#+-.:=@_b9'])
def test_what_stays(value):
    assert block_devices._coded(value) == value


def test_two_with_the_same_name(monkeypatch):
    """Installers give all partitions the name of their type."""
    monkeypatch.setattr(pathlib.Path, 'read_text', lambda *_: TABLE)
    monkeypatch.setattr(
        Mounts, 'blkid', lambda *_: {'PART_ENTRY_NAME': 'primary'}
    )
    monkeypatch.setattr(
        block_devices.os,
        'stat',
        lambda _: types.SimpleNamespace(st_rdev=os.makedev(7, 3)),
    )
    found = block_devices.find(Mounts(), pathlib.Path('/w/sandbox/root'))
    assert [(each.path, list(each.links)) for each in found] == [
        ('/dev/loop3', ['/dev/disk/by-partlabel/primary']),
        ('/dev/loop4', []),
    ]


@pytest.mark.parametrize('label', ['', '.', '..', 'ü' * 128, '!' * 64])
def test_what_is_no_name(label):
    assert not list(block_devices._names({'LABEL': label}))
