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

import pytest

from imagebuild import exception
from imagebuild.disks import create
from imagebuild.disks import image_file

MIB = 1024 * 1024


@pytest.mark.parametrize(
    'disk_format, size',
    [
        (disk_format, size)
        for disk_format in ('raw', 'qcow2')
        for size in (512, MIB, 3 * MIB + 512)
    ]
    # Not every file system takes a raw file of that size.
    + [('qcow2', 5000 * 1024 * MIB)],
)
def test_is_one(tmp_path, disk_format, size):
    path = tmp_path / 'disk'
    create.empty_image(path, disk_format, size)
    info = image_file.inspect(path)
    assert (info.format, info.virtual_size) == (disk_format, size)
    assert info.allocated < MIB


def test_unknown_format(tmp_path):
    with pytest.raises(exception.InvalidInput, match='floppy'):
        create.empty_image(tmp_path / 'disk', 'floppy', MIB)
