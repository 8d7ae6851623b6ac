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
"""imagebuild-pack --base, with all but the packing itself.

What packs the copy is a stand-in; tests/integration has the real one.
"""

import hashlib
import json
import pathlib

import pytest

from imagebuild.cmd import console
from tests.functional import published_server
from tests.functional.cmd import packing_place

#: A raw disk.
IMAGE = b'disk' * 1024
DIGEST = hashlib.sha256(IMAGE).hexdigest()


@pytest.fixture
def server():
    with published_server.Server() as running:
        yield running


@pytest.fixture
def place(tmp_path, capsys, monkeypatch):
    return packing_place.Place(tmp_path, capsys, monkeypatch)


SIGNED = """
signed:
  image:
    url: {url}/x.img
    checksum_file: S
    signature: s
    keyring: [/none/a.gpg, /usr/share/distribution-gpg-keys/none]
"""


def test_keys_that_are_nowhere(place, server):
    place.catalogue(SIGNED.format(url=server.url))
    code, told = place.pack('signed')
    assert code == 3
    assert told.splitlines()[-1].endswith(
        'put the keys into /none/a.gpg. --base-keyring FILE names another '
        'place, --no-signature goes on without.'
    )
    assert (place.left(), server.asked) == ([], [])


def test_keys_that_the_user_has(place, server):
    directory = pathlib.Path('/tmp') / f'ib-{place.path.name[-12:]}'
    signer = published_server.Signer(directory)
    try:
        sums = f'{DIGEST}  x.img\n'.encode()
        server.files = {
            '/x.img': IMAGE, '/S': sums, '/s': signer.detached(sums),
        }  # fmt: skip
        place.catalogue(SIGNED.format(url=server.url))
        code, told = place.pack('signed', '--base-keyring', signer.keyring)
    finally:
        signer.close()
        published_server.remove(directory)
    assert code == 0, told
    assert (place.path / 'out/x.img').read_bytes() == IMAGE


def test_going_on_without_a_signature(place, monkeypatch):
    certificate = published_server.certificate(place.path)
    monkeypatch.setenv('REQUESTS_CA_BUNDLE', str(certificate))
    with published_server.Server(certificate) as server:
        # As Fedora's: the signature, which is nobody's, is inside.
        server.files = {
            '/x.img': IMAGE,
            '/S': (
                '-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n'
                f'SHA256 (x.img) = {DIGEST}\n-----BEGIN PGP SIGNATURE-----\n'
                '\nAAAA\n-----END PGP SIGNATURE-----\n'
            ).encode(),
        }
        place.catalogue(SIGNED.format(url=server.url))
        code, told = place.pack('signed', '--no-signature')
        assert code == 0, told
        assert told.startswith(
            'The signature of the list of checksums of "signed" is not looked '
            'at (--no-signature): nothing but https vouches for it.\n'
        )
        assert place.left() == ['x.img']
        # The checksum is compared all the same.
        server.files['/x.img'] = b'evil' * 1024
        published_server.remove(place.path / 'cache')
        code, told = place.pack('signed', '--no-signature', output='out/y.img')
        assert code == 3
        assert 'checksum' in told.splitlines()[-1]
        assert place.left() == ['x.img']


def test_no_password_of_a_url_is_shown(place, server):
    server.files['/x.img'] = IMAGE
    url = server.url.replace('//', '//me:hush@') + '/x.img'
    checksum = f'sha256:{DIGEST}'
    code, told = place.pack(url, '--base-checksum', checksum, '--json')
    assert code == 0, told
    assert 'hush' not in told + place.printed
    assert json.loads(place.printed)['base'] == {
        'location': server.url.replace('//', '//***@') + '/x.img',
        'checksum': checksum,
    }


def test_how_much_is_fetched(place, server, monkeypatch):
    moved = []
    monkeypatch.setattr(
        console.ConsoleMonitor,
        'moved',
        lambda _self, *what: moved.append(what),
    )
    server.files = {'/x.img': IMAGE}
    url = f'{server.url}/x.img'
    code, told = place.pack(url, '--base-checksum', f'sha256:{DIGEST}')
    assert code == 0, told
    what = f'Fetching the base image {url}'
    assert moved[-1] == (what, len(IMAGE), len(IMAGE))
    assert told.startswith(f'{what} ...\n')
