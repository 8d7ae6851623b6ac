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
"""dpkg's database as the file that it is, for systems without dpkg-query."""

from __future__ import annotations

import re
from collections.abc import Iterator

PATH = '/var/lib/dpkg/status'

#: Third word of "Status" where there are no files.
_NO_FILES = ('not-installed', 'config-files')
_SOURCE = re.compile(r'(?P<name>\S+)(?:\s+\((?P<version>[^)]*)\))?')


def installed(text: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Name, version, architecture, source and its version of each package.

    :param text: of the file; nothing in it is believed to be well formed.
    """
    for paragraph in re.split(r'\n[ \t]*\n', text):
        fields = _fields(paragraph)
        status = fields.get('status', '').split()
        if not fields or (status and status[-1] in _NO_FILES):
            continue
        name, version = fields.get('package', ''), fields.get('version', '')
        match = _SOURCE.match(fields.get('source', ''))
        yield (
            name,
            version,
            fields.get('architecture', ''),
            match['name'] if match else name,
            (match['version'] if match else None) or version,
        )


def _fields(paragraph: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in paragraph.splitlines():
        name, colon, value = line.partition(':')
        # Others go on with the field before.
        if colon and not line[0].isspace():
            found.setdefault(name.lower(), value.strip())
    return found
