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
"""The packages of an element: ``package-installs.yaml`` and ``pkg-map``."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild.conversion import draft
from imagebuild.conversion import user_data
from imagebuild.conversion import values

_FAMILIES = ('debian', 'redhat', 'suse')
#: Distributions of which the maps speak, and their families.
_DISTROS: Mapping[str, str] = {
    'almalinux': 'redhat', 'centos': 'redhat', 'centos7': 'redhat',
    'debian': 'debian', 'fedora': 'redhat', 'opensuse': 'suse',
    'rhel': 'redhat', 'rhel7': 'redhat', 'rocky': 'redhat',
    'ubuntu': 'debian',
}  # fmt: skip
_WHEN = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*(!?=)\s*(\S*)\s*')
_REMOVE = """#!/bin/sh
set -eu
[ "$test_only" -eq 0 ] || exit 0
if command -v apt-get >/dev/null; then
    apt-get -y purge {names}
elif command -v dnf >/dev/null; then
    dnf -y remove {names}
elif command -v zypper >/dev/null; then
    zypper --non-interactive remove {names}
else
    yum -y remove {names}
fi
"""
_PACKAGE = re.compile(r'[A-Za-z0-9][A-Za-z0-9+.:_@-]*')


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """A package, when it is installed or removed, and on what condition."""

    name: str
    phase: str
    remove: bool
    conditions: tuple[tuple[str, str, str], ...]


@dataclasses.dataclass
class Packages:
    """What an element installs and removes.

    :ivar variables: that conditions name, with ''.
    """

    names: Mapping[str, Any]
    wanted: Sequence[_Wanted]
    variables: dict[str, str]

    def installs(self, phase: str) -> list[draft.Validator]:
        """Steps of a phase."""
        return self._steps(phase, remove=False)

    def removals(self, phase: str) -> list[draft.Validator]:
        """Steps at the end of a phase."""
        return self._steps(phase, remove=True)

    def _steps(self, phase: str, *, remove: bool) -> list[draft.Validator]:
        groups: dict[tuple[tuple[str, str, str], ...], list[str]] = {}
        for one in self.wanted:
            if one.phase == phase and one.remove is remove:
                groups.setdefault(one.conditions, []).append(one.name)
        found: list[draft.Validator] = []
        for conditions, names in groups.items():
            steps = self._by_system(names, remove=remove)
            for variable, operator, value in reversed(conditions):
                steps = [_case(variable, operator, value, steps)]
            found += steps
        return found

    def _by_system(
        self, names: Sequence[str], *, remove: bool
    ) -> list[draft.Validator]:
        """One step, or one for each system that has other names."""
        branches: dict[str, list[str]] = {}
        for key, where in self._systems():
            branches[key] = _flat(self._mapped(name, *where) for name in names)
        if len({tuple(found) for found in branches.values()}) == 1:
            return _packages(branches['debian'], remove=remove)
        return [
            {
                'os_case': [
                    {key: _packages(found, remove=remove)}
                    for key, found in branches.items()
                ]
            }
        ]

    def _systems(self) -> Iterator[tuple[str, tuple[str, str, str]]]:
        """Names for ``os_case``: release, distribution and family of each."""
        for distro, releases in _section(self.names, 'release').items():
            for release in releases if isinstance(releases, dict) else ():
                family = _DISTROS.get(distro, '')
                if family:
                    yield f'{distro}-{release}', (release, distro, family)
        for distro in _section(self.names, 'distro'):
            if distro in _DISTROS:
                yield distro, ('', distro, _DISTROS[distro])
        for family in _FAMILIES:
            yield family, ('', '', family)

    def _mapped(
        self, name: str, release: str, distro: str, family: str
    ) -> str:
        releases = _section(_section(self.names, 'release'), distro)
        for found in (
            _section(releases, release),
            _section(_section(self.names, 'distro'), distro),
            _section(_section(self.names, 'family'), family),
            _section(self.names, 'default'),
        ):
            if name in found:
                return str(found[name] or '')
        return name


def _section(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def _flat(found: Iterator[str]) -> list[str]:
    return [name for names in found for name in names.split()]


def _packages(names: Sequence[str], *, remove: bool) -> list[draft.Validator]:
    if not names:
        return []
    if not remove:
        return [{'package': list(names)}]
    text = _REMOVE.format(names=' '.join(names))
    return [{'script': {f'remove {" ".join(names)}': {'inline': text}}}]


def _case(
    variable: str,
    operator: str,
    value: str,
    steps: Sequence[draft.Validator],
) -> draft.Validator:
    branch: dict[str, Any] = {'argument_name': variable}
    if operator == '=':
        branch['cases'] = {value: list(steps)}
    else:
        branch |= {'cases': {value: []}, 'default': list(steps)}
    return {'argument_case': branch}


def read(directory: pathlib.Path, element: str, made: draft.Draft) -> Packages:
    """Read what an element installs."""
    wanted: list[_Wanted] = []
    variables: dict[str, str] = {}
    for name in ('package-installs.yaml', 'package-installs.json'):
        where = f'{element}/{name}'
        for package, entry in _mapping(directory / name, where, made).items():
            for one in entry if isinstance(entry, list) else [entry]:
                place = f'{where}: {package}'
                wanted += _wanted(package, one, place, variables, made)
    names = _mapping(directory / 'pkg-map', f'{element}/pkg-map', made)
    return Packages(names, wanted, variables)


def _mapping(
    path: pathlib.Path, where: str, made: draft.Draft
) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        text = path.read_text()
        data = (
            json.loads(text)
            if path.suffix in ('', '.json')
            else user_data.load_yaml(text, where)
        )
        if data is None:
            return {}
        return values.mapping(data)
    except (
        OSError,
        ValueError,
        RecursionError,
        exception.InvalidInput,
    ) as error:
        made.lose(where, f'it cannot be read: {error}')
        return {}


def _wanted(
    package: str,
    entry: Any,
    place: str,
    variables: dict[str, str],
    made: draft.Draft,
) -> Iterator[_Wanted]:
    if not isinstance(entry, dict):
        entry = {}
    if not _PACKAGE.fullmatch(package):
        made.lose(place, 'it is not the name of a package')
        return
    for key in ('arch', 'not-arch'):
        if key in entry:
            made.lose(place, f'it depends on the processor ("{key}")')
            return
    if str(entry.get('dib_python_version', '3')) == '2':
        return
    if 'installtype' in entry:
        made.remark(
            place, f'for installations of type {entry["installtype"]} only; '
            'it is always installed'
        )  # fmt: skip
    conditions: list[tuple[str, str, str]] = []
    for text in values.items(entry.get('when')):
        match = _WHEN.fullmatch(str(text))
        if not match:
            made.lose(place, 'its "when" is not understood')
            return
        variables.setdefault(match[1], '')
        conditions.append((match[1], match[2], match[3]))
    phase = str(entry.get('phase', 'install.d'))
    remove = values.is_true(entry.get('uninstall', False))
    yield _Wanted(package, phase, remove, tuple(conditions))
    if values.is_true(entry.get('build-only', False)) and not remove:
        yield _Wanted(package, phase, True, tuple(conditions))
