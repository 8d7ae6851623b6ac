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
"""Base images that distributions publish, from a server like theirs.

The lists have the forms and the layout of the distributions; the keys are
made here.
"""

import hashlib
import pathlib
import shutil

import pytest

from imagebuild import catalogue
from imagebuild import exception
from imagebuild.drivers import published_images
from tests.functional import published_server

IMAGE = b'an image of 23 bytes...'
S256 = hashlib.sha256(IMAGE).hexdigest()
S512 = hashlib.sha512(IMAGE).hexdigest()
SHIPPED = pathlib.Path(__file__).parents[3] / (
    'etc/imagebuild/operating-systems.yaml'
)


@pytest.fixture
def server():
    with published_server.Server() as running:
        yield running


@pytest.fixture(scope='module')
def signer(tmp_path_factory):
    # The socket of its agent wants a short path.
    directory = pathlib.Path('/tmp') / tmp_path_factory.mktemp('k').name
    shutil.rmtree(directory, ignore_errors=True)
    made = published_server.Signer(directory)
    yield made
    made.close()
    shutil.rmtree(directory)


class Clock:
    def __init__(self):
        self.time = 1_700_000_000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def resolver(tmp_path, clock):
    return published_images.Resolver(tmp_path / 'kept', 60.0, 3600.0, clock)


def entry(server, path, checksum_file, **more):
    return published_images.Published.from_image(
        {'url': server.url + path, 'checksum_file': checksum_file, **more}
    )


def test_debian(server, resolver):
    base = '/images/cloud/bookworm/latest'
    name = 'debian-12-genericcloud-amd64.qcow2'
    server.files[f'{base}/SHA512SUMS'] = f'{S512}  {name}\n'.encode()
    found = resolver.resolve(entry(server, f'{base}/{name}', 'SHA512SUMS'))
    assert found.checksum == f'sha512:{S512}'
    assert found.url == f'{server.url}{base}/{name}'


def test_ubuntu(server, resolver, signer):
    base = '/noble/current'
    name = 'noble-server-cloudimg-amd64.img'
    sums = f'{S256} *{name}\n'.encode()
    server.files[f'{base}/SHA256SUMS'] = sums
    server.files[f'{base}/SHA256SUMS.gpg'] = signer.detached(sums)
    found = resolver.resolve(
        entry(
            server, f'{base}/{name}', 'SHA256SUMS',
            signature='SHA256SUMS.gpg', keyring=str(signer.keyring),
        )
    )  # fmt: skip
    assert found.checksum == f'sha256:{S256}'
    assert found.signed_at > 0


def test_fedora(server, resolver, signer):
    base = '/releases/42/Cloud/x86_64/images'
    name = 'Fedora-Cloud-Base-Generic-42-1.1.x86_64.qcow2'
    listed = f'{base}/Fedora-Cloud-42-1.1-x86_64-CHECKSUM'
    server.files[listed] = signer.clear(
        f'# {name}: 23 bytes\nSHA256 ({name}) = {S256}\n'.encode()
    )
    found = resolver.resolve(
        entry(
            server, f'{base}/Fedora-Cloud-Base-Generic-42-*.x86_64.qcow2',
            listed.rpartition('/')[2], keyring=str(signer.armoured),
        )
    )  # fmt: skip
    assert found.url == f'{server.url}{base}/{name}'
    assert found.checksum == f'sha256:{S256}'


def test_what_is_outside_of_the_signature_is_not_believed(
    server, resolver, signer
):
    evil = f'SHA256 (x.qcow2) = {"00" * 32}\n'.encode()
    server.files['/CHECKSUM'] = (
        signer.clear(f'SHA256 (y.qcow2) = {S256}\n'.encode()) + evil
    )
    wanted = entry(server, '/x.qcow2', 'CHECKSUM', keyring=str(signer.keyring))
    with pytest.raises(exception.EnvironmentFault):
        resolver.resolve(wanted)


@pytest.mark.parametrize(
    'signature',
    ['another key', 'another text', 'none', 'garbage', 'missing'],
)
def test_no_good_signature(server, resolver, signer, tmp_path, signature):
    sums = f'{S256}  x.img\n'.encode()
    server.files['/SHA256SUMS'] = sums
    keyring = signer.keyring
    if signature == 'another key':
        # An empty keyring knows no key.
        keyring = tmp_path / 'keys'
        keyring.write_bytes(b'')
        server.files['/s'] = signer.detached(sums)
    elif signature == 'another text':
        server.files['/s'] = signer.detached(sums + b'x')
    elif signature == 'garbage':
        server.files['/s'] = b'garbage'
    elif signature == 'none':
        server.files['/s'] = b''
    wanted = entry(
        server, '/x.img', 'SHA256SUMS', signature='s', keyring=str(keyring)
    )
    with pytest.raises(exception.EnvironmentFault) as caught:
        resolver.resolve(wanted)
    assert '\n' not in str(caught.value)
    # Nothing of it is kept.
    assert not list((tmp_path / 'kept').glob('*.json'))


def test_a_list_that_should_be_signed_inside_and_is_not(
    server, resolver, signer
):
    server.files['/CHECKSUM'] = f'SHA256 (x) = {S256}\n'.encode()
    wanted = entry(server, '/x', 'CHECKSUM', keyring=str(signer.keyring))
    with pytest.raises(exception.EnvironmentFault, match='no good signature'):
        resolver.resolve(wanted)


