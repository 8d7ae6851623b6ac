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
"""A recipe plugin of another package, over a real disk."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests import installed_package
from tests import recipe_plugin

pytestmark = pytest.mark.timeout(600)


def test_a_plugin_packs_and_checks_a_disk(
    minimal_copy: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    environment = installed_package.install(
        tmp_path,
        setup=recipe_plugin.SETUP,
        acme_appliance=recipe_plugin.MODULE,
    )

    def pack(*options: str) -> tuple[int, dict]:
        done = subprocess.run(
            [
                sys.executable, '-m', 'imagebuild.cmd.pack', '--image',
                minimal_copy, '--json', '--isolation', 'sandbox',
                '--cache', tmp_path / 'layers', *options,
                'acme_appliance', '2', '--site', 'here', '--token', 'seecret',
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        )  # fmt: skip
        assert 'seecret' not in done.stdout + done.stderr
        return done.returncode, json.loads(done.stdout)

    before = os.stat(minimal_copy)
    code, found = pack('--plan')
    assert code == 0
    [step] = found['plan']
    assert step['state'] == 'unknown'
    assert 'only it knows' in step['description']
    code, found = pack('--test-only')
    assert code == 1
    assert found['result'] == 'does-not-conform' or found['error']
    assert os.stat(minimal_copy).st_mtime_ns == before.st_mtime_ns
    code, found = pack()
    assert (code, found['result']) == (0, 'packed'), found
    # Nobody knows what it does: no layer is kept of it.
    assert not list((tmp_path / 'layers').glob('layers/*/*.qcow2'))
    code, found = pack('--test-only')
    assert (code, found['result']) == (0, 'conforms'), found
