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
"""Configuration files, credentials and the command line."""

import json
import pathlib
import subprocess

from tools.cloud import cloud_site
from tools.cloud import credentials


def test_openrc_and_clouds_yaml_agree(tmp_path: pathlib.Path) -> None:
    place = cloud_site.Site(tmp_path, virt='fake')
    credentials.write(place)
    written = json.loads((tmp_path / 'clouds.yaml').read_text())['clouds']
    for name, values in written.items():
        script = f'export OS_TRUST_ID=x; . {tmp_path}/openrc-{name}; env'
        shell = subprocess.run(
            ['bash', '-uc', script],
            capture_output=True,
            text=True,
            check=True,
        )
        lines = shell.stdout.splitlines()
        variables = dict(line.split('=', 1) for line in lines if '=' in line)
        for key, value in values['auth'].items():
            assert variables[f'OS_{key.upper()}'] == value
        assert 'OS_TRUST_ID' not in variables