@pytest.mark.parametrize('name', ['missing', 'empty.asc'])
def test_a_keyring_that_is_none(server, resolver, tmp_path, name):
    (tmp_path / 'empty.asc').write_text('-----BEGIN nothing\n')
    server.files['/CHECKSUM'] = b'x'
    wanted = entry(server, '/x', 'CHECKSUM', keyring=str(tmp_path / name))
    with pytest.raises(exception.EnvironmentFault, match='keyring'):
        resolver.resolve(wanted)


def test_the_first_keyring_that_is_there(server, resolver, signer, tmp_path):
    sums = f'{S256}  x\n'.encode()
    server.files |= {'/S': sums, '/s': signer.detached(sums)}
    names = [str(tmp_path / 'none.gpg'), str(signer.keyring), '/also/none']
    wanted = entry(server, '/x', 'S', signature='s', keyring=names)
    assert resolver.resolve(wanted).checksum == f'sha256:{S256}'
    # Whoever puts one in front means that one.
    (tmp_path / 'none.gpg').write_bytes(b'no keys')
    with pytest.raises(exception.EnvironmentFault, match='none.gpg cannot be'):
        resolver.resolve(wanted, afresh=True)


def test_no_keyring_at_all(server, resolver):
    names = ['/none/mine.gpg', '/usr/share/distribution-gpg-keys/none/NONE']
    wanted = entry(server, '/x', 'S', signature='s', keyring=names)
    with pytest.raises(published_images.NoKeyring) as caught:
        resolver.resolve(wanted)
    assert str(caught.value) == (
        f'{server.url}/S is signed, and this host has no keyring to verify it '
        f'with (looked for: {names[0]}, {names[1]}); install the package '
        'distribution-gpg-keys, or put the keys into /none/mine.gpg.'
    )
    assert server.asked == []


def test_an_older_list_is_refused(server, resolver, signer, clock):
    new = f'{S256}  x.img\n'.encode()
    old = f'{"00" * 32}  x.img\n'.encode()
    wanted = entry(
        server, '/x.img', 'SHA256SUMS',
        signature='s', keyring=str(signer.keyring),
    )  # fmt: skip
    server.files |= {'/SHA256SUMS': new, '/s': signer.detached(new)}
    resolver.resolve(wanted)
    server.files |= {
        '/SHA256SUMS': old,
        '/s': signer.detached(old, '--faked-system-time', '1999999999'),
    }
    clock.time += 61
    newer = resolver.resolve(wanted)
    server.files |= {'/SHA256SUMS': new, '/s': signer.detached(new)}
    clock.time += 61
    with pytest.raises(exception.EnvironmentFault, match='is older'):
        resolver.resolve(wanted)
    assert newer.checksum == f'sha256:{"00" * 32}'


def test_what_is_known_is_not_asked_for_again(server, resolver, clock):
    server.files['/S'] = f'{S256}  x\n'.encode()
    wanted = entry(server, '/x', 'S')
    first = resolver.resolve(wanted)
    clock.time += 59
    assert resolver.resolve(wanted) == first
    assert server.asked == ['/S']
    assert resolver.resolve(wanted, afresh=True).checksum == first.checksum
    server.files['/S'] = f'{"00" * 32}  x\n'.encode()
    clock.time += 61
    assert resolver.resolve(wanted).checksum == f'sha256:{"00" * 32}'
    # A clock that went back makes nothing young for ever.
    clock.time -= 10_000
    assert len(server.asked) == 3
    resolver.resolve(wanted)
    assert len(server.asked) == 4


def test_a_server_that_fails(server, resolver, clock, caplog):
    server.files['/S'] = f'{S256}  x\n'.encode()
    wanted = entry(server, '/x', 'S')
    first = resolver.resolve(wanted)
    server.files['/S'] = 503
    clock.time += 3599
    assert resolver.resolve(wanted) == first
    assert 'it answers 503' in caplog.text
    clock.time += 2
    with pytest.raises(exception.ServiceUnavailable, match='it answers 503'):
        resolver.resolve(wanted)
    # One that has no such list has no outage.
    server.files['/S'] = 404
    clock.time -= 100
    with pytest.raises(exception.EnvironmentFault, match='404'):
        resolver.resolve(wanted)


def test_what_is_kept_and_damaged(server, resolver, tmp_path):
    server.files['/S'] = f'{S256}  x\n'.encode()
    wanted = entry(server, '/x', 'S')
    first = resolver.resolve(wanted)
    [kept] = (tmp_path / 'kept').glob('*.json')
    for text in ('', '[]', '{"checksum": "md5:1"}', '\xff'):
        kept.write_text(text)
        assert resolver.resolve(wanted).checksum == first.checksum


def test_a_list_without_end(server, resolver):
    server.files['/S'] = b'x' * (2 * 1024**2)
    with pytest.raises(exception.EnvironmentFault, match='larger than'):
        resolver.resolve(entry(server, '/x', 'S'))


def test_the_shipped_catalogue_names_what_can_be_followed():
    followed = [
        entry
        for entry in catalogue.load(SHIPPED)
        if 'checksum_file' in entry.image
    ]
    assert len(followed) >= 9
    for found in followed:
        published = published_images.Published.from_image(found.image)
        assert published.url.startswith('https://')
        assert published.checksum_file.startswith('https://')
        assert not published.signature or published.signature.startswith(
            'https://'
        )
        if published.keyrings:
            own, *of_packages = published.keyrings
            assert own.startswith('/etc/imagebuild/keyrings/')
            assert of_packages
