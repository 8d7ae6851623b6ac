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
"""Where images come from, through the API; in-toto's library reads it."""

import hashlib
import json

import pytest
import werkzeug.test
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement as in_toto
from in_toto_attestation.v1 import statement_pb2

from tests.functional import api_service

SECRET = 'hush-hush-4711'
MANIFEST = {
    'arguments': {'password': {'required': True, 'hidden': True}},
    'validators': [{'script': {'x.sh': {'env_vars': ['password']}}}],
}
SCRIPT = '#!/bin/sh\ntrue\n'
REQUEST = {
    'name': 'web',
    'os': 'debian-12',
    'packages': ['nginx'],
    'files': [
        {'path': '/etc/motd', 'content': 'hello\n'},
        {'path': '/etc/raw', 'content_base64': 'AAEC'},
    ],
    'manifest': MANIFEST,
    'resources': {'x.sh': SCRIPT},
    'arguments': {'password': SECRET},
}
PROJECT = {'X-Project-Id': 'p1', 'X-Roles': 'member,reader'}


@pytest.fixture(scope='module')
def service(tmp_path_factory):
    with api_service.running(tmp_path_factory.mktemp('api')) as found:
        yield found


@pytest.fixture
def client(service):
    return werkzeug.test.Client(service.wsgi)


def create(client, **request):
    answer = client.post('/v1/builds', json=request, headers=PROJECT)
    assert answer.status_code == 202, answer.text
    return answer.json


def provenance(client, build_id):
    return client.get(f'/v1/builds/{build_id}/provenance', headers=PROJECT)


def sha256(content):
    return {'sha256': hashlib.sha256(content).hexdigest()}


def test_the_statement_of_a_build(service, client):
    build = create(client, **REQUEST)
    service.finish(build['id'], 'glance-7')
    answer = provenance(client, build['id'])
    assert answer.status_code == 200, answer.text
    assert SECRET not in answer.text
    found = answer.json
    parsed = json_format.ParseDict(found, statement_pb2.Statement())
    in_toto.Statement.copy_from_pb(parsed).validate()
    json_format.ParseDict(found['predicate'], provenance_pb2.Provenance())
    assert found['subject'] == [
        {
            'name': 'glance-7',
            'digest': {'sha512': 'cd' * 64},
            'annotations': {'name': 'web', 'disk_format': 'qcow2'},
        }
    ]
    definition = found['predicate']['buildDefinition']
    request = definition['externalParameters']['request']
    assert request['arguments'] == {'password': '***'}
    assert request['packages'] == ['nginx']
    digests = {
        each['name']: each.get('digest')
        for each in definition['resolvedDependencies']
    }
    assert digests['file /etc/motd'] == sha256(b'hello\n')
    assert digests['file /etc/raw'] == sha256(b'\0\1\2')
    assert digests['resource x.sh'] == sha256(SCRIPT.encode())
    assert digests['manifest'] == sha256(
        json.dumps(MANIFEST, sort_keys=True).encode()
    )
    details = found['predicate']['runDetails']
    assert details['metadata']['invocationId'] == build['id']
    assert details['builder']['id'] == 'http://localhost'


def test_a_build_that_reuses_an_image_has_that_of_its_maker(service, client):
    made = create(client, name='first', os='debian-12', packages=['zip'])
    service.finish(made['id'], 'glance-8')
    again = create(client, name='second', os='debian-12', packages=['zip'])
    assert again['status'] == 'active'
    first = provenance(client, made['id']).json
    assert provenance(client, again['id']).json == first
    client.delete(f'/v1/builds/{made["id"]}', headers=PROJECT)
    # Its own description, which is of the same content.
    found = provenance(client, again['id']).json
    assert found['subject'][0]['digest'] == first['subject'][0]['digest']
    metadata = found['predicate']['runDetails']['metadata']
    assert metadata['invocationId'] == again['id']


def test_a_build_without_an_image(service, client):
    build = create(client, name='x', os='debian-12', packages=['tree'])
    answer = provenance(client, build['id'])
    assert answer.status_code == 404
    assert answer.json['error']['message'] == (
        f'There is no provenance of build {build["id"]}: it has no image.'
    )


def test_that_of_others(client):
    build = create(client, name='x', os='debian-12', packages=['bzip2'])
    answer = client.get(
        f'/v1/builds/{build["id"]}/provenance',
        headers={**PROJECT, 'X-Project-Id': 'p2'},
    )
    assert answer.status_code == 404
