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
from typing import Any

import pytest

from imagebuild import appliance
from imagebuild import exception
from imagebuild.disks import image_file
from imagebuild.disks import overlay
from imagebuild.remotes import guestfs
from tests.contract import disk_contract
from tests.contract import handle_contract


def _open(
    image: pathlib.Path, directory: pathlib.Path
) -> guestfs.GuestfsRemote:
    path = directory / 'overlay.qcow2'
    overlay.create(image_file.inspect(image), path)
    return guestfs.GuestfsRemote(
        [appliance.Drive(path, 'qcow2')], workspace=directory
    )


@pytest.fixture(scope='module')
def opened(
    minimal_image: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[guestfs.GuestfsRemote]:
    with _open(minimal_image, tmp_path_factory.mktemp('contract')) as remote:
        yield remote


class TestGuestfsRemote(disk_contract.DiskContract):
    @pytest.fixture
    def remote(self, opened: guestfs.GuestfsRemote) -> guestfs.GuestfsRemote:
        return opened

    @pytest.fixture
    def fresh_remote(
        self, minimal_image: pathlib.Path, tmp_path: pathlib.Path
    ) -> guestfs.GuestfsRemote:
        return _open(minimal_image, tmp_path)

    # -- what only an appliance lets happen ----------------------------------

    def test_a_device_is_refused_at_once(
        self, remote: guestfs.GuestfsRemote
    ) -> None:
        remote.run(['mknod', '/srv/device', 'c', '1', '3'])
        with pytest.raises(exception.StepError, match='not a regular file'):
            remote.write_file('/srv/device', b'x')
        with pytest.raises(exception.RemoteFileNotFound):
            remote.read_file('/srv/device')


class TestHandle(handle_contract.FlagsContract):
    @pytest.fixture
    def handle(self, opened: guestfs.GuestfsRemote) -> Any:
        return opened.appliance.handle


def test_a_magic_key_is_the_users_fault(
    opened: guestfs.GuestfsRemote,
) -> None:
    """Last: it ends the appliance of all above."""
    script = b'echo c >/proc/sysrq-trigger; sleep 600'
    with pytest.raises(exception.GuestBroken, match='magic SysRq') as caught:
        opened.run_script(script, name='x.sh', timeout=500)
    assert caught.value.exit_code == 1
