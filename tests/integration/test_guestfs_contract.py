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
"""The Remote contract over a real disk."""

import pathlib
from collections.abc import Iterator

import pytest

from imagebuild import appliance
from imagebuild.disks import image_file
from imagebuild.disks import overlay
from imagebuild.remotes import guestfs
from tests.contract import remote_contract


def _open(image: pathlib.Path, folder: pathlib.Path) -> guestfs.GuestfsRemote:
    path = folder / 'overlay.qcow2'
    overlay.create(image_file.inspect(image), path)
    return guestfs.GuestfsRemote(
        [appliance.Drive(path, 'qcow2')], workspace=folder
    )


@pytest.fixture(scope='module')
def opened(
    minimal_image: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[guestfs.GuestfsRemote]:
    with _open(minimal_image, tmp_path_factory.mktemp('contract')) as remote:
        yield remote


class TestGuestfsRemote(remote_contract.RemoteContract):
    @pytest.fixture
    def remote(self, opened: guestfs.GuestfsRemote) -> guestfs.GuestfsRemote:
        return opened

    @pytest.fixture
    def fresh_remote(
        self, minimal_image: pathlib.Path, tmp_path: pathlib.Path
    ) -> guestfs.GuestfsRemote:
        return _open(minimal_image, tmp_path)
