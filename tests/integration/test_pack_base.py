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
"""imagebuild-pack --base over a server like a distribution's."""

import hashlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from imagebuild.cmd import pack
from imagebuild.disks import image_file
from tests.functional import published_server

pytestmark = pytest.mark.timeout(600)

MANIFEST = 'validators: [file: {/etc/of-us: {content: "packed\\n"}}]\n'
FAILING = 'validators: [script: {it fails: {inline: "exit 7"}}]\n'


@pytest.fixture
def server() -> Iterator[published_server.Server]:
    with published_server.Server() as running:
        yield running


def test_a_new_image_from_what_is_published(
    minimal_image: pathlib.Path,
    tmp_path: pathlib.Path,
    server: published_server.Server,
) -> None:
    content = minimal_image.read_bytes()
    digest = hashlib.sha512(content).hexdigest()
    server.files = {
        '/latest/debian.qcow2': content,
        '/latest/SHA512SUMS': f'{digest}  debian.qcow2\n'.encode(),
    }
    (tmp_path / 'good.yaml').write_text(MANIFEST)
    (tmp_path / 'bad.yaml').write_text(FAILING)
    (tmp_path / 'os.yaml').write_text(
        'debian:\n  image:\n'
        f'    url: {server.url}/latest/debian.qcow2\n'
        '    checksum_file: SHA512SUMS\n'
    )
    (tmp_path / 'a.conf').write_text(
        f'[DEFAULT]\noperating_systems_file = {tmp_path}/os.yaml\n'
        f'[disks]\ncache_dir = {tmp_path}/cache\n'
    )
    outputs = tmp_path / 'outputs'
    outputs.mkdir()

    def pack(name: str, output: str, *options: str) -> tuple[int, dict]:
        done = subprocess.run(
            [
                sys.executable, '-m', 'imagebuild.cmd.pack', '--json',
                '--config-file', tmp_path / 'a.conf', '--manifest',
                tmp_path / f'{name}.yaml', '--output', outputs / output,
                *options,
            ],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout)

    code, found = pack('bad', 'web.qcow2', '--base', 'debian')
    assert code == 1, found
    assert list(outputs.iterdir()) == []
    code, found = pack('good', 'web.qcow2', '--base', 'debian')
    assert (code, found['result']) == (0, 'packed'), found
    assert found['base']['checksum'] == f'sha512:{digest}'
    assert [path.name for path in outputs.iterdir()] == ['web.qcow2']
    assert image_file.inspect(outputs / 'web.qcow2').format == 'qcow2'
    # Fetched once; another list, another image.
    assert server.asked.count('/latest/debian.qcow2') == 1
    wrong = f'sha256:{"0" * 64}'
    code, found = pack(
        'good', 'raw.img', '--base', str(minimal_image),
        '--base-checksum', wrong,
    )  # fmt: skip
    assert code == 3
    assert wrong in found['error']
    assert [path.name for path in outputs.iterdir()] == ['web.qcow2']


@pytest.mark.parametrize('isolation', ['sandbox', 'auto'])
def test_a_base_image_without_an_operating_system(
    tmp_path: pathlib.Path,
    isolation: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its user's mistake, and not a failure of what serves the disk."""
    base = tmp_path / 'blank.img'
    with base.open('wb') as file:
        file.truncate(64 * 1024**2)
    (tmp_path / 'm.yaml').write_text(MANIFEST)
    code = pack.main(
        [
            '--base', str(base), '--output', str(tmp_path / 'x.qcow2'),
            '--manifest', str(tmp_path / 'm.yaml'), '--isolation', isolation,
        ]
    )  # fmt: skip
    told = capsys.readouterr().err.splitlines()[-1]
    assert code == 2, told
    assert told == (
        f'No operating system was found in {tmp_path / "x.qcow2"}.'
    )
    assert not (tmp_path / 'x.qcow2').exists()
