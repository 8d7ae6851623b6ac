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
"""What is in images, through the API."""

import gzip
import json
import urllib.parse
import uuid

import pytest
import werkzeug.test

from tests.functional import api_service

OPENSSL = ('deb', 'openssl', '3.0.14-1~deb12u1', 'amd64')
NEWER = ('deb', 'openssl', '3.0.15-1~deb12u1', 'amd64')
RPM = ('rpm', 'openssl', '1:3.0.7-27.el9', 'x86_64')
YAML = ('pypi', 'pyyaml', '6.0', '')
#: Name of a project in these tests -> its id.
PROJECTS = {}
DOCUMENT = {
    'spdxVersion': 'SPDX-2.3',
    'SPDXID': 'SPDXRef-DOCUMENT',
    'name': 'web',
    'documentNamespace': 'https://spdx.org/spdxdocs/x',
    'creationInfo': {},
    'packages': [],
    'relationships': [],
}


@pytest.fixture(scope='module')
def service(tmp_path_factory):
    with api_service.running(tmp_path_factory.mktemp('api')) as found:
        yield found


@pytest.fixture(autouse=True)
def own_projects():
    """Each test has its own, though the service is one."""
    PROJECTS.clear()


@pytest.fixture
def client(service):
    return werkzeug.test.Client(service.wsgi)


@pytest.fixture
def build(service, client):
    def build(*packages, project='p1', name='web', **fields):
        """Its id; without packages it has no document."""
        body = {'name': name, 'os': 'debian-12', 'reuse': 'never', **fields}
        answer = client.post('/v1/builds', json=body, headers=as_(project))
        assert answer.status_code == 202, answer.text
        build_id = answer.json['id']
        if answer.json['status'] == 'queued':
            document = gzip.compress(json.dumps(DOCUMENT).encode())
            service.finish(
                build_id,
                f'g-{build_id}',
                packages=packages,
                sbom=document if packages else b'',
            )
        return build_id

    return build


def project_id(name):
    return PROJECTS.setdefault(name, uuid.uuid4().hex)


def as_(project, roles='member,reader'):
    return {'X-Project-Id': project_id(project), 'X-Roles': roles}


def asked(client, project='p1', roles='reader', **query):
    answer = client.get(
        f'/v1/packages?{urllib.parse.urlencode(query)}',
        headers=as_(project, roles),
    )
    assert answer.status_code == 200, answer.text
    return answer.json['packages']


def versions(items):
    return [item['version'] for item in items]


def test_the_sbom_of_a_build(client, build):
    build_id = build(OPENSSL)
    answer = client.get(f'/v1/builds/{build_id}/sbom', headers=as_('p1'))
    assert answer.status_code == 200
    assert answer.content_type == 'application/json'
    assert answer.json == DOCUMENT


def test_a_build_without_one(client, build):
    build_id = build()
    answer = client.get(f'/v1/builds/{build_id}/sbom', headers=as_('p1'))
    assert answer.status_code == 404
    assert answer.json['error']['message'] == (
        f'There is no SBOM of build {build_id}: it has not made its image '
        'yet, or its log says why there is none.'
    )


def test_the_sbom_of_others(client, build):
    build_id = build(OPENSSL)
    answer = client.get(f'/v1/builds/{build_id}/sbom', headers=as_('p2'))
    assert answer.status_code == 404
    assert answer.json['error']['message'] == (
        f'There is no build {build_id}.'
    )


def test_which_images_hold_a_package(client, build):
    old = build(OPENSSL, YAML, name='old')
    new = build(NEWER)
    red = build(RPM)
    build(OPENSSL, project='p2')
    build(YAML)
    found = asked(client, name='openssl', version='<3.0.15')
    assert found == [
        {
            'id': found[0]['id'],
            'name': 'openssl',
            'version': '3.0.14-1~deb12u1',
            'type': 'deb',
            'architecture': 'amd64',
            'image_id': f'g-{old}',
            'destination': '',
            'disk_format': 'qcow2',
            'build_id': old,
            'build_name': 'old',
            'project_id': project_id('p1'),
        }
    ]
    everything = asked(client, name='openssl')
    assert [item['build_id'] for item in everything] == [old, new, red]
    asked_rpm = asked(client, name='openssl', version='<1:3.0.15')
    assert versions(asked_rpm) == [OPENSSL[2], NEWER[2], RPM[2]]
    only = asked(client, name='openssl', version='<1:3.0.15', type='rpm')
    assert versions(only) == [RPM[2]]
    between = asked(client, name='openssl', version='>=3.0.14,<3.0.15')
    assert versions(between) == [OPENSSL[2]]
    assert asked(client, name='openss') == []
    assert asked(client, name='%') == []


def test_names_of_python_are_normalised(client, build):
    build(YAML)
    for name in ('PyYAML', 'pyyaml'):
        [found] = asked(client, name=name)
        assert found['architecture'] is None
        assert len(asked(client, name=name, type='pypi')) == 1
        assert asked(client, name=name, type='deb') == []


def test_a_reused_image_and_a_deleted_one(client, build):
    first = build(OPENSSL, reuse='always')
    second = build(OPENSSL, reuse='always')
    assert first != second
    client.delete(f'/v1/builds/{first}', headers=as_('p1'))
    [found] = asked(client, name='openssl')
    assert (found['build_id'], found['image_id']) == (second, f'g-{first}')
    answer = client.get(f'/v1/builds/{second}/sbom', headers=as_('p1'))
    assert answer.json == DOCUMENT
    client.delete(f'/v1/builds/{second}', headers=as_('p1'))
    assert asked(client, name='openssl') == []


def test_pages(client, build):
    ids = [build(OPENSSL, NEWER) for _ in range(3)]
    url, found = '/v1/packages?name=openssl&limit=2&version=%3C4', []
    while url:
        answer = client.get(url, headers=as_('p1'))
        assert answer.status_code == 200, answer.text
        assert len(answer.json['packages']) <= 2
        found += answer.json['packages']
        url = answer.json.get('next')
    assert [each['build_id'] for each in found] == ids + ids
    assert len({each['id'] for each in found}) == 6


def test_operators_ask_for_all_projects(client, build):
    build(OPENSSL)
    build(OPENSSL, project='p2')
    found = asked(client, roles='admin', name='openssl', all_projects='true')
    projects = {each['project_id'] for each in found}
    assert projects >= {project_id('p1'), project_id('p2')}
    answer = client.get(
        '/v1/packages?name=openssl&all_projects=true', headers=as_('p1')
    )
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ('query', 'path', 'message'),
    [
        ('', 'name', 'is missing'),
        ('name=', 'name', ''),
        ('name=x&version=%3C', 'version', 'is not a version'),
        ('name=x&version=<1.0+b', 'version', 'a plus sign is "%2B"'),
        ('name=x&version=', 'version', 'is not a version'),
        (f'name=x&version={"1," * 20}1', 'version', 'is not a version'),
        ('name=x&type=npm', 'type', ''),
        ('name=x&marker=1', 'marker', 'is not the id of an item'),
        ('name=%00', 'name', ''),
    ],
)
def test_mistakes(client, query, path, message):
    answer = client.get(f'/v1/packages?{query}', headers=as_('p1'))
    assert answer.status_code == 400
    [problem] = answer.json['error']['errors']
    assert problem['path'] == path
    assert message in problem['message']


def test_a_marker_of_nothing_is_the_end(client, build):
    build(OPENSSL)
    marker = f'{"9" * 18}-1-{"0" * 8}-0000-0000-0000-{"0" * 12}'
    assert asked(client, name='openssl', marker=marker) == []
