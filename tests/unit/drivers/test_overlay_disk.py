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
from unittest import mock

import pytest

from imagebuild import exception
from imagebuild.disks import base_images
from imagebuild.disks import image_file
from imagebuild.drivers import base
from imagebuild.drivers import overlay_disk

GIB = 1024**3


@pytest.mark.parametrize('virtual, option', [(11, 0), (1, 11)])
def test_a_disk_larger_than_the_operator_allows(tmp_path, virtual, option):
    image = image_file.ImageInfo(
        tmp_path / 'base', 'qcow2', virtual * GIB, 4096, backing=None
    )
    settings = base.Settings(
        base_images.Cache(tmp_path / 'cache'),
        lambda: None,
        max_virtual_size=10 * GIB,
    )
    with (
        pytest.raises(exception.InvalidInput, match='11.0 GiB.* 10.0 GiB'),
        overlay_disk.opened(
            image,
            'the image',
            overlay_disk.Options(size=option),
            tmp_path,
            trusted=True,
            settings=settings,
            monitor=mock.create_autospec(base.DiskMonitor, instance=True),
        ),
    ):
        pytest.fail('it was opened')
