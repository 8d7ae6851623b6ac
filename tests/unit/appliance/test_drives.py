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
import pathlib

import pytest

from imagebuild import appliance

PATH = pathlib.Path('/ws/overlay.qcow2')
WRITTEN = {'cachemode': 'unsafe', 'discard': 'besteffort'}


@pytest.mark.parametrize(
    'drive, name, options',
    [
        (
            appliance.Drive(PATH, 'qcow2'),
            '/ws/overlay.qcow2',
            {'format': 'qcow2', 'readonly': False, **WRITTEN},
        ),
        (
            appliance.Drive(PATH, 'raw', readonly=True),
            '/ws/overlay.qcow2',
            {'format': 'raw', 'readonly': True},
        ),
        (
            # Whatever is in the file, its server shows a raw disk.
            appliance.Drive(
                PATH, 'qcow2', server=pathlib.Path('/ws/nbd'), export='disk'
            ),
            'disk',
            {
                'format': 'raw',
                'readonly': False,
                'protocol': 'nbd',
                'server': ['unix:/ws/nbd'],
                **WRITTEN,
            },
        ),
    ],
)
def test_what_libguestfs_is_told(drive, name, options):
    assert drive.options() == (name, options)
