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
"""Find the paths of a guest that match a shell's pattern."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable

_MAGIC = re.compile('[*?[]')
#: More than anybody asks for.
_MOST = 10000


def expand(names: Callable[[str], list[bytes]], pattern: str) -> list[str]:
    """Expand a pattern.

    :param names: returns the names in a directory, [] where there is none.
    :param pattern: absolute, with ``*``, ``?`` and ``[]``.
    :returns: sorted.
    :raises UnicodeDecodeError: a path that matches is not UTF-8.
    """
    found = ['']
    for part in pattern.strip('/').split('/'):
        found = [
            f'{directory}/{name}'
            for directory in found[:_MOST]
            for name in _matching(names(directory or '/'), part)
        ]
    return sorted(found)


def _matching(names: list[bytes], part: str) -> list[str]:
    if not _MAGIC.search(part):
        return [part] if part.encode() in names else []
    matches = re.compile(fnmatch.translate(part).encode()).match
    return [
        name.decode()
        for name in names
        if matches(name) and (part[0] == '.' or name[:1] != b'.')
    ]
