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
"""Which of the wanted packages a package manager does not know."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild.distros import base

#: What the installing scripts print when they go on with an old index.
_NOT_REFRESHED = 'The package index could not be refreshed;'

#: What apt, dnf (4 and 5), yum and zypper print about a package that no
#: repository has. Scripts of packages print into the same output, so only
#: names that were asked for count.
_UNKNOWN = re.compile(
    r"Unable to locate package (\S+)"
    r"|Package '([^']+)' has no installation candidate"
    r'|No match for argument: (\S+)'
    r'|No package (\S+) available'
    r"|No provider of '([^']+)' found"
    r"|[Pp]ackage '([^']+)' not found"
)
_NO_VERSION = re.compile(r"Version '[^']*' for '([^']+)' was not found")
_NO_GROUP = re.compile(r"Module or Group '([^']+)' ")
#: Names that one message holds.
_MOST = 5


def finder(
    distro: base.Distro,
    manager: str,
    packages: Sequence[base.Package],
    specifications: Sequence[str],
) -> Callable[[str], str]:
    """Make what finds them in a package manager's output.

    :param manager: its name.
    :param packages: what it was asked for.
    :param specifications: the same, as the package manager was given them.
    :returns: takes the output, returns a message without its full stop, ''
        when all are known.
    """
    asked = dict(zip(specifications, packages, strict=True))
    release = distro.os_release
    system = '-'.join(filter(None, (release.id, release.version_id)))
    return lambda output: _message(asked, output, manager, system)


def _message(
    asked: Mapping[str, base.Package], output: str, manager: str, system: str
) -> str:
    found = list(dict.fromkeys(_found(asked, output)))
    if not found:
        return ''
    names = ', '.join(found[:_MOST])
    if len(found) > _MOST:
        names += f' and {len(found) - _MOST} more'
    what = 'package' if len(found) == 1 else 'packages'
    verb = 'is' if len(found) == 1 else 'are'
    text = (
        f'{what} {names} {verb} not known to {manager} of this image '
        f'({system})'
    )
    if _NOT_REFRESHED in output:
        text += ', whose package index could not be refreshed'
    return text


def _found(asked: Mapping[str, base.Package], output: str) -> Iterator[str]:
    names = {package.name: package for package in asked.values()}
    for match in _UNKNOWN.finditer(output):
        name = next(filter(None, match.groups()))
        if name in names:
            yield f"'{name}'"
        elif name in asked:
            yield _with_version(asked[name])
    for match in _NO_VERSION.finditer(output):
        if match[1] in names:
            yield _with_version(names[match[1]])
    for match in _NO_GROUP.finditer(output):
        if f'@{match[1]}' in names:
            yield f"'@{match[1]}'"


def _with_version(package: base.Package) -> str:
    if not package.version:
        return f"'{package.name}'"
    return f"'{package.name}' in version '{package.version}'"
