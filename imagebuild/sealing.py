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
"""Hidden argument values, sealed for as long as they lie in the database.

The API seals what a request marks as hidden, the conductor that runs the
build unseals it and gives it to the build job. Both read the keys from
``[DEFAULT] encryption_keys``: the first key seals, every key unseals, so a
key is replaced by putting a new one in front and dropping the old one when
no build of its time is left.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from cryptography import fernet

from imagebuild import exception


class SealingFailed(exception.EnvironmentFault):
    """Hidden values cannot be sealed or unsealed with the keys there are."""

    msg_fmt = 'Hidden values cannot be %(verb)s: %(reason)s.'


def seal(keys: Sequence[str], values: Mapping[str, Any]) -> str:
    """Encrypt values.

    :param keys: Fernet keys (32 bytes, URL-safe base64), newest first.
    :param values: what JSON can hold.
    :returns: ASCII text for the database.
    :raises SealingFailed: there is no key, or one is malformed.
    """
    text = json.dumps(dict(values), separators=(',', ':'), sort_keys=True)
    return _box(keys, 'sealed').encrypt(text.encode()).decode('ascii')


def unseal(keys: Sequence[str], token: str) -> dict[str, Any]:
    """Decrypt what :func:`seal` returned.

    :param keys: as for :func:`seal`; any of them may have sealed it.
    :raises SealingFailed: no key fits, there is no key, or one is malformed.
    """
    try:
        text = _box(keys, 'unsealed').decrypt(token.encode())
    except fernet.InvalidToken as error:
        raise SealingFailed(
            verb='unsealed',
            reason='none of the keys in [DEFAULT] encryption_keys fits; the '
            'API servers and the conductors must have the same',
        ) from error
    values: dict[str, Any] = json.loads(text)
    return values


def digest(keys: Sequence[str], text: str) -> str:
    """Digest what depends on hidden values, so that none can be guessed.

    A digest without a key would tell whoever sees it whether a guess at the
    values is right. It is another one once another key is the newest.

    :param keys: as for :func:`seal`.
    :returns: 64 hexadecimal digits.
    :raises SealingFailed: there is no key, or one is malformed.
    """
    _box(keys, 'digested')
    key = b'content key' + keys[0].encode()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def new_key() -> str:
    """Make a key for ``[DEFAULT] encryption_keys``."""
    return fernet.Fernet.generate_key().decode('ascii')


def _box(keys: Sequence[str], verb: str) -> fernet.MultiFernet:
    if not keys:
        raise SealingFailed(
            verb=verb, reason='[DEFAULT] encryption_keys names no key'
        )
    try:
        return fernet.MultiFernet([fernet.Fernet(key) for key in keys])
    except (ValueError, TypeError) as error:
        raise SealingFailed(
            verb=verb,
            reason='a key in [DEFAULT] encryption_keys is not 32 bytes of '
            'URL-safe base64',
        ) from error


if __name__ == '__main__':
    print(new_key())
