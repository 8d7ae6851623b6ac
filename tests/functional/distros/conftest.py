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
"""A remote that runs the families' scripts here, with stub programs."""

import pathlib
import subprocess

import pytest

from imagebuild.remotes import fake

POLICY = '/usr/sbin/policy-rc.d'


class StubbedSystem(fake.FakeRemote):
    """Runs commands on this host; its programs are stubs in a directory.

    :ivar log: what the stubs were told, one line for each call.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__()
        self.directory = directory
        self.policy = directory / 'policy-rc.d'
        (directory / 'bin').mkdir()
        for name in ('rm', 'chmod', 'cat', 'sed'):
            (directory / 'bin' / name).symlink_to(f'/usr/bin/{name}')
        self.when(lambda command: True, self._really)

    @property
    def log(self) -> list[str]:
        path = self.directory / 'log'
        return path.read_text().splitlines() if path.exists() else []

    def stub(self, name: str, text: str = '') -> None:
        """Make a program that writes down its arguments, and runs text."""
        path = self.directory / 'bin' / name
        path.write_text(
            '#!/bin/sh\n'
            f'printf "%s\\n" "{name} $*" >>{self.directory}/log\n'
            f'{text.replace(POLICY, str(self.policy))}\n'
        )
        path.chmod(0o755)

    def _really(self, command: fake.Command) -> fake.Answer:
        argv = [
            part.replace(POLICY, str(self.policy)) for part in command.argv
        ]
        done = subprocess.run(
            [f'{self.directory}/bin/{argv[0]}' if argv[0][0] != '/'
             else argv[0], *argv[1:]],
            capture_output=True,
            text=True,
            env={**command.env, 'PATH': f'{self.directory}/bin'},
        )  # fmt: skip
        return fake.Answer(done.stdout, done.stderr, done.returncode)


@pytest.fixture
def system(tmp_path: pathlib.Path) -> StubbedSystem:
    return StubbedSystem(tmp_path)
