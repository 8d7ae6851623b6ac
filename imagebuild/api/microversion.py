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
"""Microversions: ``OpenStack-API-Version: image-build 1.0``.

Not with microversion-parse: that takes a header that names our service without
a version for none, and ``0_1.0`` and other digits than ASCII for versions.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from imagebuild import exception

SERVICE = 'image-build'
HEADER = 'OpenStack-API-Version'

_VERSION = re.compile(r'([0-9]{1,4})\.([0-9]{1,4})', re.ASCII)


class Version(NamedTuple):
    """A microversion; versions compare as people expect."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f'{self.major}.{self.minor}'


MIN = Version(1, 0)
MAX = Version(1, 0)


class Unsupported(exception.InvalidInput):
    """There is no such microversion."""

    msg_fmt = (
        'Version %(version)s is not supported; there are %(first)s to '
        '%(last)s.'
    )
    code = 406


def parse(header: str | None) -> Version:
    """Return the version that a request wants.

    :param header: the value of :data:`HEADER`, which may name several
        services. Without ours, the first version is meant.
    :raises InvalidInput: our name is followed by no version.
    :raises Unsupported: there is no such version.
    """
    wanted = _ours(header or '')
    # As the guideline of OpenStack's APIs wants it: who asks for nothing is an
    # old client, and gets what it was written for.
    if wanted is None:
        return MIN
    if wanted == 'latest':
        return MAX
    match = _VERSION.fullmatch(wanted)
    if match is None:
        raise exception.InvalidInput(
            f'"{wanted[:32]}" is not a version; "{SERVICE} {MAX}" and '
            f'"{SERVICE} latest" are.'
        )
    version = Version(int(match[1]), int(match[2]))
    if not MIN <= version <= MAX:
        raise Unsupported(version=version, first=MIN, last=MAX)
    return version


def _ours(header: str) -> str | None:
    for part in header.split(','):
        service, _, version = part.strip().partition(' ')
        if service.lower() == SERVICE:
            return version.strip().lower()
    return None
