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
"""What the value of an argument must look like."""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

# Both end up in configuration files and in lines of scripts: no spaces,
# quotation marks or control characters.
_PATH = re.compile(r'/[A-Za-z0-9_.,:=@+~/-]*')
_URL = re.compile(r'(?:https?|ftp|file)://[!#-&(-;=?-\[\]-_a-~]+')
# Not as Python reads them, which takes 1_0 and the digits of all scripts.
_INTEGER = re.compile(r'[+-]?[0-9]{1,100}')
_NUMBER = re.compile(
    r'[+-]?(?:[0-9]{1,100}(?:\.[0-9]{0,100})?|\.[0-9]{1,100})'
    r'(?:[eE][+-]?[0-9]{1,3})?'
)
_PORT = re.compile(r'[0-9]{1,5}')
# None of them means something to a shell, to systemd, or where texts are
# quoted in configuration files.
_LETTERS = '[A-Za-z0-9_.,:=@+~/*-]+'
# In schemas: "$" alone matches before a newline at the end, too.
WORD_PATTERN = rf'^{_LETTERS}$(?!\n)'
WORDS_PATTERN = rf'^{_LETTERS}(?: {_LETTERS})*$(?!\n)'
_WORD = re.compile(_LETTERS)
_LINE = re.compile(r'[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*')
LINE_PATTERN = rf'^{_LINE.pattern}$(?!\n)'
SSH_KEY_TYPES = frozenset(
    {
        'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521',
        'sk-ecdsa-sha2-nistp256@openssh.com', 'sk-ssh-ed25519@openssh.com',
        'ssh-dss', 'ssh-ed25519', 'ssh-rsa',
    }
)  # fmt: skip


def error(value: str, kind: str) -> str:
    """Check a value.

    :param value: as it was given, as text.
    :param kind: one of :data:`NAMES`.
    :returns: what such a value is, where this one is not; '' for a good one.
        The value is not repeated.
    """
    return _CHECKS[kind](value)


def schema(kind: str, default: str | None) -> dict[str, Any]:
    """The JSON schema of such values.

    :param default: of the argument; an empty one may be given as well.
    """
    found = dict(_SCHEMAS.get(kind, {'type': kind}))
    if default == '' and 'pattern' in found:
        found['pattern'] = f'{found["pattern"]}|^$'
    return found


def ssh_key_error(line: str) -> str:
    """What is wrong with a public SSH key, '' if nothing; not repeated."""
    if 'PRIVATE KEY' in line:
        return 'it is a private key; its public half is wanted'
    words = line.split()
    if (
        not line.isprintable()
        or len(words) < 2
        or words[0] not in SSH_KEY_TYPES
    ):
        return 'it is not a public key ("ssh-ed25519 AAAA... comment")'
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        return 'the key is not base64'
    # RFC 4253, 6.6: it begins with its own type.
    fields = _fields(blob)
    if len(fields) < 2 or fields[0] != words[0].encode():
        return f'the key is cut off or not of type {words[0]}'
    return ''


def _fields(blob: bytes) -> list[bytes]:
    """The parts of a key, each after its length; none of a broken one."""
    fields = []
    while blob:
        length = int.from_bytes(blob[:4], 'big')
        if len(blob) < 4 + length:
            return []
        fields.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return fields


def _matches(pattern: re.Pattern[str], otherwise: str) -> Callable[[str], str]:
    return lambda value: '' if pattern.fullmatch(value) else otherwise


def _path(value: str) -> str:
    if (
        _PATH.fullmatch(value)
        and not value.startswith('//')
        and posixpath.normpath(value) == value
    ):
        return ''
    return 'an absolute path without "..", of letters, digits and _.,:=@+~-'


def _port(value: str) -> str:
    good = _PORT.fullmatch(value) and 1 <= int(value) <= 65535
    return '' if good else 'a number from 1 to 65535'


def _words(value: str) -> str:
    if all(map(_WORD.fullmatch, value.split(' '))):
        return ''
    return f'words, separated by single spaces, of {_WORD_LETTERS}'


_WORD_LETTERS = 'letters, digits and _.,:=@+~/*-'
_CHECKS: Mapping[str, Callable[[str], str]] = {
    'string': lambda value: '',
    'line': _matches(_LINE, 'one line of text'),
    'word': _matches(_WORD, f'{_WORD_LETTERS}, no spaces'),
    'words': _words,
    'integer': _matches(_INTEGER, 'a number without a fraction'),
    'number': _matches(_NUMBER, 'a number'),
    'port': _port,
    'boolean': lambda value: (
        '' if value in ('true', 'false') else 'true or false'
    ),
    'path': _path,
    'url': _matches(_URL, 'http://, https://, ftp:// or file:// and more'),
    'ssh_key': ssh_key_error,
}
_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    'line': {'type': 'string', 'pattern': LINE_PATTERN},
    'word': {'type': 'string', 'pattern': WORD_PATTERN},
    'words': {'type': 'string', 'pattern': WORDS_PATTERN},
    'port': {'type': 'integer', 'minimum': 1, 'maximum': 65535},
    'path': {'type': 'string', 'format': 'path'},
    'url': {'type': 'string', 'format': 'uri'},
    'ssh_key': {'type': 'string'},
}

#: All there are.
NAMES: tuple[str, ...] = tuple(_CHECKS)
