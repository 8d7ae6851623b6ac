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
"""Lists of checksums, as distributions publish them beside their images.

``SHA512SUMS`` and ``SHA256SUMS`` of Debian and Ubuntu, ``CHECKSUM`` of CentOS,
Rocky, AlmaLinux and Fedora, ``.sha256`` of openSUSE: lines of coreutils
(``HEX  NAME``, ``HEX *NAME``) or of BSD (``SHA256 (NAME) = HEX``).
"""

from __future__ import annotations

import fnmatch
import re

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import control_characters

#: Bytes of a list; that of Fedora has 2 KiB, that of Debian 30 KiB.
MAX_BYTES = 1024 * 1024
_ALGORITHMS = {64: 'sha256', 96: 'sha384', 128: 'sha512'}
_COREUTILS = re.compile(r'\\?([0-9A-Fa-f]{64,128}) [ *](\S+)')
_BSD = re.compile(r'(SHA256|SHA384|SHA512) \((\S+)\) = ([0-9A-Fa-f]{64,128})')
#: What a file may be called: no path, nothing hidden, no pattern.
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._+~-]*')


def find(content: bytes, wanted: str, what: str) -> tuple[str, str]:
    """Find a file in a list.

    :param content: the list; of a signed one, what is signed.
    :param wanted: the name of the file; ``*`` and ``?`` stand for others, and
        exactly one name must fit.
    :param what: the list as it is called in messages.
    :returns: the name, and the checksum as ``algorithm:hexdigest``; of
        several algorithms the longest.
    :raises EnvironmentFault: it is no list, it has no such file or several,
        or two different checksums for one.
    """
    if len(content) > MAX_BYTES:
        raise exception.EnvironmentFault(
            f'{what} is larger than {MAX_BYTES // 1024} KiB.'
        )
    found: dict[str, dict[str, str]] = {}
    for line in content.decode('ascii', 'replace').splitlines():
        entry = _entry(line.strip())
        if entry is None:
            continue
        name, algorithm, digest = entry
        if not fnmatch.fnmatchcase(name, wanted):
            continue
        known = found.setdefault(name, {}).setdefault(algorithm, digest)
        if known != digest:
            raise exception.EnvironmentFault(
                f'{what} has two different checksums for {name}.'
            )
    if len(found) != 1:
        raise exception.EnvironmentFault(_message(found, wanted, what))
    [(name, digests)] = found.items()
    algorithm = max(digests, key=lambda one: len(digests[one]))
    return name, str(
        checksums.Checksum.parse(f'{algorithm}:{digests[algorithm]}')
    )


def _entry(line: str) -> tuple[str, str, str] | None:
    """Name, algorithm and digest of a line; None for any other."""
    if match := _BSD.fullmatch(line):
        name, digest = match[2], match[3].lower()
        algorithm = match[1].lower()
        if _ALGORITHMS.get(len(digest)) != algorithm:
            return None
    elif match := _COREUTILS.fullmatch(line):
        digest, name = match[1].lower(), match[2]
        algorithm = _ALGORITHMS.get(len(digest), '')
    else:
        return None
    name = name.removeprefix('./')
    if not algorithm or not _NAME.fullmatch(name):
        return None
    return name, algorithm, digest


def _message(found: dict[str, dict[str, str]], wanted: str, what: str) -> str:
    shown = control_characters.escaped(wanted)
    if not found:
        return f'{what} has no checksum for {shown}.'
    names = ', '.join(sorted(found)[:5])
    return f'{what} has several files that {shown} could be: {names}.'
