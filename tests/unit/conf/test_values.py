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
"""The sections that jobs are given."""

import json

import pytest
from oslo_config import cfg
from oslo_config import types

from imagebuild import conf as imagebuild_conf
from imagebuild import exception
from imagebuild.clients import keystone
from imagebuild.drivers import settings
from imagebuild.drivers.snapshot import settings as snapshot_settings
from imagebuild.job import masking
from imagebuild.stores import registry

TEXT = """
[DEFAULT]
state_path = /srv/imagebuild
[keystone]
auth_url = https://keystone.example.com/v3
username = imagebuild
password = secret
project_name = service
[guestfs]
memory = 900
[disks]
cache_size = 5
[glance]
region_name = Two
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        conf = cfg.ConfigOpts()
        imagebuild_conf.register(conf)
        path = tmp_path / 'imagebuild.conf'
        path.write_text(text)
        conf(args=[], default_config_files=[str(path)])
        return conf

    return read


def test_are_plain_values(read):
    values = imagebuild_conf.for_jobs(read(TEXT))
    assert json.loads(json.dumps(values)) == values
    assert values['disks']['cache_dir'] == '/srv/imagebuild/base-images'
    assert values['file_store']['folder'] == '/srv/imagebuild/images'
    assert values['glance']['region_name'] == 'Two'


def test_are_what_drivers_and_stores_read(read):
    values = imagebuild_conf.for_jobs(read(TEXT))
    found = settings.Settings.from_config(values)
    assert found.appliance.memory == 900
    assert found.cache.max_bytes == 5 * 1024**3
    assert found.space_reserve == 512 * 1024**2
    for name in registry.stores():
        registry.load(name, values)
    session = keystone.session(values['keystone'])
    assert session.auth.auth_url == 'https://keystone.example.com/v3'


def test_directories_of_ones_own(read):
    values = imagebuild_conf.for_jobs(
        read('[disks]\ncache_dir = /cache\n[file_store]\nfolder = /images\n')
    )
    assert values['disks']['cache_dir'] == '/cache'
    assert values['file_store']['folder'] == '/images'


def test_options_of_other_plugins(read):
    values = imagebuild_conf.for_jobs(
        read(
            '[keystone]\nauth_type = v3applicationcredential\n'
            'auth_url = https://keystone.example.com/v3\n'
            'application_credential_id = 123\n'
            'application_credential_secret = 456\n'
        )
    )
    assert values['keystone']['application_credential_id'] == '123'
    session = keystone.session(values['keystone'])
    assert type(session.auth).__name__ == 'ApplicationCredential'


def test_names_of_secrets(read):
    values = imagebuild_conf.for_jobs(
        read('[keystone]\nauth_type = v3totp\npasscode = 123456\n')
    )
    secrets = values[imagebuild_conf.SECRETS]
    assert 'passcode' in secrets['keystone']
    assert 'password' in secrets['keystone']
    assert '123456' in masking.of_config(values)


PAIRS = [
    (
        cfg.OptGroup('acme'),
        [
            cfg.StrOpt('url', default='x'),
            cfg.ListOpt('zones', item_type=types.Integer()),
            cfg.MultiOpt('labels', item_type=types.Dict()),
            cfg.FloatOpt('share', secret=True, default=0.5),
            cfg.Opt('window', type=types.Range(), secret=True),
        ],
    ),
    ('acme', [cfg.BoolOpt('fast', default=True)]),
]


def test_sections_of_extensions(read):
    conf = read(
        '[acme]\nzones = 1, 2\nlabels = a:b\nlabels = c:d, e:f\n'
        '[destination:x]\nstore = file\n'
    )
    values = imagebuild_conf.for_jobs(conf, PAIRS)
    assert values['acme'] == {
        'url': 'x',
        'zones': [1, 2],
        'labels': [{'a': 'b'}, {'c': 'd', 'e': 'f'}],
        'share': 0.5,
        'window': None,
        'fast': True,
    }
    assert values[imagebuild_conf.SECRETS]['acme'] == ['share', 'window']
    assert json.loads(json.dumps(values)) == values
    assert 'acme' not in imagebuild_conf.for_jobs(conf)


@pytest.mark.parametrize(
    'text, message',
    [
        (
            'window = 7-9',
            r'\[acme\] window: its type \(range\) cannot be given to a job',
        ),
        ('fast = perhaps', r'\[acme\] fast: '),
        ('share = 7-9', r'\[acme\] share: the value is not valid\.'),
    ],
)
def test_values_that_no_job_can_be_given(read, text, message):
    with pytest.raises(exception.InvalidInput, match=message) as caught:
        imagebuild_conf.for_jobs(read(f'[acme]\n{text}\n'), PAIRS)
    assert '7-9' not in str(caught.value)


@pytest.mark.parametrize('name', ['networks', 'allowed_networks'])
def test_networks_are_ids(read, name):
    """Else Nova refuses each build, as if it were a mistake of the user's."""
    pairs = snapshot_settings.list_opts()
    known = '0a5c3ab8-5b5d-4a3c-8f60-1f3c0d1e2a9b'
    values = imagebuild_conf.for_jobs(
        read(f'[snapshot]\n{name} = {known}\n'), pairs
    )
    assert values['snapshot'][name] == [known]
    with pytest.raises(exception.InvalidInput, match=rf'\[snapshot\] {name}'):
        imagebuild_conf.for_jobs(
            read(f'[snapshot]\n{name} = private\n'), pairs
        )


def test_options_of_extensions_are_registered_like_ours(read):
    conf = read('[acme]\nurl = y\n')
    imagebuild_conf.register(conf, PAIRS)
    imagebuild_conf.register(conf, PAIRS)
    assert conf.acme.url == 'y'
