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
"""The contract, over a disk in the sandbox. Nothing is emulated: seconds."""

import pathlib
from collections.abc import Iterator

import pytest

from imagebuild import exception
from imagebuild.remotes import sandbox as remotes
from tests.contract import remote_contract
from tests.integration import sandboxes


@pytest.fixture(scope='module')
def opened(
    minimal_image: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[remotes.SandboxRemote]:
    directory = tmp_path_factory.mktemp('contract')
    with sandboxes.opened(minimal_image, directory) as remote:
        yield remote


class TestSandboxRemote(remote_contract.RemoteContract):
    @pytest.fixture
    def remote(self, opened: remotes.SandboxRemote) -> remotes.SandboxRemote:
        return opened

    @pytest.fixture
    def fresh_remote(
        self, minimal_image: pathlib.Path, tmp_path: pathlib.Path
    ) -> Iterator[remotes.SandboxRemote]:
        with sandboxes.opened(minimal_image, tmp_path) as remote:
            yield remote

    def test_what_is_no_file_is_refused_at_once(
        self, remote: remotes.SandboxRemote
    ) -> None:
        remote.run(['sh', '-c', 'rm -f /srv/special; mkfifo /srv/special'])
        with pytest.raises(exception.StepError, match='not a regular file'):
            remote.write_file('/srv/special', b'x')
