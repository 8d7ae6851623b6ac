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

import functools
import re
from collections.abc import Iterable

MASK = '***'
#: Characters; a shorter value is masked only where it is a whole word: "1"
#: is a part of most lines.
SHORTEST = 4


def hide(text: str, secrets: Iterable[str]) -> str:
    """Replace secrets in a text.

    :param secrets: longer ones win; empty ones are passed over.
    """
    known = tuple(sorted({item for item in secrets if item}))
    return _pattern(known).sub(MASK, text) if known else text


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
