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
"""Files that users name."""

import pathlib

import pytest

from imagebuild import exception
from imagebuild.common import small_files
from imagebuild.machines import inventory


def test_whole(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'file'
    path.write_bytes(b'12345')
    assert small_files.read(path, 5) == b'12345'


@pytest.mark.parametrize(
    'largest, shown',
    [(4, '4 bytes'), (2048, '2 KiB'), (1024**2, '1 MiB')],
)
def test_a_file_without_an_end(largest: int, shown: str) -> None:
    with pytest.raises(exception.InvalidInput) as caught:
        small_files.read(pathlib.Path('/dev/zero'), largest, name='The file')
    assert str(caught.value) == f'The file is larger than {shown}.'


@pytest.mark.parametrize(
    'path, reason',
    [
        ('/no/file', 'No such file or directory'),
        ('/dev', 'Is a directory'),
        ('a\0b', 'embedded null byte'),
    ],
)
def test_what_cannot_be_read(path: str, reason: str) -> None:
    with pytest.raises(exception.InvalidInput, match=reason):
        small_files.read(pathlib.Path(path), 4)


def test_an_inventory_without_an_end() -> None:
    """It was read to its end before it was looked how large it is."""
    with pytest.raises(exception.InvalidInput) as caught:
        inventory.read(pathlib.Path('/dev/zero'))
    assert str(caught.value) == (
        'The inventory /dev/zero is larger than 1 MiB.'
    )
