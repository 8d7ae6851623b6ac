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
"""Our Tempest plugin, run by Tempest itself."""

import pathlib
import re
import subprocess

from tools.cloud import clouds
from tools.cloud import venv

PROGRAM = venv.ROOT / 'tools' / 'cloud' / 'tempest'


def tempest(directory: pathlib.Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of tools/cloud/tempest."""
    done = subprocess.run(
        [PROGRAM, '--state', directory, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def total(output: str, name: str) -> int:
    """A number of the summary, such as " - Passed: 12"."""
    found = re.findall(rf'^ - {name}: (\d+)$', output, re.MULTILINE)
    assert len(found) == 1, output[-5000:]
    return int(found[0])


def test_the_plugin_passes(nova_cloud: clouds.Cloud) -> None:
    code, output = tempest(nova_cloud.directory)
    assert code == 0, output[-20000:]
    assert total(output, 'Failed') == 0
    assert total(output, 'Unexpected Success') == 0
    # With this cloud there is a reason to skip none of ours.
    assert total(output, 'Skipped') == 0, output[-20000:]
    assert total(output, 'Passed') > 100
    # It leaves no users or projects.
    for kind in ('user', 'project'):
        names = nova_cloud.openstack(
            kind, 'list', '-f', 'value', '-c', 'Name', user='admin'
        )
        assert 'tempest-' not in names


def test_no_cloud(tmp_path: pathlib.Path) -> None:
    code, output = tempest(tmp_path / 'none')
    assert code == 1
    assert 'is not up: tools/cloud/up --state' in output
