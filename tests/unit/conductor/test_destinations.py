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
"""The stores of destinations, and what they are given."""

import json
from unittest import mock

import pytest
from oslo_config import cfg

from imagebuild import conf as imagebuild_conf
from imagebuild import exception
from imagebuild.common import host_paths
from imagebuild.conductor import builds
from imagebuild.conductor import client_cache
from imagebuild.conductor import conductor_context
from imagebuild.destinations import Destination
from imagebuild.job import masking
from imagebuild.stores import glance
from imagebuild.stores.file import FileStore

CONF = """
[DEFAULT]
state_path = {directory}
[conductor]
store = file
[keystone]
auth_url = https://keystone.here.example/v3
username = imagebuild
password = hush-here
project_name = service
timeout = 44
[glance]
region_name = Here
valid_interfaces = internal
endpoint_override = https://glance.here.example
trusted_projects = trusted-here
retry_timeout = 11
denied_properties = hw_*
[destination:archive]
store = file
folder = {directory}/archive
[destination:other-region]
region_name = RegionTwo
[destination:west]
cloud = west
clouds_file = {directory}/clouds.yaml
valid_interfaces = public
retry_timeout = 99
attempts = 9
[destination:off]
store = file
enabled = false
"""
CLOUDS = """
clouds:
  west:
    auth_type: v3applicationcredential
    auth:
      auth_url: https://keystone.west.example/v3
      application_credential_id: west-id
      application_credential_secret: hush-west
    region_name: RegionWest
    interface: internal
"""


@pytest.fixture
def conf(tmp_path):
    (tmp_path / 'clouds.yaml').write_text(CLOUDS)
    path = tmp_path / 'imagebuild.conf'
    path.write_text(CONF.format(directory=tmp_path))
    conf = cfg.ConfigOpts()
    imagebuild_conf.register(conf)
    conf(args=[], default_config_files=[str(path)])
    return conf


def test_this_cloud_is_as_it_was(conf, tmp_path):
    config = conductor_context.job_config(conf)
    assert config['keystone']['username'] == 'imagebuild'
    assert config['file_store']['folder'] == f'{tmp_path}/images'
    assert Destination.from_document(config['destination']) == Destination(
        store='file'
    )


def test_another_region_of_this_cloud(conf):
    here = conductor_context.job_config(conf)
    config = conductor_context.job_config(conf, 'other-region')
    assert config['keystone'] == here['keystone']
    assert config['glance'] == {**here['glance'], 'region_name': 'RegionTwo'}


def test_a_cloud_of_clouds_yaml(conf):
    config = conductor_context.job_config(conf, 'west')
    assert json.loads(json.dumps(config)) == config
    assert config['keystone'] == {
        'auth_type': 'v3applicationcredential',
        'auth_url': 'https://keystone.west.example/v3',
        'application_credential_id': 'west-id',
        'application_credential_secret': 'hush-west',
        'timeout': 44,
    }
    expected = {
        'region_name': 'RegionWest',
        'valid_interfaces': ['public'],
        'retry_timeout': 99,
        'activation_timeout': 600,
        'denied_properties': ['hw_*'],
        'allowed_properties': [],
    }
    assert {**config['glance'], **expected} == config['glance']
    # Where this cloud's image service is, and whom it trusts.
    assert not {'endpoint_override', 'trusted_projects'} & set(
        config['glance']
    )
    assert config['destination']['attempts'] == 9
    # Nothing of this cloud's account goes to a job for another cloud.
    assert 'hush-here' not in json.dumps(config)
    assert masking.of_config(config) == ['hush-west']


def test_stores(conf, tmp_path):
    clients = client_cache.ClientCache(conf)
    assert clients.store('').directory == tmp_path / 'images'
    assert clients.store('archive').directory == tmp_path / 'archive'
    # What is there must be deleted, however it is.
    assert isinstance(clients.store('off'), FileStore)
    assert isinstance(clients.store('west'), glance.GlanceStore)
    assert clients.store('west') is clients.store('west')
    clients.forget()
    assert clients.problems() == []
    with pytest.raises(exception.InvalidInput, match='no destination "x"'):
        clients.store('x')


def test_one_that_cannot_be_used_is_none_of_the_others(conf, tmp_path):
    (tmp_path / 'imagebuild.conf').write_text(
        CONF.format(directory=tmp_path)
        + 'timeout = long\n[destination:east]\ncloud = east\n'
        f'clouds_file = {tmp_path}/clouds.yaml\n'
        '[destination:nobody]\nstore = glance\nendpoint_override = nonsense\n'
    )
    (tmp_path / 'clouds.yaml').write_text('clouds: {}\n')
    conf.mutate_config_files()
    clients = client_cache.ClientCache(conf)
    assert clients.store('')
    assert clients.store('archive')
    problems = sorted(str(problem) for problem in clients.problems())
    assert [problem.partition(':')[0] for problem in problems] == [
        'The configuration cannot be used',
        'The configuration cannot be used',
        '[destination',
        '[destination',
    ]
    for each, section in zip(
        problems,
        ('nobody] endpoint_override:', 'off] timeout:', 'east] cloud:',
         'west] cloud:'),
        strict=True,
    ):  # fmt: skip
        assert f'[destination:{section}' in each


def test_paths_of_this_host_are_not_shown(conf, tmp_path):
    paths = host_paths.HostPaths(imagebuild_conf.own_paths(conf))
    (tmp_path / 'clouds.yaml').unlink()
    with pytest.raises(exception.InvalidInput) as caught:
        client_cache.ClientCache(conf).store('west')
    assert str(tmp_path) in str(caught.value)
    assert str(tmp_path) not in paths.hide(str(caught.value))


def test_images_of_this_cloud_alone_are_signed(conf):
    conf.set_override('private_key', '/etc/signing.pem', 'signing')
    conf.set_override('certificate_uuid', 'x', 'signing')
    assert conductor_context.job_config(conf)['signing'] == {
        'private_key': '/etc/signing.pem',
        'certificate_uuid': 'x',
    }
    elsewhere = conductor_context.job_config(conf, 'other-region')
    assert 'signing' not in elsewhere


def test_builds_know_no_key_of_signatures(conf):
    """They work with what tenants describe."""
    base = {'kind': 'path', 'path': '/b', 'checksum': 'sha256:0'}
    build = mock.Mock(request={}, base=base, secrets=None)
    given = mock.Mock()
    given._build = build
    given._context.job_config = lambda: conductor_context.job_config(conf)
    spec = builds.BuildAttempt._spec(given, mock.MagicMock())
    assert 'glance' in spec.config and 'signing' not in spec.config


def test_a_key_that_cannot_be_used_is_said_at_the_start(conf, tmp_path):
    assert client_cache.ClientCache(conf).problems() == []
    conf.set_override('private_key', str(tmp_path / 'no.pem'), 'signing')
    [problem] = client_cache.ClientCache(conf).problems()
    assert 'certificate_uuid is not set' in str(problem)
    conf.set_override('certificate_uuid', 'x', 'signing')
    [problem] = client_cache.ClientCache(conf).problems()
    assert '[signing]' in str(problem) and 'private_key' in str(problem)
    # Conductors end with it.
    assert isinstance(problem, exception.EnvironmentFault)
