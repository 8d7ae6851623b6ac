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
"""``{{ name }}`` in texts: the value of an argument.

``{{ name|sha256 }}`` is its digest: a configuration that takes the hash of a
password need not hold the password.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

_PLACE = re.compile(
    r'\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*(?:(\|)\s*sha256\s*)?\}\}'
)
#: Characters of a value that is shown in the name of a step.
_LONGEST_SHOWN = 80


def names(text: str) -> list[str]:
    """The names a text refers to, each once."""
    return list(dict.fromkeys(name for name, _ in _PLACE.findall(text)))


def fill(text: str, value: Callable[[str], str]) -> str:
    """Put values in the place of names.

    :param value: of a name.
    """

    def filled(match: re.Match[str]) -> str:
        found = value(match[1])
        if match[2]:
            return hashlib.sha256(found.encode()).hexdigest()
        return found

    return _PLACE.sub(filled, text)


def show(text: str, value: Callable[[str], str | None]) -> str:
    """Put values where they help whoever reads the name of a step.

    A name stays where it has no value yet, where its digest is asked for,
    or where the value is more than one short line.
    """

    def shown(match: re.Match[str]) -> str:
        found = None if match[2] else value(match[1])
        if found is None or len(found) > _LONGEST_SHOWN:
            return match[0]
        return found if found.isprintable() else match[0]

    return _PLACE.sub(shown, text)
