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
"""imagebuild-pack --base with images of a cloud.

Glance and Keystone are stand-ins behind real HTTP; what is asked of them goes
through openstacksdk, keystoneauth and glanceclient.
"""

import json
import os
import re

import pytest

from imagebuild.clients import retries
from imagebuild.cmd import base_choice
from tests import fake_glance
from tests.functional import published_server
from tests.functional.cmd import packing_place

IMAGE = b'disk' * 128 * 1024
MINE, OTHERS = 'project-of-mine', 'project-of-others'


@pytest.fixture
def glance():
    with fake_glance.FakeGlance() as running:
        yield running


class Keystone:
    """Issues tokens for one project, if the password is right."""

    def __init__(self, server):
        self.url = f'{server.url}/v3'
        server.files = {'/v3/auth/tokens': self._issue}

    def _issue(self, request):
        length = int(request.headers['Content-Length'])
        asked = json.loads(request.rfile.read(length))['auth']['identity']
        if asked['password']['user']['password'] != 'hush-hush':
            request.send_error(401)
            return
        text = json.dumps(
            {
                'token': {
                    'methods': ['password'],
                    'expires_at': '2999-01-01T00:00:00.000000Z',
                    'user': {'id': 'me', 'name': 'me'},
                    'project': {'id': MINE, 'name': 'mine'},
                    'catalog': [],
                }
            }
        ).encode()
        request.send_response(201)
        request.send_header('X-Subject-Token', 'token-hush')
        request.send_header('Content-Length', str(len(text)))
        request.end_headers()
        request.wfile.write(text)


CLOUDS = """
clouds:
  west:
    auth_type: v3password
    auth:
      auth_url: {keystone.url}
      username: me
      password: {password}
      project_name: mine
      user_domain_name: Default
      project_domain_name: Default
    image_endpoint_override: {glance.url}
  east:
    auth: {{username: me}}
"""


@pytest.fixture
def place(tmp_path, capsys, monkeypatch, glance):
    for name in [name for name in os.environ if name.startswith('OS_')]:
        monkeypatch.delenv(name)
    monkeypatch.setenv('OS_CLIENT_CONFIG_FILE', str(tmp_path / 'clouds.yaml'))
    monkeypatch.setenv('OS_CLOUD', 'west')
    monkeypatch.setattr(retries, '_FIRST_PAUSE', 0.05)
    monkeypatch.setattr(base_choice, 'RETRY_TIMEOUT', 0.5)
    with published_server.Server() as server:
        (tmp_path / 'clouds.yaml').write_text(
            CLOUDS.format(
                keystone=Keystone(server), glance=glance, password='hush-hush'
            )
        )
        yield packing_place.Place(tmp_path, capsys, monkeypatch)


def add(glance, **values):
    return glance.add(
        values.pop('content', IMAGE),
        **{'disk_format': 'raw', 'owner': MINE, 'name': 'base', **values},
    )


@pytest.mark.parametrize('by', ['name', 'id'])
def test_an_image_of_the_user(place, glance, by):
    image = add(glance)
    code, told = place.pack(f'glance:{image[by]}')
    assert code == 0, told
    assert place.packed == [IMAGE]
    assert (place.path / 'out/x.img').read_bytes() == IMAGE


def test_nothing_secret_is_printed(place, glance):
    add(glance)
    code, told = place.pack('glance:base', '--debug', '--os-cloud', 'west')
    assert code == 0
    assert 'hush' not in told


def test_of_the_catalogue_only_what_is_trusted(place, glance):
    """Anybody can give an image any tag; it may be newer, too."""
    place.catalogue('a: {image: {tag: base}}\nb: {image: {name: base}}\n')
    mine = add(glance, tags=['base'])
    evil = b'evil' * 1024
    add(glance, tags=['base'], owner=OTHERS, content=evil)
    add(glance, tags=['base'], owner=OTHERS, content=evil,
        visibility='community')  # fmt: skip
    for name in 'ab':
        code, told = place.pack(name, output=f'out/{name}.img')
        assert code == 0, told
    assert place.packed == [IMAGE, IMAGE]
    del glance.images[mine['id']]
    code, told = place.pack('a', output='out/c.img')
    assert code == 2
    assert told.splitlines()[-1] == (
        'There is no active image with the tag base.'
    )


