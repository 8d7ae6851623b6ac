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
"""Public OpenPGP keys: which they are, and only those that are wanted.

A repository's vendor publishes a file of keys; who adds the repository knows
fingerprints. Nothing is verified here but that: signatures are the package
manager's business.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
from collections.abc import Iterator

_BEGIN = b'-----BEGIN PGP PUBLIC KEY BLOCK-----'
_END = b'-----END PGP PUBLIC KEY BLOCK-----'
_PUBLIC_KEY = 6
#: Secret keys, and messages: nothing that belongs into a keyring.
_REFUSED = frozenset({1, 3, 5, 7, 8, 9, 11, 18})


class InvalidKeys(ValueError):
    """A text is not a file of public keys; the message says why."""


@dataclasses.dataclass(frozen=True)
class Key:
    """One public key with its subkeys, names and signatures.

    :ivar fingerprint: hexadecimal digits in capitals.
    :ivar packets: as they stand in the file.
    """

    fingerprint: str
    packets: bytes


def read(content: bytes) -> list[Key]:
    """Read a file of public keys, armoured or not.

    :returns: at least one.
    :raises InvalidKeys: it is something else.
    """
    raw = b''.join(_dearmoured(content)) if _BEGIN in content else content
    keys: list[Key] = []
    for tag, body, packet in _packets(raw):
        if tag in _REFUSED:
            raise InvalidKeys('it holds something else than public keys')
        if tag == _PUBLIC_KEY:
            keys.append(Key(_fingerprint(body), packet))
        elif keys:
            last = keys.pop()
            keys.append(Key(last.fingerprint, last.packets + packet))
        else:
            raise InvalidKeys('it does not begin with a public key')
    if not keys:
        raise InvalidKeys('it holds no public key')
    return keys


def armoured(keys: list[Key]) -> str:
    """Write keys as apt and rpm read them."""
    raw = b''.join(key.packets for key in keys)
    text = base64.b64encode(raw).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    checksum = base64.b64encode(_crc24(raw).to_bytes(3, 'big')).decode()
    return '\n'.join(
        [_BEGIN.decode(), '', *lines, f'={checksum}', _END.decode(), '']
    )


def _dearmoured(content: bytes) -> Iterator[bytes]:
    for block in content.split(_BEGIN)[1:]:
        text, end, _ = block.partition(_END)
        if not end:
            raise InvalidKeys('its armour has no end')
        lines = [line.strip() for line in text.splitlines()]
        # Headers ("Comment: ...") end with an empty line.
        start = lines.index(b'', 1) if b'' in lines[1:] else 0
        data = b''.join(
            line for line in lines[start:] if not line.startswith(b'=')
        )
        try:
            yield base64.b64decode(data, validate=True)
        except binascii.Error:
            raise InvalidKeys('its armour is broken') from None


def _packets(raw: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    at = 0
    while at < len(raw):
        try:
            tag, start, length = _header(raw, at)
        except IndexError:
            raise InvalidKeys('it is cut off') from None
        end = start + length
        if end > len(raw):
            raise InvalidKeys('it is cut off')
        yield tag, raw[start:end], raw[at:end]
        at = end


def _header(raw: bytes, at: int) -> tuple[int, int, int]:
    """The tag of a packet, where its body starts, and the body's length."""
    first = raw[at]
    if not first & 0x80:
        raise InvalidKeys('it is no OpenPGP key')
    if first & 0x40:
        tag, octet = first & 0x3F, raw[at + 1]
        if octet < 192:
            return tag, at + 2, octet
        if octet < 224:
            return tag, at + 3, ((octet - 192) << 8) + raw[at + 2] + 192
        if octet < 255:
            raise InvalidKeys('it holds something else than public keys')
        return tag, at + 6, int.from_bytes(raw[at + 2 : at + 6], 'big')
    size = {0: 1, 1: 2, 2: 4}.get(first & 3)
    if size is None:
        raise InvalidKeys('it holds something else than public keys')
    start = at + 1 + size
    length = int.from_bytes(raw[at + 1 : start], 'big')
    return (first >> 2) & 0xF, start, length


def _fingerprint(body: bytes) -> str:
    version = body[:1]
    if version == b'\x04':
        hashed = b'\x99' + len(body).to_bytes(2, 'big') + body
        return hashlib.sha1(hashed, usedforsecurity=False).hexdigest().upper()
    if version == b'\x06':
        hashed = b'\x9b' + len(body).to_bytes(4, 'big') + body
        return hashlib.sha256(hashed).hexdigest().upper()
    raise InvalidKeys('it holds a key of a version that is not known')


def _crc24(raw: bytes) -> int:
    crc = 0xB704CE
    for octet in raw:
        crc ^= octet << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc & 0xFFFFFF
