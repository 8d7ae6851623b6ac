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
"""Guests that get in the way of whoever runs them: real appliances."""

import pathlib
from collections.abc import Iterator

import pytest

from imagebuild import appliance
from imagebuild import exception
from imagebuild.disks import image_file
from imagebuild.disks import overlay
from imagebuild.remotes import guestfs

pytestmark = pytest.mark.timeout(600)


def _open(image: pathlib.Path, folder: pathlib.Path) -> guestfs.GuestfsRemote:
    path = folder / 'overlay.qcow2'
    overlay.create(image_file.inspect(image), path)
    return guestfs.GuestfsRemote(
        [appliance.Drive(path, 'qcow2')], workspace=folder
    )


@pytest.fixture(scope='module')
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp('faults')


@pytest.fixture(scope='module')
def opened(
    minimal_image: pathlib.Path, directory: pathlib.Path
) -> Iterator[guestfs.GuestfsRemote]:
    """One appliance for all that it survives."""
    with _open(minimal_image, directory) as remote:
        yield remote


class TestLimits:
    """The clock of this host decides, whatever the guest says or sets."""

    def test_a_clock_set_forward_stops_nothing(
        self, opened: guestfs.GuestfsRemote
    ) -> None:
        script = b'date -s "+1 hour"; sleep 1; echo x >>/srv/runs; echo done'
        result = opened.run_script(script, name='x.sh', timeout=300)
        assert result.stdout.endswith('done\n')
        # Once, not again because somebody thought it had been stopped.
        assert opened.read_file('/srv/runs') == b'x\n'

    def test_a_clock_set_back_keeps_nothing_running(
        self, opened: guestfs.GuestfsRemote
    ) -> None:
        script = b'date -s "-3 hours"; sleep 300'
        with pytest.raises(exception.RemoteCommandTimeout) as caught:
            opened.run_script(script, name='x.sh', timeout=3)
        assert str(caught.value) == 'x.sh was stopped after 3 seconds.'

    def test_a_guest_that_says_that_it_was_stopped(
        self, opened: guestfs.GuestfsRemote
    ) -> None:
        script = b'for d in /dev/.imagebuild-*; do : >$d/stopped; done; exit 3'
        with pytest.raises(exception.RemoteCommandFailed) as caught:
            opened.run_script(script, name='x.sh', timeout=300)
        assert caught.value.exit_code_of_command == 3
