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
"""Signs images, so that Glance and Nova can tell that they are ours.

The properties are those that cursive, Glance's and Nova's library, verifies.
What is signed is the checksum of the file that is sent, which its repository
knows: the file is not read another time.
"""

from __future__ import annotations

import base64
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any
from typing import Self

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import small_files

#: The names that both call a hash.
_HASHES = {'sha256': 'SHA-256', 'sha384': 'SHA-384', 'sha512': 'SHA-512'}
_CURVES = {'secp384r1': 'ECC_SECP384R1', 'secp521r1': 'ECC_SECP521R1'}
_LARGEST_KEY = 64 * 1024


class SigningFailed(exception.EnvironmentFault):
    """An image cannot be signed."""

    msg_fmt = 'The image cannot be signed ([signing]): %(reason)s.'


@dataclasses.dataclass(frozen=True)
class Signer:
    """Signs with one key.

    :ivar private_key: PEM file, without a passphrase.
    :ivar certificate_uuid: id of the certificate's secret in Barbican.
    """

    private_key: pathlib.Path
    certificate_uuid: str

    @classmethod
    def from_section(cls, section: Mapping[str, Any]) -> Self | None:
        """Read ``[signing]``.

        :returns: None when images are not to be signed.
        :raises SigningFailed: half of it is missing.
        """
        key, uuid = section.get('private_key'), section.get('certificate_uuid')
        if not key and not uuid:
            return None
        if not key or not uuid:
            name = 'certificate_uuid' if key else 'private_key'
            raise SigningFailed(reason=f'{name} is not set')
        return cls(pathlib.Path(key), str(uuid))

    def check(self) -> None:
        """See that the key can be used, before an image waits for it.

        :raises SigningFailed: it cannot.
        """
        self._signed(checksums.Checksum('sha512', '00' * 64))

    def properties(
        self, path: pathlib.Path | None, checksum: checksums.Checksum | None
    ) -> dict[str, str]:
        """The properties of an image that is signed.

        :param path: the file that is sent; None where there is none.
        :param checksum: of the content, if one is known.
        :raises SigningFailed: the key cannot be used, or nobody knows what
            is to be signed.
        """
        if checksum is None or checksum.algo not in _HASHES:
            if path is None:
                raise SigningFailed(reason='there is no checksum of it')
            value = checksums.compute(path, ('sha512',))['sha512']
            checksum = checksums.Checksum('sha512', value)
        kind, signature = self._signed(checksum)
        return {
            'img_signature': base64.b64encode(signature).decode('ascii'),
            'img_signature_hash_method': _HASHES[checksum.algo],
            'img_signature_key_type': kind,
            'img_signature_certificate_uuid': self.certificate_uuid,
        }

    def _signed(self, checksum: checksums.Checksum) -> tuple[str, bytes]:
        # A library of the service, which programs for one machine do without.
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric import padding
        from cryptography.hazmat.primitives.asymmetric import rsa
        from cryptography.hazmat.primitives.asymmetric import utils

        key = self._key()
        digest = bytes.fromhex(checksum.value)
        made: dict[str, hashes.HashAlgorithm] = {
            'sha256': hashes.SHA256(),
            'sha384': hashes.SHA384(),
            'sha512': hashes.SHA512(),
        }
        algorithm = made[checksum.algo]
        known = utils.Prehashed(algorithm)
        if isinstance(key, rsa.RSAPrivateKey):
            pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.MAX_LENGTH)
            try:
                return 'RSA-PSS', key.sign(digest, pss, known)
            except ValueError as error:
                raise SigningFailed(reason='the key is too short') from error
        if isinstance(key, ec.EllipticCurvePrivateKey):
            kind = _CURVES.get(key.curve.name)
            if kind:
                return kind, key.sign(digest, ec.ECDSA(known))
        raise SigningFailed(
            reason='the key is none of RSA, secp384r1 or secp521r1, which '
            'Glance and Nova verify'
        )

    def _key(self) -> object:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        try:
            content = small_files.read(
                self.private_key, _LARGEST_KEY, name='private_key'
            )
            return serialization.load_pem_private_key(content, None)
        except exception.InvalidInput as error:
            raise SigningFailed(reason=str(error).rstrip('.')) from error
        except (TypeError, ValueError, UnsupportedAlgorithm) as error:
            # Not what it says: parts of the key may be in it.
            raise SigningFailed(
                reason='private_key is not a private key in PEM without a '
                'passphrase'
            ) from error
