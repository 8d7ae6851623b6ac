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
"""What is installed: light by default, and with what operators start from."""

import configparser
import pathlib
import re
import sys

import pytest

from imagebuild import policies
from imagebuild.conf import opts
from tools import lower_bounds

ROOT = pathlib.Path(__file__).parents[2]
ETC = ROOT / 'etc' / 'imagebuild'

#: Requirements of imagebuild-pack and imagebuild-bootstrap.
LIGHT = {
    'jsonschema',
    'oslo-config',
    'packaging',
    'pbr',
    'pyyaml',
    'requests',
    'rich',
    'stevedore',
    'tenacity',
}


@pytest.fixture
def setup():
    parser = configparser.ConfigParser()
    parser.read(ROOT / 'setup.cfg')
    return parser


def test_packing_alone_installs_light():
    text = (ROOT / 'requirements.txt').read_text()
    assert set(lower_bounds.bounds(text)) == LIGHT


def test_extras(setup):
    extras = setup['extras']
    assert set(extras) == {
        'client',
        'clouds',
        'dib',
        'mysql',
        'packer',
        'postgresql',
        'service',
        'ssh',
    }
    assert set(lower_bounds.bounds(extras['mysql'])) == {'pymysql'}
    assert set(lower_bounds.bounds(extras['postgresql'])) == {'psycopg'}


def test_the_wheel_carries_what_operators_start_from(setup):
    carried = setup['files']['data_files']
    assert 'etc/imagebuild = etc/imagebuild/*' in carried
    assert 'share/openstack-imagebuild/templates = templates/*' in carried
    for name in (
        'imagebuild.conf.sample',
        'operating-systems.yaml',
        'policy.yaml.sample',
    ):
        assert (ETC / name).is_file(), (
            f'{name}: run tox -e genconfig,genpolicy'
        )


def test_the_sample_configuration_is_of_this_release():
    """Ours only: the libraries' options are those of their versions."""
    text = (ETC / 'imagebuild.conf.sample').read_text()
    shown = dict.fromkeys(re.findall(r'^#([a-z_0-9]+) = ', text, re.M))
    missing = [
        option.dest
        for _group, options in opts.list_opts()
        for option in options
        if option.dest not in shown
    ]
    assert missing == [], 'run tox -e genconfig'


def test_the_sample_policies_are_of_this_release():
    text = (ETC / 'policy.yaml.sample').read_text()
    missing = [
        rule.name
        for rule in policies.list_rules()
        if f'#"{rule.name}":' not in text
    ]
    assert missing == [], 'run tox -e genpolicy'


def test_the_interpreter_is_one_that_is_supported(setup):
    needed = setup['metadata']['python_requires'].removeprefix('>=')
    assert sys.version_info >= tuple(map(int, needed.split('.')))


def test_what_is_no_python_is_carried_without_git_too():
    """pbr asks git for it: a wheel of an archive lost the recipes."""
    [line] = [
        line.split()
        for line in (ROOT / 'MANIFEST.in').read_text().splitlines()
        if not line.startswith('#')
    ]
    include, directory, *patterns = line
    assert (include, directory) == ('recursive-include', 'imagebuild')
    others = [
        path
        for package in ('imagebuild', 'heat_plugin')
        for path in (ROOT / package).rglob('*')
        if path.is_file()
        and path.suffix not in ('.py', '.pyc')
        and not path.name.startswith('.')
    ]
    lost = [
        path
        for path in others
        if not any(path.match(pattern) for pattern in patterns)
        or path.relative_to(ROOT).parts[0] != directory
    ]
    assert lost == []
    assert len(others) >= 4
