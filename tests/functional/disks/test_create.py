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

from imagebuild.disks import create
from imagebuild.disks import host_command

MIB = 1024 * 1024


@pytest.mark.parametrize('disk_format', ['qcow2', 'vmdk', 'vhd', 'vdi'])
def test_qemu_agrees(tmp_path, disk_format):
    path = tmp_path / 'disk'
    create.empty_image(path, disk_format, MIB)
    name = 'vpc' if disk_format == 'vhd' else disk_format
    host_command.run(['qemu-img', 'info', '-f', name, str(path)])
    if disk_format in ('qcow2', 'vmdk', 'vdi'):
        host_command.run(['qemu-img', 'check', '-q', '-f', name, str(path)])
