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
"""Which operating system is this? os-release(5) answers."""

from __future__ import annotations

import dataclasses
import shlex

from imagebuild import exception
from imagebuild.common import control_characters
from imagebuild.remotes.base import Remote

#: In the order of os-release(5).
PATHS = ('/etc/os-release', '/usr/lib/os-release')

#: Bytes; the longest known ones have 500. shlex takes 0.1 s for a word of so
#: many, and hours for one of 8 MiB.
_LARGEST = 64 * 1024

#: Names that Sahara's manifests use in ``os_case``, by os-release ID.
ALIASES = {
    'rhel': ('redhatenterpriseserver', 'redhatenterprise', 'red hat'),
    'centos': ('centosstream', 'centoslinux'),
    'ol': ('oracle', 'oraclelinux', 'oracleserver'),
    'opensuse-leap': ('opensuse',),
    'opensuse-tumbleweed': ('opensuse',),
    'sles': ('suse linux', 'sle'),
}


@dataclasses.dataclass(frozen=True)
class OsRelease:
    """The fields of os-release that imagebuild reads.

    :ivar id: ``ID``, lower case, such as ``debian``.
    :ivar id_like: ``ID_LIKE``, closest relative first.
    :ivar version_id: ``VERSION_ID``, such as ``12`` or ``22.04``; ''
        for rolling releases.
    :ivar codename: ``VERSION_CODENAME``, such as ``bookworm``, or ''.
    :ivar pretty_name: ``PRETTY_NAME``, for people.
    """

    id: str
    id_like: tuple[str, ...] = ()
    version_id: str = ''
    codename: str = ''
    pretty_name: str = ''

    def names(self) -> tuple[str, ...]:
        """Every name that means this very release or distribution.

        Used by ``os_case`` and by the manifest's ``os``: the ID, the ID
        with release and major release (``centos-9.3``, ``centos-9``),
        Sahara's spelling without the hyphen (``centos9``) and its aliases.
        """
        major = self.version_id.partition('.')[0]
        names = [self.id]
        for base in (self.id, *ALIASES.get(self.id, ())):
            names.append(base)
            for version in (self.version_id, major):
                if version:
                    names += [f'{base}-{version}', f'{base}{version}']
        if self.codename:
            names += [self.codename, f'{self.id}-{self.codename}']
        return tuple(dict.fromkeys(names))


def parse(text: str) -> OsRelease:
    """Read the text of an os-release file.

    Lines that are not of the form ``NAME=value`` are passed over, as
    os-release(5) asks of readers. ``ID`` defaults to ``linux``. Control
    characters are escaped.
    """
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition('=')
        if not equals or name.startswith('#'):
            continue
        try:
            fields[name] = ''.join(shlex.split(value))
        except ValueError:  # an open quote
            fields[name] = value.strip('\'"')
        # A guest wrote it, and it ends up in descriptions and errors.
        fields[name] = control_characters.escaped(fields[name])
    return OsRelease(
        id=fields.get('ID', 'linux').lower(),
        id_like=tuple(fields.get('ID_LIKE', '').lower().split()),
        version_id=fields.get('VERSION_ID', ''),
        codename=fields.get('VERSION_CODENAME', ''),
        pretty_name=fields.get('PRETTY_NAME', ''),
    )


def read(remote: Remote) -> OsRelease:
    """Ask a system what it is.

    :raises NoOperatingSystem: it has no os-release file.
    :raises StepError: it is too large for one.
    """
    for path in PATHS:
        try:
            content = remote.read_file(path)
        except exception.RemoteFileNotFound:
            continue
        if len(content) > _LARGEST:
            raise exception.StepError(
                f'{path} has {len(content)} bytes, and {_LARGEST} are the '
                'most that are read of it'
            )
        return parse(content.decode('utf-8', 'replace'))
    raise exception.NoOperatingSystem(path='the system (no os-release file)')
