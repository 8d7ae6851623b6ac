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
"""The command line of imagebuild-pack --base."""

import os

import pytest

from imagebuild import catalogue
from imagebuild.cmd import pack
from imagebuild.conf import default

SHA = f'sha256:{"0" * 64}'
LIST = ['--base-checksum-file', 'SHA256SUMS']


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / 'manifest.yaml'
    path.write_text('validators: []\n')
    (tmp_path / 'base.img').write_bytes(bytes(512))
    (tmp_path / 'base-link').symlink_to('base.img')
    (tmp_path / 'there.qcow2').write_text('mine')
    (tmp_path / 'link.qcow2').symlink_to('there.qcow2')
    (tmp_path / 'os.yaml').write_text(
        'made: {driver: bootstrap}\nstored: {image: {tag: x}}\n'
        f'found: {{image: {{url: "http://127.0.0.1:1/x", checksum: "{SHA}"}}}}'
        '\nsigned: {image: {url: "http://127.0.0.1:1/x", checksum_file: S, '
        'keyring: [/none/a, /none/b]}}\n'
    )
    (tmp_path / 'imagebuild.conf').write_text(
        f'[DEFAULT]\noperating_systems_file = {tmp_path}/os.yaml\n'
        f'[disks]\ncache_dir = {tmp_path}/cache\n'
    )
    return path


URL = 'http://127.0.0.1:1/x.img'
ROWS = {
    'both': (['--image', 'x', '--base', 'y'], 'exclude each other'),
    'output alone': (['--image', 'x', '--output', 'y'], 'belong to --base'),
    'no output': (['--base', '{tmp}/base.img'], '--output is required'),
    'a check': (
        ['--base', '{tmp}/base.img', '--output', '{tmp}/o', '--test-only'],
        '--test-only is for an image that is there',
    ),
    'there already': (
        ['--base', '{tmp}/base.img', '--output', '{tmp}/there.qcow2'],
        'there.qcow2 is there already; use --force to replace it.',
    ),
    'a link': (
        ['--base', '{tmp}/base.img', '--output', '{tmp}/link.qcow2'],
        'is a link; name the file itself.',
    ),
    'a directory': (
        ['--base', '{tmp}/base.img', '--output', '{tmp}'],
        'is not a file.',
    ),
    'nowhere': (
        ['--base', '{tmp}/base.img', '--output', '{tmp}/none/x'],
        'There is no directory',
    ),
    'no checksum': (
        ['--base', URL, '--output', '{tmp}/o'],
        'needs --base-checksum or --base-checksum-file',
    ),
    'a weak checksum': (
        ['--base', URL, '--output', '{tmp}/o', '--base-checksum', 'md5:1'],
        'is not a checksum',
    ),
    'two checksums': (
        ['--base', URL, '--output', '{tmp}/o', *LIST, '--base-checksum', SHA],
        'exclude each other',
    ),
    'a signature and no key': (
        ['--base', URL, '--output', '{tmp}/o', *LIST, '--base-signature', 's'],
        '--base-signature needs --base-keyring',
    ),
    'another scheme': (
        ['--base', 'file:///etc/shadow', '--output', '{tmp}/o', *LIST],
        '--base: it is not an http or https URL',
    ),
    'a file and a list': (
        ['--base', '{tmp}/base.img', '--output', '{tmp}/o', *LIST],
        'a file has no list of checksums',
    ),
    'nothing of that name': (
        ['--base', 'none', '--output', '{tmp}/o'],
        'those with a base image there: stored, found, signed.',
    ),
    'made by a driver': (
        ['--base', 'made', '--output', '{tmp}/o'],
        'is made by the driver "bootstrap"',
    ),
    'no signature that is not there': (
        ['--base', 'found', '--output', '{tmp}/o', '--no-signature'],
        '--no-signature: the catalogue has no signature for "found"',
    ),
    'no signature and no https': (
        ['--base', 'signed', '--output', '{tmp}/o', '--no-signature'],
        'does not come by https, so nothing but its signature vouches',
    ),
    'no signature and keys': (
        [
            '--base',
            'signed',
            '--output',
            '{tmp}/o',
            '--no-signature',
            '--base-keyring',
            'x',
        ],
        '--base-keyring and --no-signature exclude each other',
    ),
    'no signature of a URL': (
        ['--base', URL, '--output', '{tmp}/o', *LIST, '--no-signature'],
        '--no-signature is for operating systems of the catalogue',
    ),
    'no signature alone': (
        ['--image', 'x', '--no-signature'],
        'belong to --base',
    ),
    'no name in a cloud': (
        ['--base', 'glance:', '--output', '{tmp}/o'],
        'glance: needs the name or the id of an image',
    ),
    'a checksum in a cloud': (
        ['--base', 'glance:x', '--output', '{tmp}/o', '--base-checksum', SHA],
        'the image service has the checksum of its images',
    ),
    'a cloud of a file': (
        ['--base', '{tmp}/base.img', '--output', '{tmp}/o', '--os-cloud', 'x'],
        '--os-cloud is for images of a cloud',
    ),
    'a cloud alone': (['--image', 'x', '--os-cloud', 'y'], 'belong to --base'),
    'no URL': (
        ['--base', 'http://[::1/x', '--output', '{tmp}/o', *LIST],
        '--base: it is not a valid URL',
    ),
    'compressed': (
        ['--base', f'{URL}.XZ?a=b', '--output', '{tmp}/o', *LIST],
        '--base: x.img.xz is compressed or an archive; download and unpack it',
    ),
    'no host': (
        ['--base', 'http:///x', '--output', '{tmp}/o', *LIST],
        '--base: it has no host',
    ),
    'no port': (
        ['--base', 'http://h:99999999/x', '--output', '{tmp}/o', *LIST],
        '--base: it is not a valid URL',
    ),
    'a list that has no URL': (
        [
            '--base',
            URL,
            '--output',
            '{tmp}/o',
            '--base-checksum-file',
            'http://[::1/x',
        ],
        '--base-checksum-file: it is not a valid URL',
    ),
    'the base itself': (
        ['--base', '{tmp}/base.img', '--output', '{tmp}/base.img', '--force'],
        '--output is the base image itself; use --image',
    ),
    'the base itself by a link': (
        ['--base', '{tmp}/base-link', '--output', '{tmp}/base.img', '--force'],
        '--output is the base image itself; use --image',
    ),
    'a name that is too long': (
        ['--base', '{tmp}/base.img', '--output', '{tmp}/' + 'x' * 300],
        'cannot be made: file name too long.',
    ),
    'no cloud': (
        ['--base', 'stored', '--output', '{tmp}/o'],
        'No cloud is named, by --os-cloud NAME, OS_CLOUD or the other OS_... '
        'variables of the environment (none was found).',
    ),
    'a cloud that is not there': (
        ['--base', 'glance:x', '--output', '{tmp}/o', '--os-cloud', 'nix'],
        'The cloud "nix" of clouds.yaml cannot be used: Cloud nix was not',
    ),
}


