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
"""The benchmark of the dispatch runs: few conductors, few builds."""

import json

from benchmarks.queue import dispatch


def test_dispatch(tmp_path, capsys):
    result = tmp_path / 'result.json'
    asked = {
        'database': 'sqlite',
        'builds': 10,
        'conductors': 4,
        'processes': 1,
        'paced': 3,
        'json': result,
    }
    argv = [f'--{name}={value}' for name, value in asked.items()]
    assert dispatch.main(argv) == 0
    [row] = json.loads(result.read_text())['rows']
    assert (row['builds'], row['counts']['taken']) == (10, 10)
    assert (row['paced']['taken'], len(row['dispatch'])) == (3, 3)
    assert 'builds/s' in capsys.readouterr().out
