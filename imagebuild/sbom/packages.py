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
"""The packages of a system, as they may be kept and shown."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import Self

from packaging import utils

from imagebuild import exception

#: The file of a job's directory that lists what is in its image.
FILE_NAME = 'packages.json'
#: Bytes of that file.
LARGEST_FILE = 16 * 1024 * 1024
#: Packages of one system. A list that is cut off would be no answer to what
#: is in an image, so a system with more has none.
MOST = 20_000
#: Versions of one package in one system, likewise: who has a package is found
#: by its name, so a guest of one name at 20000 versions would cost everybody
#: who asks.
MOST_VERSIONS = 500
#: Ecosystems, as package URLs call them.
TYPES = ('deb', 'pypi', 'rpm')

_LONGEST = 255
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9+._-]{0,254}')
_VERSION = re.compile(r'[A-Za-z0-9][A-Za-z0-9.+:~^_!-]{0,254}')
_ARCHITECTURE = re.compile(r'[a-z0-9][a-z0-9_-]{0,31}')
_OS = re.compile(r'[a-z0-9][a-z0-9._-]{0,63}')
_CONTROL = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+')


class Unreadable(exception.StepError):
    """What is in the image cannot be said."""

    msg_fmt = 'What is in the image cannot be listed: %(reason)s.'


@dataclasses.dataclass(frozen=True, order=True)
class Package:
    """One that is installed.

    :ivar type: one of :data:`TYPES`.
    :ivar name: of pypi the normalised one (``pyyaml``).
    :ivar version: in the ecosystem's spelling; of rpm
        ``[epoch:]version-release``.
    :ivar architecture: '' for pypi, and where there is none.
    :ivar source: name of the source package, if it is another one.
    :ivar source_version: of the source package, likewise.
    :ivar license: what the package says itself, for people.
    """

    type: str
    name: str
    version: str
    architecture: str = ''
    source: str = ''
    source_version: str = ''
    license: str = ''

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes it another package."""
        return self.type, self.name, self.version, self.architecture

    @classmethod
    def of(cls, type: str, name: str, version: str, *more: str) -> Self | None:
        """One of what a guest has said.

        :param more: the further attributes, in order.
        :returns: None when it cannot be a package.
        """
        if type == 'pypi':
            name = name and utils.canonicalize_name(name)
        package = cls(type, name, version, *more)
        return package._tidied() if package._is_sound() else None

    def _is_sound(self) -> bool:
        return (
            self.type in TYPES
            and _NAME.fullmatch(self.name) is not None
            and _VERSION.fullmatch(self.version) is not None
            and (
                not self.architecture
                or _ARCHITECTURE.fullmatch(self.architecture) is not None
            )
        )

    def _tidied(self) -> Self:
        source = self.source if _NAME.fullmatch(self.source) else ''
        version = self.source_version
        return dataclasses.replace(
            self,
            source=source,
            source_version=version
            if source and _VERSION.fullmatch(version)
            else '',
            license=_CONTROL.sub(' ', self.license)[:_LONGEST].strip(),
        )


@dataclasses.dataclass(frozen=True)
class Contents:
    """What is in an image.

    :ivar packages: sorted, each once.
    :ivar os_id: ``ID`` of its os-release, '' if it has none.
    :ivar os_version: ``VERSION_ID``, likewise.
    :ivar left_out: entries of its databases that cannot be packages.
    """

    packages: tuple[Package, ...]
    os_id: str = ''
    os_version: str = ''
    left_out: int = 0

    @classmethod
    def of(
        cls,
        found: Iterable[Package | None],
        *,
        os_id: str = '',
        os_version: str = '',
        left_out: int = 0,
    ) -> Self:
        """Put packages into order.

        :param found: with None for each entry that cannot be one.
        :raises Unreadable: they are too many.
        """
        kept: dict[tuple[str, ...], Package] = {}
        versions = collections.Counter[tuple[str, str]]()
        for each in found:
            if each is None:
                left_out += 1
            elif each.key not in kept:
                kept[each.key] = each
                versions[each.type, each.name] += 1
                if versions[each.type, each.name] > MOST_VERSIONS:
                    raise Unreadable(
                        reason=f'it has more than {MOST_VERSIONS} versions of '
                        'one package'
                    )
            if len(kept) > MOST or left_out > MOST:
                raise Unreadable(
                    reason=f'it has more than {MOST} packages, or entries '
                    'that cannot be packages'
                )
        return cls(
            tuple(sorted(kept.values())),
            os_id if _OS.fullmatch(os_id) else '',
            os_version if _OS.fullmatch(os_version) else '',
            left_out,
        )

    def to_document(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            'os': [self.os_id, self.os_version],
            'left_out': self.left_out,
            'packages': [
                list(dataclasses.astuple(each)) for each in self.packages
            ],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_document` gave to another process.

        :raises KeyError, TypeError, ValueError: it is something else.
        :raises Unreadable: they are too many.
        """
        os_id, os_version = map(str, document['os'])
        return cls.of(
            (Package.of(*map(str, each)) for each in document['packages']),
            os_id=os_id,
            os_version=os_version,
            left_out=int(document['left_out']),
        )
