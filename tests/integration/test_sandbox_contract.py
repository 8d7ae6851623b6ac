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
"""The contracts, over a disk in the sandbox. Nothing is emulated: seconds."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from imagebuild.remotes import sandbox as remotes
from tests.contract import disk_contract
from tests.contract import handle_contract
from tests.integration import sandboxes


@pytest.fixture(scope='module')
def opened(
    minimal_image: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[remotes.SandboxRemote]:
    directory = tmp_path_factory.mktemp('contract')
    with sandboxes.opened(minimal_image, directory) as remote:
        yield remote


class TestSandboxRemote(disk_contract.DiskContract):
    @pytest.fixture
    def remote(self, opened: remotes.SandboxRemote) -> remotes.SandboxRemote:
        return opened

    @pytest.fixture
    def fresh_remote(
        self, minimal_image: pathlib.Path, tmp_path: pathlib.Path
    ) -> Iterator[remotes.SandboxRemote]:
        with sandboxes.opened(minimal_image, tmp_path) as remote:
            yield remote


def test_it_looks_like_a_chroot(opened: remotes.SandboxRemote) -> None:
    """Services are not started in one, and that is no error."""
    result = opened.run(
        [
            *('sh', '-c'),
            'ischroot && stat -c %a /proc/1/root; cat /proc/1/cmdline; '
            'grep ^Pid: /proc/1/status; ls -A /proc/1; hostname',
        ]
    )
    assert result.stdout.replace('\0', ' ').split() == [
        *('0', 'init', 'Pid:', '1'),
        *('cgroup', 'cmdline', 'comm', 'root', 'stat', 'statm', 'status'),
        'localhost',
    ]


class TestHandle(
    handle_contract.FlagsContract, handle_contract.InsideContract
):
    @pytest.fixture
    def handle(self, opened: remotes.SandboxRemote) -> Any:
        self.remote = opened
        return opened._handle

    def make_fifo(self, handle: Any, path: str) -> None:
        """By a command: the handle has no call for it."""
        self.remote.run(['mkfifo', '-m', '666', path])
