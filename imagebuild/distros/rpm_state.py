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
"""What is installed by rpm; shared by the families that use rpm."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Iterable
from collections.abc import Iterator

from imagebuild.distros import base

# Tells the state: $1 is the names that are asked about, one on each line; $2
# is not empty when there are groups among them. Names that are no package's
# may be provided, and paths are asked for one by one since rpm's answer does
# not say which one it is for. -C: the network is not touched.
_FUNCTION = r"""
rpm_state() {
    rpm -qa --qf 'package\t%{NAME}\t%|EPOCH?{%{EPOCH}}:{0}|'\
'\t%{VERSION}\t%{RELEASE}\t%{ARCH}\n' || return
    if [ -n "$2" ]; then
        { dnf -C -v group list --installed || dnf -C group list --installed ||
            yum -C -v group list installed; } 2>/dev/null </dev/null |
            sed 's/^/group /'
    fi
    (
        set -f
        IFS='
'
        set -- $1
        names=
        for name do
            case $name in
            /*) rpm -q --whatprovides -- "$name" >/dev/null 2>&1 &&
                printf 'file\t%s\n' "$name" ;;
            *) names="$names$name$IFS" ;;
            esac
        done
        [ -z "$names" ] || rpm -q --whatprovides \
            --qf '[provide\t%{PROVIDENAME}\t%{PROVIDEVERSION}\n]' -- $names
    )
    return 0
}
"""
#: The script that prints the state; see :func:`arguments`.
QUERY = f'{_FUNCTION}rpm_state "$@"\n'
#: Appended to an installing script, which leaves them in these variables.
AFTER_INSTALL = f'{_FUNCTION}rpm_state "$asked" "$groups" >&3\n'

_GROUP = re.compile(r'(?P<name>.*\S)\s+\((?P<id>[^()\s]+)\)')


@dataclasses.dataclass(frozen=True)
class _Rpm:
    name: str
    epoch: str
    version: str
    release: str
    architecture: str

    def version_release(self) -> str:
        """As dnf takes it; an epoch of 0 is left out."""
        text = f'{self.version}-{self.release}'
        return text if self.epoch == '0' else f'{self.epoch}:{text}'

    def versions(self) -> Iterator[str]:
        """Every spelling of the version that a pin may have."""
        full = f'{self.version}-{self.release}'
        for text in (self.version, full, f'{full}.{self.architecture}'):
            yield text
            yield f'{self.epoch}:{text}'

    def names(self) -> Iterator[str]:
        """Every spelling of the package that dnf takes."""
        yield self.name
        yield f'{self.name}.{self.architecture}'
        for version in self.versions():
            yield f'{self.name}-{version}'


class RpmState(base.PackageState):
    """A snapshot of rpm's database.

    :param dump: what :data:`QUERY` printed.
    """

    def __init__(self, dump: str) -> None:
        self._packages: dict[str, list[_Rpm]] = {}
        self._provided: dict[str, list[str]] = {}
        self._groups: set[str] = set()
        for line in dump.splitlines():
            match line.split('\t'):
                case ['package', name, epoch, version, release, arch]:
                    self._add(_Rpm(name, epoch, version, release, arch))
                case ['provide', 'pattern()', name]:
                    self._groups.add(name)
                case ['provide', name, version]:
                    self._provided.setdefault(name, []).append(version)
                case ['file', path]:
                    self._provided.setdefault(path, []).append('')
                case _ if line.startswith('group '):
                    self._groups |= _group_names(line[len('group ') :])

    def _add(self, package: _Rpm) -> None:
        for name in dict.fromkeys(package.names()):
            self._packages.setdefault(name, []).append(package)

    def satisfies(self, package: base.Package) -> bool:
        """See :meth:`base.PackageState.satisfies`.

        A version may leave out the release or the epoch, and may be a
        shell pattern. ``@name`` is a group, by its name or id.
        """
        if package.name.startswith('@'):
            return package.name.lstrip('@^') in self._groups
        return any(
            package.version is None
            or fnmatch.fnmatchcase(found, package.version)
            for found in self._versions(package.name)
        )

    def _versions(self, name: str) -> Iterator[str]:
        for package in self._packages.get(name, ()):
            yield from package.versions()
        for version in self._provided.get(name, ()):
            # Provided as version-release: either may be asked for.
            yield version
            yield version.partition('-')[0]

    def version(self, name: str) -> str | None:
        """See :meth:`base.PackageState.version`.

        The one installed last when there are several, such as kernels.
        """
        packages = self._packages.get(name)
        if packages:
            return packages[-1].version_release()
        return next(filter(None, self._provided.get(name, ())), None)


def _group_names(line: str) -> set[str]:
    # dnf 4: "   Development Tools (development)"; dnf 5: a table with the
    # id in front.
    text = line.strip()
    match = _GROUP.fullmatch(text)
    if match:
        return {match['name'], match['id']}
    return {text, *text.split()[:1]}


def arguments(packages: Iterable[base.Package]) -> tuple[str, str]:
    """The arguments of :data:`QUERY`: names, and '' without groups."""
    names = list(dict.fromkeys(package.name for package in packages))
    groups = [name for name in names if name.startswith('@')]
    asked = [name for name in names if name not in groups]
    if groups:
        asked.append('pattern()')  # what zypper's groups provide
    return '\n'.join(asked), 'groups' if groups else ''
