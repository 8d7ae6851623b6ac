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

import pytest

from imagebuild.cmd import pack

SHA = f'sha256:{"0" * 64}'
LIST = ['--base-checksum-file', 'SHA256SUMS']


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / 'manifest.yaml'
    path.write_text('validators: []\n')
    (tmp_path / 'base.img').write_bytes(bytes(512))
    (tmp_path / 'there.qcow2').write_text('mine')
    (tmp_path / 'link.qcow2').symlink_to('there.qcow2')
    (tmp_path / 'os.yaml').write_text(
        'made: {driver: bootstrap}\nstored: {image: {tag: x}}\n'
        f'found: {{image: {{url: "http://127.0.0.1:1/x", checksum: "{SHA}"}}}}'
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
        'only http and https URLs',
    ),
    'a file and a list': (
        ['--base', '{tmp}/base.img', '--output', '{tmp}/o', *LIST],
        'a file has no list of checksums',
    ),
    'nothing of that name': (
        ['--base', 'none', '--output', '{tmp}/o'],
        'found there: made, stored, found.',
    ),
    'made by a driver': (
        ['--base', 'made', '--output', '{tmp}/o'],
        'is made by the driver "bootstrap"',
    ),
    'in the image service': (
        ['--base', 'stored', '--output', '{tmp}/o'],
        'is in the image service',
    ),
}


@pytest.mark.parametrize('row', ROWS)
def test_refused_before_anything_is_touched(manifest, tmp_path, capsys, row):
    words, message = ROWS[row]
    arguments = [word.format(tmp=tmp_path) for word in words]
    arguments += ['--manifest', str(manifest)]
    arguments += ['--config-file', str(tmp_path / 'imagebuild.conf')]
    before = sorted(tmp_path.rglob('*'))
    assert pack.main(arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.splitlines()) == 1
    assert sorted(tmp_path.rglob('*')) == before
    assert (tmp_path / 'there.qcow2').read_text() == 'mine'
