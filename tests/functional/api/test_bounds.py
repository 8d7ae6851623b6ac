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
"""Bodies that are beyond the bounds, sent to the API."""

import json
import time

import pytest
import werkzeug.test

from tests.functional import api_service


@pytest.fixture
def service(tmp_path):
    with api_service.running(tmp_path) as found:
        yield found


def _post(service, content, path='/v1/builds/plan', roles='admin', **headers):
    client = werkzeug.test.Client(service.wsgi)
    begun = time.process_time()
    answer = client.post(
        path,
        data=content,
        headers={
            'Content-Type': 'application/json',
            'X-Roles': roles,
            **headers,
        },
    )
    return answer, time.process_time() - begun


MIXED = [
    *(str(number) for number in range(5000)),
    *range(4000),
    *({'a': number} for number in range(500)),
]


@pytest.mark.parametrize('field', ['tags', 'members', 'destinations'])
def test_a_mixed_list_takes_no_time(service, field):
    body = json.dumps({'name': 'x', 'os': 'debian-12', field: MIXED})
    answer, took = _post(service, body)
    assert answer.status_code == 400
    messages = [each['message'] for each in answer.json['error']['errors']]
    assert any('more than' in each for each in messages)
    assert took < 3


def test_who_may_not_is_refused_before_the_body_is_read(service):
    answer, _ = _post(service, b'no JSON', path='/v1/builds', roles='reader')
    assert answer.status_code == 403


_DEEP = 5000


HOSTILE = {
    'a long key above many values': json.dumps(
        {'name': 'x', 'manifest': {'k' * 500_000: [1] * 40_000}}
    ),
    'a long key of allowed length': json.dumps(
        {'name': 'x', 'manifest': {'k' * 4096: ['\0'] * 40_000}}
    ),
    'many unknown keys': json.dumps({f'k{n}': n for n in range(45_000)}),
    'deep lists': '{"name": "x", "manifest": {"a": '
    + '[' * _DEEP
    + ']' * _DEEP
    + '}}',
    'a long integer': '{"name": "x", "min_disk": ' + '1' * 900_000 + '}',
    'a long fraction': '{"name": "x", "min_disk": 0.' + '1' * 900_000 + '}',
    'a huge exponent': '{"name": "x", "min_disk": 1e999999999}',
    'a large number': '{"name": "x", "min_disk": 9223372036854775807}',
    'repeated tags': json.dumps({'name': 'x', 'tags': ['a'] * 49_000}),
    'texts of quotes': json.dumps({'name': 'x', 'tags': ["'" * 900_000]}),
    'many bad packages': json.dumps({'packages': [{'a': 1, 'b': 2}] * 9_000}),
    'a long package name': json.dumps({'packages': ['a' * 1_000_000]}),
    'many values': json.dumps({'arguments': {'a': [0] * 49_000}}),
    'many arguments': json.dumps(
        {'arguments': {f'a{n}': 'x' for n in range(45_000)}}
    ),
    'a long path': json.dumps({'files': [{'path': '/' * 900_000}]}),
    'many files': json.dumps({'files': [{'path': '/a/../b'}] * 24_000}),
}


@pytest.mark.parametrize('name', HOSTILE)
def test_a_hostile_body_is_refused_quickly(service, name):
    answer, took = _post(service, HOSTILE[name].replace(
        '{', '{"os": "debian-12", ', 1
    ))  # fmt: skip
    assert answer.status_code == 400, answer.text[:200]
    assert len(answer.data) < 100_000
    assert took < 3, f'{took} s'
