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
"""Hidden values in texts."""

from __future__ import annotations

import base64
import functools
import json
import re
import shlex
import urllib.parse
from collections.abc import Iterable
from collections.abc import Iterator

MASK = '***'
#: Characters; a shorter value is masked only where it is a whole word: "1"
#: is a part of most lines.
SHORTEST = 4
#: Characters of base64 by which a secret is known in it: six bytes. Shorter
#: ones are part of what is no secret.
_SHORTEST_BASE64 = 8


def hide(text: str, secrets: Iterable[str]) -> str:
    """Replace secrets in a text.

    :param secrets: longer ones win; empty ones are passed over.
    """
    known = tuple(sorted({item for item in secrets if item}))
    return _pattern(known).sub(MASK, text) if known else text


# Every line of output needs them.
@functools.lru_cache(maxsize=256)
def forms(secret: str) -> tuple[str, ...]:
    """A secret as programs write it: plain, quoted, escaped, by lines."""
    return tuple(dict.fromkeys(_forms(secret)))


def _forms(secret: str) -> Iterator[str]:
    for text in (secret, *secret.splitlines()):
        if not text.strip():
            continue
        yield text
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        # As Python and as "set -x" of the shells quote.
        yield shlex.quote(text)
        yield text.replace("'", "'\\''")
        yield urllib.parse.quote(text)
        yield urllib.parse.quote(text, safe='')
        yield urllib.parse.quote_plus(text)
        yield from _base64(text.encode('utf-8', 'surrogatepass'))


def _base64(content: bytes) -> Iterator[str]:
    """What is seen of it wherever it begins, as in "user:password"."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + content).decode()
        # A character that is also of what is before or after says little.
        start = (before * 8 + 5) // 6
        end = (before + len(content)) * 8 // 6
        if end - start < _SHORTEST_BASE64:
            continue
        for stop in {end, len(encoded.rstrip('=')), len(encoded)}:
            yield encoded[start:stop]
            yield encoded[start:stop].replace('+', '-').replace('/', '_')


# Every line of output passes here, with the same secrets nearly always.
@functools.lru_cache(maxsize=64)
def _pattern(secrets: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(secrets, key=len, reverse=True)
    return re.compile('|'.join(map(_one, longest_first)))


def _one(secret: str) -> str:
    escaped = re.escape(secret)
    if len(secret) >= SHORTEST:
        return escaped
    # No \b: a secret may begin or end with a character of no word.
    return rf'(?<!\w){escaped}(?!\w)'
