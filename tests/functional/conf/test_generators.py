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
"""The programs of oslo that write samples, run as operators run them.

As processes: what a generator has imported, and which backend of
oslo.service that chose, is the point.
"""

import configparser
import pathlib
import subprocess
import sys

import pytest
import yaml

from imagebuild import policies
from imagebuild.api import cors_defaults
from imagebuild.api import routes
from imagebuild.conf import opts

ROOT = pathlib.Path(__file__).parents[3]
DIRECTORY = ROOT / 'etc' / 'imagebuild'


def run(module: str, *arguments: str) -> str:
    done = subprocess.run(
        [
            sys.executable,
            '-c',
            'import sys, importlib\n'
            'module, _, name = sys.argv.pop(1).partition(":")\n'
            'sys.exit(getattr(importlib.import_module(module), name)())',
            module,
            *arguments,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def namespaces(file: str) -> list[str]:
    lines = (DIRECTORY / file).read_text().splitlines()
    return [
        line.partition('=')[2].strip()
        for line in lines
        if line.startswith('namespace')
    ]


@pytest.fixture(scope='module')
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp('sample') / 'imagebuild.conf.sample'
    run(
        'oslo_config.generator:main',
        '--config-file',
        'etc/imagebuild/imagebuild-config-generator.conf',
        '--output-file',
        str(path),
    )
    return path.read_text()


def test_the_sample_has_every_option(sample):
    sections = set()
    for line in sample.splitlines():
        if line.startswith('['):
            section = line.strip('[]')
            sections.add(section)
    for group, options in opts.list_opts():
        assert str(getattr(group, 'name', group)) in sections
        for option in options:
            assert f'\n#{option.dest} = ' in sample, option.name


def test_the_sample_is_itself_a_configuration(sample):
    configparser.RawConfigParser(strict=False).read_string(sample)


def test_the_sample_has_our_defaults(sample):
    assert '#allow_methods = DELETE,GET,PATCH,POST\n' in sample
    assert '#expose_headers = OpenStack-API-Version,Location,' in sample


def test_the_sample_has_nothing_of_this_host(sample):
    assert f'{pathlib.Path.home()}/' not in sample
    assert str(ROOT) not in sample


def test_browsers_may_use_every_method_of_the_api():
    assert set(cors_defaults.METHODS) == {
        route.method for route in routes.ROUTES
    }


def test_our_hook_needs_no_backend():
    """Whichever oslo.service has, the hook can be called."""
    code = (
        'from oslo_service import backend\n'
        'backend.get_backend()\n'
        'from importlib import metadata\n'
        'for group in ("oslo.config.opts", "oslo.config.opts.defaults",\n'
        '              "oslo.policy.policies"):\n'
        '    for point in metadata.entry_points(group=group):\n'
        '        if point.name == "imagebuild":\n'
        '            point.load()()\n'
        'import sys\n'
        'assert "imagebuild.conductor" not in sys.modules\n'
    )
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_sample_of_policies(tmp_path):
    path = tmp_path / 'policy.yaml.sample'
    run(
        'oslo_policy.generator:generate_sample',
        '--config-file',
        'etc/imagebuild/imagebuild-policy-generator.conf',
        '--output-file',
        str(path),
    )
    text = path.read_text()
    rules = {rule.name for rule in policies.list_rules()}
    shown = yaml.safe_load(
        '\n'.join(
            line[1:]
            for line in text.splitlines()
            if line.startswith('#"') and not line.startswith('#"rule:')
        )
    )
    assert set(shown) >= rules


@pytest.mark.parametrize(
    'program', ['generate_policy', 'list_redundant', 'upgrade_policy']
)
def test_the_other_programs_of_policies(program, tmp_path):
    policy = tmp_path / 'policy.yaml'
    policy.write_text('"image-build:recipes:list": "role:nobody"\n')
    arguments = ['--namespace', 'imagebuild']
    if program == 'upgrade_policy':
        arguments += [
            *('--policy', str(policy)),
            *('--output-file', str(tmp_path / 'new.yaml')),
        ]
    run(f'oslo_policy.generator:{program}', *arguments)


def test_the_documentation_shows_what_the_samples_show():
    text = (ROOT / 'doc' / 'source' / 'operator' / 'options.rst').read_text()
    assert 'etc/imagebuild/imagebuild-config-generator.conf' in text
    text = (ROOT / 'doc' / 'source' / 'operator' / 'policies.rst').read_text()
    assert 'etc/imagebuild/imagebuild-policy-generator.conf' in text
    assert 'imagebuild' in namespaces('imagebuild-config-generator.conf')
    assert namespaces('imagebuild-policy-generator.conf') == ['imagebuild']