def test_another_project_that_the_operator_trusts(place, glance):
    place.catalogue('a: {image: {tag: base}}\n')
    add(glance, tags=['base'], owner=OTHERS)
    (place.path / 'b.conf').write_text(
        f'[glance]\ntrusted_projects = {OTHERS}\n'
    )
    code, told = place.pack('a', '--config-file', place.path / 'b.conf')
    assert code == 0, told


def no_such(glance):
    add(glance, owner=OTHERS)
    return 'There is no image base.'


def several(glance):
    ids = {add(glance)['id'], add(glance)['id']}
    assert len(ids) == 2
    return '2 images are named "base"; give the id of one: '


def not_active(glance):
    image = add(glance, content=b'', status='queued')
    return f'Image {image["id"]} cannot be used: it is queued.'


def of_another_format(glance):
    image = add(glance, disk_format='vmdk')
    return (
        f'The base image {image["id"]} cannot be used: it should be vmdk, and '
        'its content is raw.'
    )


def without_a_checksum(glance):
    image = add(glance)
    image['os_hash_value'] = image['os_hash_algo'] = None
    return 'no checksum of it is known that cannot be forged'


@pytest.mark.parametrize(
    'case',
    [no_such, several, not_active, of_another_format, without_a_checksum],
)
def test_images_that_cannot_be_used(place, glance, case):
    message = case(glance)
    code, told = place.pack('glance:base')
    assert code == 2
    assert message in told.splitlines()[-1]
    assert (place.left(), place.packed) == ([], [])


def test_a_download_that_is_cut(place, glance):
    add(glance)
    glance.fail('GET', '/file', 0, after=100_000)
    code, told = place.pack('glance:base')
    assert code == 0, told
    assert 'the connection broke in the middle of a file' in told
    assert place.packed == [IMAGE]


def test_a_download_that_never_ends_well(place, glance):
    add(glance)
    glance.fail('GET', '/file', 503, times=99)
    code, told = place.pack('glance:base')
    assert code == 3
    assert told.splitlines()[-1].startswith('The image service cannot be used')
    assert place.left() == []


def test_another_file_than_that_of_the_checksum(place, glance):
    image = add(glance)
    glance.data[image['id']] = b'evil' * 128 * 1024
    code, told = place.pack('glance:base')
    assert code == 3
    assert image['os_hash_value'] in told.splitlines()[-1]
    assert place.left() == []


def test_a_password_that_is_wrong(place):
    clouds = place.path / 'clouds.yaml'
    clouds.write_text(clouds.read_text().replace('hush-hush', 'hush'))
    code, told = place.pack('glance:base')
    assert code == 3
    assert told.splitlines()[-1].startswith('The identity service cannot be')
    assert 'hush' not in told


@pytest.mark.parametrize('plugin', ['v3password', 'password'])
def test_a_cloud_that_is_away(place, plugin):
    clouds = place.path / 'clouds.yaml'
    text = re.sub('auth_url: .*', 'auth_url: http://127.0.0.1:1/v3',
                  clouds.read_text())  # fmt: skip
    clouds.write_text(text.replace('v3password', plugin))
    code, told = place.pack('glance:base')
    assert code == 3
    assert told == (
        'The image service cannot be used: Unable to establish connection to '
        'http://127.0.0.1:1/v3/auth/tokens: it refuses connections.\n'
    )


def test_a_cloud_that_is_not_complete(place):
    code, told = place.pack('glance:base', '--os-cloud', 'east')
    assert code == 2
    assert told.startswith('The cloud "east" of clouds.yaml cannot be used: ')
    assert len(told.splitlines()) == 1
