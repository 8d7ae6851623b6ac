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
"""From the command line to the body of a request."""

import argparse
import base64
import inspect
import json

import pytest
from osc_lib import exceptions as osc_exceptions

from imagebuild.api.schemas import description as service
from imagebuild.client.osc import description
from imagebuild.client.osc import manifest_file
from imagebuild.client.osc import options
from imagebuild.manifest import validators


def parsed(*line):
    parser = argparse.ArgumentParser(exit_on_error=False)
    options.add(parser)
    return parser.parse_args([str(item) for item in line])


def load(*line):
    return description.load(parsed(*line))


@pytest.mark.parametrize(
    'line, field, value',
    [
        (['--os', 'debian-12'], 'os', 'debian-12'),
        (['--base-image', 'x'], 'base_image', 'x'),
        (
            ['--base-channel', 'web', 'prod'],
            'os',
            {'name': 'web', 'channel': 'prod'},
        ),
        (['--package', 'a', '--package', 'b'], 'packages', ['a', 'b']),
        (
            ['--package', 'a=1:2~rc1'],
            'packages',
            [{'a': {'version': '1:2~rc1'}}],
        ),
        (['--pip-package', 'x>=1'], 'pip_packages', ['x>=1']),
        (['--recipe', 'redis'], 'recipe', 'redis'),
        (['--recipe-version', '7'], 'recipe_version', '7'),
        (['--argument', 'a=b=c'], 'arguments', {'a': 'b=c'}),
        (['--argument', 'a='], 'arguments', {'a': ''}),
        (['--driver', 'fake'], 'driver', 'fake'),
        (
            ['--driver-option', 'n=5', '--driver-option', 't=a: b'],
            'driver_options',
            {'n': 5, 't': {'a': 'b'}},
        ),
        (['--boot-test'], 'boot_test', True),
        (
            ['--boot-test-option', 'ports=[22,80]']
            + ['--boot-test-option', 'systemd=true'],
            'boot_test',
            {'ports': [22, 80], 'systemd': True},
        ),
        (['--disk-format', 'raw'], 'disk_format', 'raw'),
        (['--container-format', 'bare'], 'container_format', 'bare'),
        (['--min-disk', '5'], 'min_disk', 5),
        (['--min-ram', '512'], 'min_ram', 512),
        (['--visibility', 'shared'], 'visibility', 'shared'),
        (['--public'], 'visibility', 'public'),
        (['--private'], 'visibility', 'private'),
        (['--shared'], 'visibility', 'shared'),
        (['--community'], 'visibility', 'community'),
        (['--protected'], 'protected', True),
        (['--unprotected'], 'protected', False),
        (['--tag', 'a', '--tag', 'b'], 'tags', ['a', 'b']),
        (['--member', 'p'], 'members', ['p']),
        (['--property', 'a=b=c'], 'properties', {'a': 'b=c'}),
        (['--destination', 'x'], 'destinations', ['x']),
        (['--reuse', 'never'], 'reuse', 'never'),
        (['--max-age', '60'], 'max_age', 60),
        (['--timeout', '600'], 'timeout', 600),
    ],
)
def test_options(line, field, value):
    assert load('web', *line) == {'name': 'web', field: value}


def test_every_field_of_the_service_has_an_option():
    fields = set(vars(parsed('web')))
    # Sent along with the manifest.
    assert set(service.DESCRIPTION['properties']) - fields == {'resources'}


@pytest.mark.parametrize(
    'line',
    [
        ['--public', '--private'],
        ['--visibility', 'x'],
        ['--recipe', 'x', '--manifest', 'y'],
        ['--disk-format', 'x'],
        ['--max-age', 'x'],
        ['--protected', '--unprotected'],
    ],
)
def test_usage(line):
    with pytest.raises(argparse.ArgumentError):
        load('web', *line)


def test_name_is_needed(tmp_path):
    with pytest.raises(osc_exceptions.CommandError, match='needs a name'):
        load()


def test_values_of_arguments_are_not_shown():
    args = parsed('web', '--argument', 'password=geheim')
    assert 'geheim' not in repr(args)
    assert 'geheim' not in str(args.arguments)
    with pytest.raises(argparse.ArgumentError) as caught:
        parsed('web', '--argument', 'geheim')
    assert 'geheim' not in str(caught.value)


def test_arguments_file(tmp_path):
    path = tmp_path / 'arguments.yaml'
    path.write_text('password: geheim\nport: 1\nversion: 1.10\n')
    found = load('web', '--arguments-file', path, '--argument', 'port=2')
    assert found['arguments'] == {
        'password': 'geheim',
        'port': '2',
        'version': '1.10',
    }


