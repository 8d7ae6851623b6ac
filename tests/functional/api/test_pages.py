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
"""A list of large builds costs neither side memory."""

import tracemalloc

import pytest
import werkzeug.test

from tests.functional import api_service

MIB = 1024 * 1024
NUMBER = 12


@pytest.fixture
def service(tmp_path):
    with api_service.running(tmp_path) as found:
        yield found


def _create(service, name):
    service.database.create_build(
        {
            'project_id': 'default',
            'user_id': 'u',
            'name': name,
            'driver': 'fake',
            'architecture': 'x86_64',
            'request': {
                'name': name,
                'tags': ['a'],
                'resources': {'x': 'y' * MIB},
            },
            'content_key': name,
            'base': {},
            'timeout': 60,
        }
    )


def test_a_list_of_large_builds_is_small(service):
    for number in range(NUMBER):
        _create(service, f'n{number}')
    client = werkzeug.test.Client(service.wsgi)
    url, names = '/v1/builds?limit=1000&project_id=default&sort=name', []
    peak = 0
    while url:
        tracemalloc.start()
        answer = client.get(url, headers={'X-Roles': 'admin'})
        peak = max(peak, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert answer.status_code == 200, answer.text
        assert len(answer.data) < 64 * 1024
        for build in answer.json['builds']:
            assert build['request'] == {'name': build['name'], 'tags': ['a']}
            names.append(build['name'])
        url = answer.json.get('next')
    assert names == sorted(f'n{number}' for number in range(NUMBER))
    # All of them, each as text and as what was read of it, are 24 MiB.
    assert peak < 16 * MIB
    shown = client.get(f'/v1/builds/{build["id"]}')
    assert len(shown.json['request']['resources']['x']) == MIB
