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
import base64

import pytest

from imagebuild.common import openpgp

#: Two keys as gpg writes them, each alone and both in one block.
ONE = b"""\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawj0NxYJKwYBBAHaRw8BAQdAvFdyECjN4Ds4dL6op9fsUxg1UBakKZFWwIqp
Iu8WmgK0D29uZUBleGFtcGxlLm9yZ4iQBBMWCAA4FiEEiTl5IrhZ1Fm7W1xKhthb
ZuICGJgFAmsI9DcCGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQhthbZuIC
GJj/5gD+NPd3AOteZTIJXy1uEHC+9a1QuNkHOH8S/eBw5XOk3v4BAIVIQPKhdGp+
0MmQO+/JIXHj6xIyuDRmXzLzvPKCA74L
=U+0f
-----END PGP PUBLIC KEY BLOCK-----
"""
TWO = b"""\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawj0NxYJKwYBBAHaRw8BAQdAdHy5x6dVY12MDrSklo+XTyHiDWXzEBzz1fzs
n4XN3bi0D3R3b0BleGFtcGxlLm9yZ4iQBBMWCAA4FiEEB/Vhy27p5SN7CLGjKHjI
Qky0LSIFAmsI9DcCGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQKHjIQky0
LSJwxwD9Htq1Ev3MeKbjEsEJqjmA3oBUCjuuMyTa73Skwt3vaXYBAPYEmc0W6Mrn
9AfXamJsZPxaW1/bQKdO59SUg638jugB
=2s23
-----END PGP PUBLIC KEY BLOCK-----
"""
BOTH = b"""\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawj0NxYJKwYBBAHaRw8BAQdAvFdyECjN4Ds4dL6op9fsUxg1UBakKZFWwIqp
Iu8WmgK0D29uZUBleGFtcGxlLm9yZ4iQBBMWCAA4FiEEiTl5IrhZ1Fm7W1xKhthb
ZuICGJgFAmsI9DcCGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQhthbZuIC
GJj/5gD+NPd3AOteZTIJXy1uEHC+9a1QuNkHOH8S/eBw5XOk3v4BAIVIQPKhdGp+
0MmQO+/JIXHj6xIyuDRmXzLzvPKCA74LmDMEawj0NxYJKwYBBAHaRw8BAQdAdHy5
x6dVY12MDrSklo+XTyHiDWXzEBzz1fzsn4XN3bi0D3R3b0BleGFtcGxlLm9yZ4iQ
BBMWCAA4FiEEB/Vhy27p5SN7CLGjKHjIQky0LSIFAmsI9DcCGwMFCwkIBwIGFQoJ
CAsCBBYCAwECHgECF4AACgkQKHjIQky0LSJwxwD9Htq1Ev3MeKbjEsEJqjmA3oBU
CjuuMyTa73Skwt3vaXYBAPYEmc0W6Mrn9AfXamJsZPxaW1/bQKdO59SUg638jugB
=R+Oq
-----END PGP PUBLIC KEY BLOCK-----
"""
FINGERPRINTS = [
    '89397922B859D459BB5B5C4A86D85B66E2021898',
    '07F561CB6EE9E5237B08B1A32878C8424CB42D22',
]


def test_keys_are_told_apart():
    keys = openpgp.read(BOTH)
    assert [key.fingerprint for key in keys] == FINGERPRINTS
    # Projects with several release managers publish their blocks in a row.
    assert openpgp.read(b'Who signs:\n' + ONE + b'\n\n' + TWO) == keys
    assert openpgp.read(b''.join(key.packets for key in keys)) == keys


def test_they_are_written_as_gpg_does():
    keys = openpgp.read(BOTH)
    assert openpgp.armoured(keys) == BOTH.decode()
    assert openpgp.armoured(keys[1:]) == TWO.decode()


def block(raw: bytes) -> bytes:
    return (
        b'-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n'
        + base64.b64encode(raw)
        + b'\n-----END PGP PUBLIC KEY BLOCK-----\n'
    )


@pytest.mark.parametrize(
    'content, reason',
    [
        (b'', 'no public key'),
        (b'<html>not found</html>', 'no OpenPGP key'),
        (b'-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA', 'has no end'),
        (block(b'').replace(b'\n\n', b'\n\nA!'), 'armour is broken'),
        (block(b'\xc6'), 'cut off'),
        (block(b'\xc6\x20\x04'), 'cut off'),
        # A secret key, and a length that is not known beforehand.
        (block(b'\xc5\x01\x04'), 'something else'),
        (block(b'\xc6\xe1\x04'), 'something else'),
        (block(b'\x9b\x04'), 'something else'),
        # A name without a key before it; a key of an old version.
        (block(b'\xcd\x01a'), 'does not begin'),
        (block(b'\xc6\x01\x03'), 'version'),
    ],
)
def test_what_is_no_key(content, reason):
    with pytest.raises(openpgp.InvalidKeys, match=reason):
        openpgp.read(content)
