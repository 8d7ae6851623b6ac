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
import http.server
import pathlib
import shutil
import subprocess
import threading

import pytest

from imagebuild import catalogue
from imagebuild import exception
from imagebuild.drivers import published_images

IMAGE = b'an image of 23 bytes...'
S256 = hashlib.sha256(IMAGE).hexdigest()
S512 = hashlib.sha512(IMAGE).hexdigest()
SHIPPED = pathlib.Path(__file__).parents[3] / (
    'etc/imagebuild/operating-systems.yaml'
)


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files``: path to content, or to a number that is a status."""

    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.files = {}
        self.asked = []

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server_address[1]}'


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        found = self.server.files.get(self.path, 404)
        if isinstance(found, int):
            self.send_error(found)
            return
        self.send_response(200)
        self.send_header('Content-Length', str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    running = Server()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


class Signer:
    """A key of a distribution."""

    def __init__(self, directory):
        self.home = directory
        directory.mkdir(mode=0o700)
        self.gpg(
            '--quick-generate-key', '--passphrase', '', 'Test <t@example.org>',
            'ed25519', 'sign', 'never',
        )  # fmt: skip
        self.keyring = directory / 'keyring.gpg'
        self.keyring.write_bytes(self.gpg('--export'))
        self.armoured = directory / 'keyring.asc'
        self.armoured.write_bytes(self.gpg('--armor', '--export'))

    def gpg(self, *arguments, content=None):
        return subprocess.run(
            ['gpg', '--homedir', self.home, '--batch', '--quiet',
             '--pinentry-mode', 'loopback', *arguments],
            input=content, check=True, capture_output=True,
        ).stdout  # fmt: skip

    def detached(self, content, *options):
        return self.gpg(*options, '--detach-sign', content=content)

    def clear(self, content):
        return self.gpg('--clear-sign', content=content)

    def close(self):
        subprocess.run(
            ['gpgconf', '--homedir', self.home, '--kill', 'all'], check=False
        )


@pytest.fixture(scope='module')
def signer(tmp_path_factory):
    # The socket of its agent wants a short path.
    directory = pathlib.Path('/tmp') / tmp_path_factory.mktemp('k').name
    shutil.rmtree(directory, ignore_errors=True)
    made = Signer(directory)
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
