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
"""What is installed by dpkg."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Iterator

from imagebuild.distros import base

#: One line for each package, its fields parted by tabulators.
FORMAT = (
    '${db:Status-Abbrev}\\t${Package}\\t${Version}\\t${Architecture}\\t'
    '${Provides}\\n'
)
_FIELDS = 5
#: Installed, and installed with triggers still to be run. Not among them:
#: c, removed but configured; U, F and H, half done.
_INSTALLED = frozenset('iWt')
_PROVIDED = re.compile(
    r'(?P<name>[^\s:(]+)(?::\w+)?\s*(?:\(=\s*(?P<version>[^\s)]+)\s*\))?'
)


@dataclasses.dataclass(frozen=True)
class _Installed:
    """A package, or a name that one provides.

    :ivar version: '' for a name provided at no version.
    """

    version: str
    architecture: str


class DpkgState(base.PackageState):
    """A snapshot of dpkg's database.

    :param dump: what dpkg-query printed for :data:`FORMAT`.
    """

    def __init__(self, dump: str) -> None:
        self._packages: dict[str, list[_Installed]] = {}
        self._provided: dict[str, list[_Installed]] = {}
        for line in dump.splitlines():
            fields = line.split('\t')
            if len(fields) == _FIELDS and _is_installed(fields[0]):
                self._add(*fields[1:])

    def _add(
        self, name: str, version: str, architecture: str, provides: str
    ) -> None:
        self._packages.setdefault(name, []).append(
            _Installed(version, architecture)
        )
        for item in provides.split(','):
            match = _PROVIDED.match(item.strip())
            if match:
                self._provided.setdefault(match['name'], []).append(
                    _Installed(match['version'] or '', architecture)
                )

    def satisfies(self, package: base.Package) -> bool:
        """See :meth:`base.PackageState.satisfies`.

        A version may be a shell pattern, as apt takes it.
        """
        return any(
            package.version is None
            or fnmatch.fnmatchcase(found.version, package.version)
            for found in self._find(package.name)
        )

    def version(self, name: str) -> str | None:
        """See :meth:`base.PackageState.version`."""
        return next(
            (found.version for found in self._find(name) if found.version),
            None,
        )

    def _find(self, asked: str) -> Iterator[_Installed]:
        # name:architecture and name/suite, as apt takes them.
        name, _, wanted = asked.partition('/')[0].partition(':')
        if wanted == 'native':
            wanted = self._native()
        for known in (self._packages, self._provided):
            for found in known.get(name, ()):
                if wanted in ('', 'any', found.architecture) or (
                    found.architecture == 'all'
                ):
                    yield found

    def _native(self) -> str:
        own = self._packages.get('dpkg')
        return own[0].architecture if own else 'any'


def _is_installed(abbreviation: str) -> bool:
    """Whether a status such as ``ii`` or ``rc`` means installed.

    It is what is wanted, what is, and an error if there is one.
    """
    return len(abbreviation.rstrip()) == 2 and abbreviation[1] in _INSTALLED