def run(*arguments):
    return pack.main([str(argument) for argument in arguments])


def test_an_unknown_name_alone(manifest, capsys):
    config = manifest.parent / 'imagebuild.conf'
    assert run('--config-file', config, '--base', 'none') == 2
    assert (
        'those with a base image there: stored, found, signed.'
        in capsys.readouterr().err
    )


@pytest.fixture
def laptop(manifest, monkeypatch):
    """No configuration at all."""
    home = manifest.parent / 'home'
    home.mkdir()
    (home / 'empty.conf').write_text('')
    monkeypatch.setenv('HOME', str(home))
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    [option] = [
        option
        for option in default.OPTS
        if option.name == 'operating_systems_file'
    ]
    monkeypatch.setattr(option, 'default', str(home / 'none.yaml'))
    return home


def test_the_catalogue_that_is_shipped(laptop, capsys):
    assert run('--config-file', laptop / 'empty.conf', '--base', 'none') == 2
    told = capsys.readouterr().err
    assert f'in {catalogue.shipped()};' in told
    assert 'debian-12-cloud, debian-13-cloud, ubuntu-22.04-cloud' in told


def test_a_catalogue_that_is_named_and_not_there(laptop, capsys):
    (laptop / 'its.conf').write_text(
        f'[DEFAULT]\noperating_systems_file = {laptop}/its.yaml\n'
    )
    assert run('--config-file', laptop / 'its.conf', '--base', 'none') == 2
    assert f'{laptop}/its.yaml cannot be read' in capsys.readouterr().err


def test_help_says_which_catalogue(capsys):
    assert pack.main(['--help']) == 0
    shown = ''.join(capsys.readouterr().out.split())
    assert f'else{catalogue.shipped()})' in shown


@pytest.fixture(autouse=True)
def no_clouds(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith('OS_')]:
        monkeypatch.delenv(name)
    monkeypatch.setattr('openstack.config.loader.CONFIG_FILES', [])


@pytest.mark.parametrize('row', ROWS)
def test_refused_before_anything_is_touched(manifest, tmp_path, capsys, row):
    words, message = ROWS[row]
    arguments = [word.format(tmp=tmp_path) for word in words]
    arguments += ['--manifest', str(manifest)]
    arguments += ['--config-file', str(tmp_path / 'imagebuild.conf')]
    before = sorted(tmp_path.rglob('*'))
    assert pack.main(arguments) == 2
    shown = capsys.readouterr().err
    assert message.format(tmp=tmp_path) in shown
    assert len(shown.splitlines()) == 1
    assert sorted(tmp_path.rglob('*')) == before
    assert (tmp_path / 'there.qcow2').read_text() == 'mine'


def test_no_home_for_downloads(laptop, monkeypatch, capsys):
    monkeypatch.setenv('HOME', 'relative')
    monkeypatch.setenv('XDG_CACHE_HOME', 'as well')
    manifest = laptop.parent / 'manifest.yaml'
    code = run(
        '--config-file', laptop / 'empty.conf', '--base',
        laptop.parent / 'base.img', '--output', laptop / 'o', '--manifest',
        manifest,
    )  # fmt: skip
    assert code == 2
    assert 'set XDG_CACHE_HOME' in capsys.readouterr().err
