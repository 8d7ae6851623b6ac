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

from imagebuild import appliance
from imagebuild import exception

SETTINGS = appliance.ApplianceSettings(accelerator='tcg', network=False)


@pytest.mark.parametrize(
    'name, message',
    [
        ('disk', 'LIBGUESTFS_PATH'),
        ('none', 'none: No such file'),
    ],
)
def test_the_library_prints_nothing(
    monkeypatch, capfd, tmp_path, name, message
):
    """Its errors are ours to tell; the library's own, without a guest."""
    monkeypatch.setenv('LIBGUESTFS_PATH', str(tmp_path))
    disk = tmp_path / 'disk'
    disk.write_bytes(bytes(1024**2))
    drive = appliance.Drive(tmp_path / name, 'raw')
    with pytest.raises(exception.ApplianceFailed, match=message):
        appliance.launch([drive], SETTINGS, workspace=tmp_path)
    assert capfd.readouterr() == ('', '')
    assert list(tmp_path.iterdir()) == [disk]