@pytest.mark.parametrize(
    'name, more, properties',
    [
        ('motd', '', {}),
        ('motd', ',mode=0644', {'mode': '0644'}),
        (
            'motd',
            ',group=g,owner=u,mode=0644',
            {'mode': '0644', 'owner': 'u', 'group': 'g'},
        ),
        ('a,b=c', ',owner=u', {'owner': 'u'}),
        ('a,b', '', {}),
    ],
)
def test_file(tmp_path, name, more, properties):
    (tmp_path / name).write_text('Grüße\n')
    found = load('web', '--file', f'/etc/motd={tmp_path}/{name}{more}')
    assert found['files'] == [
        {'path': '/etc/motd', 'content': 'Grüße\n', **properties}
    ]


@pytest.mark.parametrize('content', [b'\xff\xfe', b'a\0b'])
def test_binary_file(tmp_path, content):
    (tmp_path / 'x').write_bytes(content)
    [file] = load('web', '--file', f'/x={tmp_path}/x')['files']
    assert base64.b64decode(file['content_base64']) == content
    assert 'content' not in file


@pytest.mark.parametrize('text', ['/etc/motd', '=x', '/x=', '/x=/no/such'])
def test_wrong_file(text):
    with pytest.raises(osc_exceptions.CommandError):
        load('web', '--file', text)


@pytest.mark.parametrize(
    ('in_file', 'line', 'found'),
    [
        ('true', [], True),
        ('false', ['--boot-test'], True),
        ('{}', ['--boot-test'], {}),
        ('{memory: 512}', ['--boot-test'], {'memory': 512}),
        ('true', ['--boot-test-option', 'cpus=1'], {'cpus': 1}),
        (
            '{memory: 512, cpus: 2}',
            ['--boot-test-option', 'cpus=1'],
            {'memory': 512, 'cpus': 1},
        ),
    ],
)
def test_a_boot_test_of_a_file(tmp_path, in_file, line, found):
    path = tmp_path / 'web.yaml'
    path.write_text(f'name: web\nboot_test: {in_file}\n')
    assert load('--from', path, *line)['boot_test'] == found


def test_wrong_driver_option():
    with pytest.raises(osc_exceptions.CommandError, match='driver-option a'):
        load('web', '--driver-option', 'a=[')


def test_whole_description(tmp_path):
    whole = {
        'name': 'x',
        'os': 'debian-12',
        'packages': ['a'],
        'properties': {'a': '1', 'b': '1'},
        'protected': True,
        'resources': {'x': 'y'},
    }
    path = tmp_path / 'whole.json'
    path.write_text(json.dumps(whole))
    assert load('--from', path) == whole
    found = load(
        'web', '--from', path, '--package', 'b', '--property', 'b=2',
        '--unprotected',
    )  # fmt: skip
    assert found == {
        **whole,
        'name': 'web',
        'packages': ['a', 'b'],
        'properties': {'a': '1', 'b': '2'},
        'protected': False,
    }


@pytest.mark.parametrize(
    'line', [['--package', 'a'], ['--property', 'a=b']], ids=str
)
def test_whole_description_of_the_wrong_kind(tmp_path, line):
    path = tmp_path / 'whole.yaml'
    path.write_text('{name: x, packages: 1, properties: 1}')
    assert load('--from', path)['packages'] == 1
    with pytest.raises(osc_exceptions.CommandError, match='is not a'):
        load('--from', path, *line)


VALIDATORS = """
validators:
  - script: one.sh
  - script: {two.sh: {env_vars: [x]}}
  - script: {three.sh: [{output: x}, {env_vars: [y]}]}
  - script: {label: {inline: echo}}
  - copy_script: sub/four.sh
  - copy_script: {five.sh: }
  - package: one.sh
  - service: {script: enabled}
  - user: {script: {home: /x}}
  - file: {/x: {source: six}, /y: {content: z}}
  - repository: {x: {url: "http://x", key_source: seven}}
  - ssh_key: {root: {key_sources: [eight]}}
  - configuration: {ansible: {source: site.yml, files: [sub/page.j2]}}
  - configuration: {puppet: {source: site.pp}}
  - all: [{any: [{script: nine.sh}]}]
  - os_case: [{debian: [{script: ten.sh}]}, {redhat: [{package: x}]}]
  - argument_case:
      argument_name: x
      cases: {a: [{script: eleven.sh}]}
      default: [{script: twelve.sh}]
  - script: one.sh
"""
NAMED = [
    'one.sh', 'two.sh', 'three.sh', 'sub/four.sh', 'five.sh', 'six', 'seven',
    'eight', 'site.yml', 'sub/page.j2', 'site.pp', 'nine.sh', 'ten.sh',
    'eleven.sh', 'twelve.sh',
]  # fmt: skip


