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
"""Crafted qcow2 files that qemu-img refuses are their author's fault."""

import pathlib
import struct
import subprocess

import pytest

from imagebuild import exception
from imagebuild.disks import image_file
from imagebuild.disks import overlay
from imagebuild.disks import qemu_img

CRAFTED = {
    'too many clusters in level one': (36, struct.pack('>I', 0xFFFFFFFF)),
    'level one is nowhere': (40, struct.pack('>Q', 0xFFFFFFFFFFF1)),
    'references are nowhere': (48, struct.pack('>Q', 7)),
    'unknown feature': (72, struct.pack('>Q', 1 << 40)),
    'cluster size': (20, struct.pack('>I', 40)),
    'header length': (100, struct.pack('>I', 1 << 30)),
}


@pytest.fixture
def plain(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / 'private' / 'base.qcow2'
    path.parent.mkdir()
    subprocess.run(
        ['qemu-img', 'create', '-q', '-f', 'qcow2', path, '10M'], check=True
    )
    return path


@pytest.mark.parametrize('what', CRAFTED)
def test_crafted(
    plain: pathlib.Path, tmp_path: pathlib.Path, what: str
) -> None:
    offset, value = CRAFTED[what]
    content = bytearray(plain.read_bytes())
    content[offset : offset + len(value)] = value
    plain.write_bytes(content)
    info = image_file.ImageInfo(plain, 'qcow2', 10 * 1024 * 1024, 0)
    for use in (
        lambda: qemu_img.QemuImg().check(info),
        lambda: overlay.create(info, tmp_path / 'over.qcow2'),
    ):
        with pytest.raises(exception.InvalidImage) as caught:
            use()
        assert caught.value.fault == 'user'
        assert 'refuses it: ' in str(caught.value)
        # Its path stands once, where the name of the image does.
        assert str(caught.value).count(str(plain)) == 1
        assert 'file.driver' not in str(caught.value)


def test_a_file_that_is_gone_is_not(plain: pathlib.Path) -> None:
    plain.unlink()
    info = image_file.ImageInfo(plain, 'qcow2', 10 * 1024 * 1024, 0)
    with pytest.raises(exception.HostCommandFailed):
        qemu_img.QemuImg().check(info)
