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
"""Runs phases of devstack/plugin.sh as stack.sh and its kin do."""

import configparser
import os
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Mapping

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLUGIN = ROOT / 'devstack'
STAND_IN = HERE / 'stand_in.sh'
OVER_CLOUD = HERE / 'over_cloud.sh'
PROGRAMS = pathlib.Path(sys.executable).parent

#: In the order in which stack.sh comes to them.
STACK = (
    'stack pre-install',
    'stack install',
    'stack post-config',
    'stack extra',
    'stack test-config',
)

# stack.sh stops at the first failure; unset variables are our own rule.
_RUN = """\
set -o errexit -o nounset
for stand_in in $STAND_INS; do source "$stand_in"; done
source "$PLUGIN/settings"
for phase in "$@"; do
    _record PHASE "$phase"
    source "$PLUGIN/plugin.sh" $phase
done
"""


class Devstack:
    """A devstack that is not there, with its files in a directory.

    :param stand_ins: read one after the other in place of devstack.
    :param environment: on top of little.
    :param variables: of local.conf.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        *,
        stand_ins: tuple[pathlib.Path, ...] = (STAND_IN,),
        environment: Mapping[str, str] | None = None,
        **variables: object,
    ) -> None:
        self.directory = directory
        self.etc = directory / 'etc' / 'imagebuild'
        self.conf = self.etc / 'imagebuild.conf'
        self.state = directory / 'data' / 'imagebuild'
        self.heat_conf = directory / 'etc' / 'heat' / 'heat.conf'
        self.tempest_conf = directory / 'tempest' / 'etc' / 'tempest.conf'
        for file in (self.heat_conf, self.tempest_conf):
            file.parent.mkdir(parents=True)
        (directory / 'local.conf').write_text(
            ''.join(
                f'{k}={shlex.quote(str(v))}\n' for k, v in variables.items()
            )
        )
        self.environment = {
            'PATH': os.environ['PATH'],
            'HOME': str(directory),
            'PYTHONWARNINGS': 'ignore',
            'STAND_IN': str(directory),
            'STAND_IN_BIN_DIR': str(PROGRAMS),
            'STAND_INS': ' '.join(map(str, stand_ins)),
            'PLUGIN': str(PLUGIN),
            **(environment or {}),
        }

    def run(
        self, *phases: str, before: str = '', after: str = ''
    ) -> 'subprocess.CompletedProcess[str]':
        """Run phases in one shell.

        :param before: shell commands that go before.
        :param after: shell commands that follow.
        """
        return subprocess.run(
            ['bash', '-c', f'{before}\n{_RUN}\n{after}', 'bash', *phases],
            env=self.environment,
            capture_output=True,
            text=True,
            cwd=self.directory,
        )

    def succeed(self, *phases: str) -> str:
        """Run phases, none of which may fail; what they print."""
        done = self.run(*phases)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def check_upgrade(self) -> str:
        """What imagebuild-status says of the configuration that was made."""
        done = subprocess.run(
            [
                PROGRAMS / 'imagebuild-status',
                f'--config-file={self.conf}',
                *('upgrade', 'check'),
            ],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def calls(self, phase: str) -> list[list[str]]:
        """Functions of devstack that a phase called, in all runs so far."""
        found = []
        current = ''
        for line in (self.directory / 'calls').read_text().splitlines():
            words = line.split('\t')
            if words[0] == 'PHASE':
                current = words[1]
            elif current == phase:
                found.append(words)
        return found

    def named(self, phase: str, *names: str) -> list[list[str]]:
        """Those of these names."""
        return [call for call in self.calls(phase) if call[0] in names]


def ini(path: pathlib.Path) -> configparser.ConfigParser:
    """An ini file; an option that is there twice is an error."""
    parser = configparser.ConfigParser(interpolation=None)
    # [DEFAULT] is a section like others.
    parser.default_section = ''
    with path.open() as file:
        parser.read_file(file)
    return parser
