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
"""Clouds of clouds.yaml as plain values."""

import json
import os
import sys

import pytest

from imagebuild import exception
from imagebuild.clients import clouds
from imagebuild.clients import keystone

TEXT = """
clouds:
  west:
    auth:
      auth_url: https://keystone.west.example/v3
      username: imagebuild
      project_name: service
      user_domain_name: Default
      project_domain_name: Default
    region_name: RegionOne
    interface: internal
    cacert: /etc/west.pem
    cert: /etc/client.pem
    key: /etc/client.key
    api_timeout: 7
    image_endpoint_override: https://glance.west.example
  app:
    auth_type: v3applicationcredential
    verify: false
    auth:
      auth_url: https://keystone.app.example/v3
      application_credential_id: "123"
      application_credential_secret: hush-app
  regions:
    regions: [A, B]
    auth: {auth_url: "http://k", username: u, password: p, project_name: s}
"""
SECRETS = """
clouds:
  west:
    auth: {password: hush-west}
"""


@pytest.fixture
def file(tmp_path):
    def write(text=TEXT):
        path = tmp_path / 'clouds.yaml'
        path.write_text(text)
        (tmp_path / 'secure.yaml').write_text(SECRETS)
        return str(path)

    return write


def test_one_with_a_password_in_a_file_beside_it(file):
    found = clouds.sections('west', clouds_file=file())
    assert json.loads(json.dumps(found)) == found
    assert found == {
        'keystone': {
            'auth_type': 'password',
            'auth_url': 'https://keystone.west.example/v3',
            'username': 'imagebuild',
            'password': 'hush-west',
            'project_name': 'service',
            'user_domain_name': 'Default',
            'project_domain_name': 'Default',
            'cafile': '/etc/west.pem',
            'certfile': '/etc/client.pem',
            'keyfile': '/etc/client.key',
            'timeout': 7,
        },
        'glance': {
            'region_name': 'RegionOne',
            'valid_interfaces': ['internal'],
            'endpoint_override': 'https://glance.west.example',
        },
        'secret_options': {'keystone': ['password']},
    }
    session = keystone.session(found['keystone'])
    assert session.auth.auth_url == 'https://keystone.west.example/v3'
    assert session.cert == ('/etc/client.pem', '/etc/client.key')
    assert session.timeout == 7


def test_one_with_another_plugin(file):
    found = clouds.sections('app', clouds_file=file())
    assert found['keystone']['insecure'] is True
    assert found['secret_options'] == {
        'keystone': ['application_credential_secret']
    }
    session = keystone.session(found['keystone'])
    assert session.verify is False
    assert type(session.auth).__name__ == 'ApplicationCredential'


def test_one_with_several_regions(file):
    def region(**options):
        found = clouds.sections('regions', clouds_file=file(), **options)
        return found['glance']['region_name']

    assert region() == 'A'
    assert region(region_name='B') == 'B'


def test_the_environment_is_not_looked_at(file, monkeypatch):
    monkeypatch.setenv('OS_CLOUD', 'app')
    monkeypatch.setenv('OS_PASSWORD', 'of the environment')
    monkeypatch.setenv('OS_CLIENT_CONFIG_FILE', '/nowhere')
    found = clouds.sections('west', clouds_file=file())
    assert found['keystone']['password'] == 'hush-west'


@pytest.fixture
def usual(file, monkeypatch):
    """clouds.yaml where every client looks, and no environment."""
    for name in [name for name in os.environ if name.startswith('OS_')]:
        monkeypatch.delenv(name)

    def write(text=TEXT):
        monkeypatch.setattr(
            'openstack.config.loader.CONFIG_FILES', [file(text)]
        )

    return write


def test_the_cloud_that_the_environment_names(usual, monkeypatch):
    usual()
    monkeypatch.setenv('OS_CLOUD', 'app')
    found = clouds.sections('', environment=True)
    assert found['keystone']['auth_type'] == 'v3applicationcredential'
    # Who names one means that one.
    found = clouds.sections('regions', environment=True)
    assert found['keystone']['username'] == 'u'


def test_the_cloud_that_is_the_environment(usual, monkeypatch):
    usual()
    for name, value in {
        'AUTH_URL': 'https://k.example/v3',
        'USERNAME': 'me',
        'PASSWORD': 'hush',
        'PROJECT_NAME': 'mine',
        'USER_DOMAIN_NAME': 'Default',
        'PROJECT_DOMAIN_NAME': 'Default',
        'REGION_NAME': 'RegionTwo',
    }.items():
        monkeypatch.setenv(f'OS_{name}', value)
    found = clouds.sections('', environment=True)
    assert found['keystone']['username'] == 'me'
    assert found['glance']['region_name'] == 'RegionTwo'
    monkeypatch.delenv('OS_AUTH_URL')
    with pytest.raises(exception.InvalidInput) as caught:
        clouds.sections('', environment=True)
    assert str(caught.value).startswith(
        'The cloud of the environment (OS_...) cannot be used: '
    )
    assert 'hush' not in str(caught.value)


def test_the_only_cloud(usual):
    usual('clouds: {one: {auth: {auth_url: "http://k", username: u}}}')
    found = clouds.sections('', environment=True)
    assert found['keystone']['username'] == 'u'


@pytest.mark.parametrize(
    'text, message',
    [
        (TEXT, '(clouds.yaml has app, regions, west).'),
        ('clouds: {}', '(none was found'),
    ],
)
def test_no_cloud_is_named(usual, text, message):
    usual(text)
    with pytest.raises(exception.InvalidInput) as caught:
        clouds.sections('', environment=True)
    assert message in str(caught.value)


def test_the_usual_places(file, monkeypatch, tmp_path):
    file()
    monkeypatch.setattr(
        'openstack.config.loader.CONFIG_FILES', [str(tmp_path / 'clouds.yaml')]
    )
    assert clouds.sections('west')['keystone']['username'] == 'imagebuild'


@pytest.mark.parametrize(
    'text, options, message',
    [
        (TEXT, {'cloud': 'east'}, 'The cloud "east" of .* was not found.$'),
        (
            TEXT,
            {'cloud': 'regions', 'region_name': 'C'},
            'Region C is not a valid region name',
        ),
        (
            'clouds:\n  a: {auth: {x: hush, y\n',
            {},
            'is not YAML, see line 3.$',
        ),
        ('\x00', {}, 'is not YAML'),
        ('- hush\n', {}, 'empty or not a valid mapping'),
        ('clouds: [hush]\n', {}, 'not what openstacksdk wants'),
        ('clouds: {a: hush}\n', {}, 'not what openstacksdk wants'),
        ('clouds: {a: {auth: [hush]}}\n', {}, 'not what openstacksdk wants'),
        ('clouds: {a: {auth: {password: hush}}}\n', {}, 'auth_url'),
        ('clouds: {a: {auth_type: none of mine}}\n', {}, 'none of mine'),
    ],
)
def test_those_that_cannot_be_used(file, text, options, message):
    with pytest.raises(exception.InvalidInput, match=message) as caught:
        clouds.sections(**{'cloud': 'a', 'clouds_file': file(text), **options})
    assert 'hush' not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(exception.InvalidInput, match='cannot be read'):
        clouds.sections('a', clouds_file=str(tmp_path / 'clouds.yaml'))


def test_without_openstacksdk(file, monkeypatch):
    monkeypatch.setitem(sys.modules, 'openstack', None)
    with pytest.raises(
        exception.MissingDependency, match=r'install .*\[clouds\]'
    ):
        clouds.sections('west', clouds_file=file())
