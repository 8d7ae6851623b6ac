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
"""Signatures of images; cursive verifies them, as Glance and Nova do."""

import datetime
import hashlib

import cursive.exception
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric import rsa
from cursive import signature_utils

from imagebuild.common import checksums
from imagebuild.stores import image_signature

UUID = '25f1b4b2-7e27-4f0b-a1f4-5a7b7f3b2f0e'
NOW = datetime.datetime.now(datetime.UTC)
KEYS = {
    'RSA-PSS': rsa.generate_private_key(65537, 2048),
    'ECC_SECP384R1': ec.generate_private_key(ec.SECP384R1()),
    'ECC_SECP521R1': ec.generate_private_key(ec.SECP521R1()),
}


def certificate(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'builds')])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)


def pem(key, encryption=None):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'image.qcow2'
    path.write_bytes(b'QFI\xfb' + bytes(range(256)) * 100)
    return path


@pytest.fixture
def signer(tmp_path):
    def make(key):
        path = tmp_path / 'key.pem'
        path.write_bytes(key if isinstance(key, bytes) else pem(key))
        return image_signature.Signer.from_section(
            {'private_key': str(path), 'certificate_uuid': UUID}
        )

    return make


def verify(properties, content):
    """As Glance's and Nova's verifiers do it."""
    assert signature_utils.should_create_verifier(properties)
    verifier = signature_utils.get_verifier(
        context=None,
        img_signature_certificate_uuid=properties[
            'img_signature_certificate_uuid'
        ],
        img_signature_hash_method=properties['img_signature_hash_method'],
        img_signature=properties['img_signature'],
        img_signature_key_type=properties['img_signature_key_type'],
    )
    for start in range(0, len(content), 1000):
        verifier.update(content[start : start + 1000])
    verifier.verify()


@pytest.mark.parametrize(
    'algorithm', ['sha256', 'sha384', 'sha512', 'md5', '']
)
@pytest.mark.parametrize('kind', KEYS)
def test_cursive_verifies_it(kind, algorithm, barbican, signer, image):
    key, content = KEYS[kind], image.read_bytes()
    barbican[UUID] = certificate(key)
    known = None
    if algorithm:
        digest = hashlib.new(algorithm, content).hexdigest()
        known = checksums.Checksum(algorithm, digest)
    properties = signer(key).properties(image, known)
    assert properties['img_signature_key_type'] == kind
    wanted = {'sha256': 'SHA-256', 'sha384': 'SHA-384'}
    assert properties['img_signature_hash_method'] == wanted.get(
        algorithm, 'SHA-512'
    )
    verify(properties, content)


def test_what_was_changed_or_signed_by_others_is_refused(
    barbican, signer, image
):
    key, content = KEYS['RSA-PSS'], image.read_bytes()
    properties = signer(key).properties(image, None)
    barbican[UUID] = certificate(key)
    with pytest.raises(Exception) as caught:
        verify(properties, content + b'x')
    assert type(caught.value).__name__ == 'InvalidSignature'
    barbican[UUID] = certificate(rsa.generate_private_key(65537, 2048))
    with pytest.raises(Exception) as caught:
        verify(properties, content)
    assert type(caught.value).__name__ == 'InvalidSignature'
    barbican[UUID] = certificate(KEYS['ECC_SECP384R1'])
    with pytest.raises(cursive.exception.SignatureVerificationError):
        verify(properties, content)


def test_no_section_no_signature():
    assert image_signature.Signer.from_section({}) is None


@pytest.mark.parametrize(
    ('section', 'missing'),
    [
        ({'private_key': '/x'}, 'certificate_uuid'),
        ({'certificate_uuid': UUID}, 'private_key'),
    ],
)
def test_half_a_section(section, missing):
    with pytest.raises(image_signature.SigningFailed) as caught:
        image_signature.Signer.from_section(section)
    assert str(caught.value) == (
        f'The image cannot be signed ([signing]): {missing} is not set.'
    )


@pytest.mark.parametrize(
    ('key', 'reason'),
    [
        (b'', 'private_key is not a private key in PEM without a passphrase'),
        (b'-----BEGIN PRIVATE KEY-----\nhush\n', 'is not a private key'),
        (ed25519.Ed25519PrivateKey.generate(), 'the key is none of RSA'),
        (ec.generate_private_key(ec.SECP256R1()), 'the key is none of RSA'),
        (
            pem(
                KEYS['ECC_SECP384R1'],
                serialization.BestAvailableEncryption(b'x'),
            ),
            'without a passphrase',
        ),
        (b'x' * 70_000, 'private_key is larger than 64 KiB'),
    ],
)
def test_keys_that_cannot_be_used(key, reason, signer, image):
    with pytest.raises(image_signature.SigningFailed, match=reason) as caught:
        signer(key).properties(image, None)
    assert 'hush' not in str(caught.value)
    with pytest.raises(image_signature.SigningFailed, match=reason):
        signer(key).check()


@pytest.mark.parametrize('key', KEYS.values(), ids=KEYS)
def test_keys_that_can_be_used(key, signer):
    signer(key).check()


def test_a_key_that_is_not_there(image, tmp_path):
    signer = image_signature.Signer(tmp_path / 'no.pem', UUID)
    with pytest.raises(image_signature.SigningFailed) as caught:
        signer.properties(image, None)
    # Users read it: it names no path of the host.
    assert str(tmp_path) not in str(caught.value)
