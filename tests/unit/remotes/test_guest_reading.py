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
"""Files of a guest are read up to a size."""

import pathlib

import pytest

from imagebuild import exception
from imagebuild.remotes import guest_mounts
from imagebuild.remotes import guest_reading

GIB = 1024**3


class Handle:
    """libguestfs' calls on a directory of this machine."""

    def __init__(self, root: pathlib.Path) -> None:
        self._root = root
        self.read = 0

    def is_file(self, path: str, *, followsymlinks: bool) -> bool:
        assert followsymlinks
        return (self._root / path.lstrip('/')).is_file()

    def pread(self, path: str, count: int, offset: int) -> bytes:
        assert count < 4 * 1024 * 1024
        with (self._root / path.lstrip('/')).open('rb') as file:
            file.seek(offset)
            content = file.read(count)
        self.read += len(content)
        return content

    def umount_all(self) -> None:
        pass

    def mount_ro(self, device: str, target: str) -> None:
        pass

    def mount(self, device: str, target: str) -> None:
        pass

    def list_filesystems(self) -> dict[str, str]:
        return {'/dev/sda': 'ext4'}


@pytest.fixture
def handle(tmp_path: pathlib.Path) -> Handle:
    (tmp_path / 'etc').mkdir()
    return Handle(tmp_path)


def test_whole(handle: Handle, tmp_path: pathlib.Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / 'some').write_bytes(content)
    assert guest_reading.read(handle, '/some') == content


def test_absent(handle: Handle) -> None:
    assert guest_reading.read(handle, '/some') is None
    assert guest_reading.read(handle, '/etc') is None


@pytest.mark.parametrize('name', ['os-release', 'fstab'])
def test_sparse_table(
    handle: Handle, tmp_path: pathlib.Path, name: str
) -> None:
    (tmp_path / 'etc/os-release').write_text('ID=debian\n')
    with (tmp_path / 'etc' / name).open('wb') as file:
        file.truncate(8 * GIB)
    with pytest.raises(exception.StepError) as caught:
        guest_mounts.mount_all(
            handle, image='some.img', wanted=None, on_notice=print
        )
    assert f'/etc/{name}' in str(caught.value)
    assert handle.read < 4 * 1024 * 1024