@pytest.fixture
def manifest(tmp_path):
    directory = tmp_path / 'manifest'
    (directory / 'sub').mkdir(parents=True)
    for name in NAMED:
        (directory / name).write_text(f'# {name} ü\n')
    path = directory / 'manifest.yaml'
    path.write_text(VALIDATORS)
    return path


def test_manifest_and_what_it_names(manifest):
    found = load('web', '--manifest', manifest)
    assert found['resources'] == {name: f'# {name} ü\n' for name in NAMED}
    assert len(found['manifest']['validators']) == 18


def test_every_validator_that_names_files_is_looked_into():
    """The service's validators, which the client does not import."""
    known = inspect.getsource(manifest_file)
    for name, kind in validators.types().items():
        if '.resource(' in inspect.getsource(inspect.getmodule(kind)):
            assert f"'{name}'" in known


def test_all_missing_files_are_told(manifest):
    for name in ('one.sh', 'nine.sh'):
        (manifest.parent / name).unlink()
    with pytest.raises(osc_exceptions.CommandError) as caught:
        load('web', '--manifest', manifest)
    assert '"one.sh" is not there' in str(caught.value)
    assert '"nine.sh" is not there' in str(caught.value)


def secret_outside(directory):
    (directory.parent / 'id_rsa').write_text('geheim')
    (directory / 'link').symlink_to(directory.parent / 'id_rsa')


@pytest.mark.parametrize(
    'name, said',
    [
        ('../id_rsa', 'lies outside'),
        ('/etc/hostname', 'lies outside'),
        ('link', 'lies outside'),
        ('sub', 'not a regular file'),
        ('binary', 'not UTF-8'),
        ('large', 'larger than 2 MiB'),
    ],
)
def test_only_texts_of_its_own_directory(manifest, name, said):
    directory = manifest.parent
    secret_outside(directory)
    (directory / 'binary').write_bytes(b'\xff')
    (directory / 'large').write_bytes(b'x' * (manifest_file.MAX_BYTES + 1))
    manifest.write_text(json.dumps({'validators': [{'script': name}]}))
    with pytest.raises(osc_exceptions.CommandError, match=said):
        load('web', '--manifest', manifest)


@pytest.mark.parametrize(
    'text',
    [
        '{}',
        'validators: x',
        'validators: [x, [y], {script: 1}, {script: }, {all: x}]',
        'validators: [{os_case: [x]}, {argument_case: [x]}]',
        'validators: [{file: [x]}, {file: {x: y}}, {ssh_key: {x: y}}]',
        'validators: [{argument_case: {cases: [x], default: 1}}]',
        'validators: [{ssh_key: {x: {key_sources: y}}}]',
        'validators: [{configuration: {x: {source: [y], files: z}}}]',
        'validators: [{configuration: x}, {configuration: {x: [y]}}]',
    ],
)
def test_what_makes_no_sense_is_left_to_the_service(manifest, text):
    manifest.write_text(text)
    assert 'resources' not in load('web', '--manifest', manifest)


def test_files_that_an_included_one_names_are_sent_too(tmp_path):
    path = tmp_path / 'manifest.yaml'
    path.write_text('validators: [{all: [{include: one.yaml}]}]')
    (tmp_path / 'one.yaml').write_text(
        'validators: [{include: two.yaml}, {script: a.sh}]'
    )
    # Includes itself: that it may not is for the service to say.
    (tmp_path / 'two.yaml').write_text(
        'validators: [{include: one.yaml}, {script: b.sh}, {include: bad}]'
    )
    (tmp_path / 'bad').write_text('[')
    for name in ('a.sh', 'b.sh'):
        (tmp_path / name).write_text('#!/bin/sh\n')
    found = load('web', '--manifest', path)
    assert found['resources'].keys() == {
        *('one.yaml', 'two.yaml', 'bad', 'a.sh', 'b.sh')
    }
    (tmp_path / 'b.sh').unlink()
    with pytest.raises(osc_exceptions.CommandError, match='"b.sh" is not'):
        load('web', '--manifest', path)
