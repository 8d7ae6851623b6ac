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
import pathlib

import pytest

from imagebuild import catalogue
from imagebuild import exception

SAMPLE = (
    pathlib.Path(__file__).parents[2] / 'etc/imagebuild/operating-systems.yaml'
)


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / 'operating-systems.yaml'
        path.write_text(text)
        return catalogue.load(path)

    return load


def test_defaults(load):
    found = load('debian-12: {image: {name: debian-12-base}}')
    assert found.names() == ['debian-12']
    assert found.get('debian-12') == catalogue.OperatingSystem(
        'debian-12',
        architecture='x86_64',
        driver='guestfs',
        image={'name': 'debian-12-base'},
    )
    assert found.get('debian-13') is None


def test_everything(load):
    [entry] = load(
        """
        debian-12-minimal:
          description: Debian 12
          architecture: aarch64
          driver: bootstrap
          driver_options: {os: debian-12, minimal: true}
          min_disk: 2
        """
    )
    assert entry.driver_options == {'os': 'debian-12', 'minimal': True}
    assert entry.architecture == 'aarch64'
    assert entry.min_disk == 2
    assert entry.image == {}


@pytest.mark.parametrize('text', ['', '# nothing', '{}'])
def test_empty(load, text):
    assert len(load(text)) == 0


@pytest.mark.parametrize(
    'text, path, words',
    [
        ('[]', '', 'is not of type'),
        ('a: {imgae: {}}', 'a.imgae', 'unknown key'),
        ('"a b": {}', '', 'is not a name'),
        ('a: {image: {}}', 'a.image', 'exactly one of id, name'),
        ('a: {image: {id: x, name: y}}', 'a.image', 'exactly one of'),
        ('a: {image: {id: 5}}', 'a.image.id', "is not of type 'string'"),
        ('a: {image: {name: x, checksum: md5:0}}', 'a.image.checksum', 'is'),
        (
            f'a: {{image: {{name: x, checksum: "sha256:{"0" * 64}"}}}}',
            'a.image.checksum',
            'only a "url" or a "path"',
        ),
        ('a: {image: {url: "https://h/f"}}', 'a.image', 'needs a "checksum"'),
        (
            'a: {image: {path: /f, checksum_file: S}}',
            'a.image.checksum_file',
            'only a "url"',
        ),
        (
            'a: {image: {url: "https://h/f", checksum_file: S, checksum: '
            f'"sha256:{"0" * 64}"}}}}',
            'a.image.checksum_file',
            'has a "checksum" already',
        ),
        (
            'a: {image: {url: "https://h/f", checksum_file: S, signature: T}}',
            'a.image.signature',
            'a "keyring" is needed',
        ),
        (
            'a: {image: {url: "https://h/f", checksum_file: "file:///x"}}',
            'a.image.checksum_file',
            'is not an http or https URL',
        ),
        (
            'a: {image: {url: "https://[::1/f", checksum_file: S}}',
            'a.image.url',
            'is not a valid URL',
        ),
        (
            'a: {image: {url: "https://h/f", checksum_file: "http://h:x/S"}}',
            'a.image.checksum_file',
            'is not a valid URL',
        ),
        (
            'a: {image: {url: "https://h/f", checksum_file: S, keyring: []}}',
            'a.image.keyring',
            '',
        ),
        (
            'a: {image: {url: "https://h/f", checksum_file: S, keyring: [k]}}',
            'a.image.keyring[0]',
            'is not an absolute path',
        ),
        (
            'a: {image: {url: "https://h/*.img", checksum: '
            f'"sha256:{"0" * 64}"}}}}',
            'a.image.url',
            'only with a "checksum_file"',
        ),
        ('a: {image: {url: "ftp://h/f"}}', 'a.image.url', 'http or https'),
        ('a: {image: {path: a.qcow2}}', 'a.image.path', 'absolute path'),
        ('a: {min_disk: -1}', 'a.min_disk', 'is not an integer'),
        ('a: {}\na: {}', '', 'duplicate key'),
        ('a: [', '', 'line '),
    ],
)
def test_mistakes(load, text, path, words):
    with pytest.raises(exception.InvalidManifest) as caught:
        load(text)
    assert [problem.path for problem in caught.value.errors] == [path]
    assert words in caught.value.errors[0].message


def test_all_mistakes_at_once(load):
    with pytest.raises(exception.InvalidManifest) as caught:
        load('a: {driver: 5}\nb: {color: red}\nc: {image: []}')
    assert [problem.path for problem in caught.value.errors] == [
        'a.driver',
        'b.color',
        'c.image',
    ]


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(exception.InvalidManifest, match='cannot be read'):
        catalogue.load(tmp_path / 'nothing.yaml')


def test_the_sample_is_valid():
    assert 'debian-12' in catalogue.load(SAMPLE).names()
