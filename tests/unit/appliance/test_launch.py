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
import sys
import types
from unittest import mock

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


@pytest.fixture
def handle(monkeypatch):
    """A handle that starts nothing, on a host of eight CPUs."""
    made = mock.Mock()
    made.get_pid.return_value = None
    library = types.SimpleNamespace(
        GuestFS=lambda **options: made, EVENT_APPLIANCE=1
    )
    monkeypatch.setitem(sys.modules, 'guestfs', library)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(8)))
    return made


@pytest.mark.parametrize(
    'accelerator, given, cpus',
    [
        ('tcg', None, 1),
        ('kvm', None, 4),
        ('tcg', 3, 3),
        ('kvm', 1, 1),
    ],
)
def test_an_emulated_guest_has_one_cpu(
    handle, tmp_path, accelerator, given, cpus
):
    """Unless more are wanted: those of an emulated one wait for each other."""
    settings = appliance.ApplianceSettings(
        accelerator=accelerator, cpus=given, network=False
    )
    with appliance.launch([], settings, workspace=tmp_path):
        handle.set_smp.assert_called_once_with(cpus)
