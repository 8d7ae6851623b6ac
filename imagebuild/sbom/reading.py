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
"""Asks the system on a disk what is installed.

Nothing is booted: the system's own programs list its databases, in one call.
Where they cannot be run, dpkg's database is read as the file that it is. The
answer is a guest's: whatever is in it is looked at by ``packages`` before it
is kept.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from imagebuild import exception
from imagebuild.distros import os_releases
from imagebuild.remotes.base import Remote
from imagebuild.sbom import dpkg_status
from imagebuild.sbom import packages

#: Seconds that the system has for its answer.
TIMEOUT = 600.0
#: By this the script is recognised.
MARK = 'imagebuild-lists-packages'

# Each line begins with what it is. "database": it was read; "unread": it is
# there, and no program reads it; "broken": its program failed.
#
# Virtual environments are looked for where people put them, not on the whole
# disk; and METADATA is read by the shell, since a process for each of some
# hundred files would take minutes under emulation.
_SCRIPT = r"""
: imagebuild-lists-packages
tab='	'
if command -v dpkg-query >/dev/null 2>&1; then
    if [ -e /var/lib/dpkg/status ]; then
        echo "database${tab}deb"
        dpkg-query -W -f "deb\\t\${db:Status-Abbrev}\\t\${Package}\\t\
\${Version}\\t\${Architecture}\\t\${source:Package}\\t\
\${source:Version}\\n" || echo "broken${tab}deb"
    fi
elif [ -e /var/lib/dpkg/status ]; then
    echo "unread${tab}deb"
fi
has_rpms() {
    [ -e "$1/rpmdb.sqlite" ] || [ -e "$1/Packages" ] || [ -e "$1/Packages.db" ]
}
if command -v rpm >/dev/null 2>&1; then
    if has_rpms "$(rpm --eval '%{_dbpath}' 2>/dev/null)"; then
        echo "database${tab}rpm"
        rpm -qa --qf "rpm\\t%{NAME}\\t%|EPOCH?{%{EPOCH}}:{0}|\\t%{VERSION}\\t\
%{RELEASE}\\t%{ARCH}\\t%{SOURCERPM}\\t%{LICENSE}\\n" || echo "broken${tab}rpm"
    fi
elif has_rpms /var/lib/rpm || has_rpms /usr/lib/sysimage/rpm; then
    echo "unread${tab}rpm"
fi
tell() {
    case $1 in
    *.dist-info) file=$1/METADATA ;;
    *) file=$1; [ ! -d "$1" ] || file=$1/PKG-INFO ;;
    esac
    [ -f "$file" ] || return 0
    name= version= lines=0
    # The last line may have no end.
    while [ $lines -lt 50 ] &&
        { line=; IFS= read -r line || [ -n "$line" ]; }; do
        lines=$((lines + 1))
        case $line in
        'Name: '*) name=${line#Name: } ;;
        'Version: '*) version=${line#Version: } ;;
        '') break ;;
        esac
        [ -z "$name" ] || [ -z "$version" ] || break
    done <"$file"
    printf 'pypi\t%s\t%s\n' "$name" "$version"
}
for each in /usr/lib/python*/*-packages/*.dist-info \
    /usr/lib/python*/*-packages/*.egg-info \
    /usr/lib64/python*/*-packages/*.dist-info \
    /usr/lib64/python*/*-packages/*.egg-info; do
    [ ! -e "$each" ] || tell "$each"
done
if command -v find >/dev/null 2>&1; then
    find /opt /srv /home /root /usr/local /usr/share /var/lib /var/www \
        -xdev -maxdepth 8 -path '*/python*/*-packages/*' \
        \( -name '*.dist-info' -o -name '*.egg-info' \) -prune -print \
        2>/dev/null |
        while IFS= read -r each; do tell "$each"; done
fi
exit 0
"""

# What a guest prints that nobody can ask: its release as well, and a last line
# by which a list that was cut off is known.
_ALONE = rf"""
(
    release=/etc/os-release
    [ -r "$release" ] || release=/usr/lib/os-release
    . "$release"
    printf 'release\t%s\t%s\n' "$ID" "$VERSION_ID"
) 2>/dev/null
(
{_SCRIPT}
)
echo complete
"""
_RELEASE, _COMPLETE = 'release\t', 'complete'

_DEB, _RPM, _PYPI = 7, 8, 3
#: What the second letter of dpkg's state is where there are no files.
_NO_FILES = frozenset('nc')


def read(remote: Remote) -> packages.Contents:
    """List what is installed in a system: one call.

    :raises Unreadable: it has no package database, or one that nothing here
        can read, or too much is in it.
    :raises ImageBuildError: as ``remote`` raises when it is broken.
    """
    try:
        answer = remote.run(['/bin/sh', '-c', _SCRIPT], timeout=TIMEOUT).stdout
    except exception.RemoteCommandTimeout as error:
        raise packages.Unreadable(reason=str(error)) from error
    except (exception.RemoteCommandFailed, exception.InvalidInput):
        # It has no shell, or is for another processor.
        answer = 'unread\tdeb\n'
    os_id, os_version = _release(remote)
    listed = Listing(answer)
    found = listed.packages()
    if 'deb' in listed.unread:
        found = itertools.chain(found, _from_status(remote))
        listed.databases.add('deb')
    listed.judge()
    return packages.Contents.of(found, os_id=os_id, os_version=os_version)


def script() -> str:
    """Shell text for a guest that lists what is installed in itself.

    :returns: what it prints is read by :func:`told`.
    """
    return _ALONE


def told(answer: str) -> packages.Contents:
    """Read what :func:`script` has printed in a guest.

    :raises Unreadable: as :func:`read` does, or it was cut off.
    """
    if answer.rpartition('\n' + _COMPLETE)[2].strip() or not answer.strip():
        raise packages.Unreadable(reason='its system was not done with it')
    os_id, os_version = '', ''
    first, _, rest = answer.partition('\n')
    if first.startswith(_RELEASE):
        os_id, _, os_version = first[len(_RELEASE) :].partition('\t')
        answer = rest
    listed = Listing(answer)
    contents = packages.Contents.of(
        listed.packages(), os_id=os_id, os_version=os_version
    )
    listed.judge()
    return contents


class Listing:
    """The answer of the script.

    :param answer: what it printed.
    :ivar databases: those that were read.
    :ivar unread: those that are there, and that no program of it reads.
    :ivar broken: those whose programs failed.
    """

    def __init__(self, answer: str) -> None:
        self._answer = answer
        self._has_entries = False
        self.databases = set[str]()
        self.unread = set[str]()
        self.broken = set[str]()
        marks = {
            'database': self.databases,
            'unread': self.unread,
            'broken': self.broken,
        }
        for first, *rest in self._lines():
            if first in marks and len(rest) == 1 and rest[0] in packages.TYPES:
                marks[first].add(rest[0])
            self._has_entries |= first in packages.TYPES

    def _lines(self) -> Iterator[list[str]]:
        # One after the other: a guest can print millions.
        for match in re.finditer(r'[^\n]+', self._answer):
            yield match.group().split('\t', _RPM)

    def packages(self) -> Iterator[packages.Package | None]:
        """Its packages; None for each entry that cannot be one."""
        for type, *fields in self._lines():
            number = len(fields) + 1
            if type not in packages.TYPES:
                continue
            if type == 'deb' and number == _DEB:
                if fields[0][1:2] not in _NO_FILES:
                    yield deb(*fields[1:])
            elif type == 'rpm' and number == _RPM:
                yield _rpm(*fields)
            elif type == 'pypi' and number == _PYPI:
                yield packages.Package.of(
                    type, *(field.strip() for field in fields)
                )
            else:
                yield None

    def judge(self) -> None:
        """See that every database that is there was read.

        :raises Unreadable: one was not, or there is none.
        """
        missing = sorted(self.broken | (self.unread - self.databases))
        if missing:
            raise packages.Unreadable(
                reason=f'its {" and ".join(missing)} database cannot be read'
            )
        if not self.databases and not self._has_entries:
            raise packages.Unreadable(reason='it has no package database')


def deb(
    name: str, version: str, architecture: str, source: str, of_source: str
) -> packages.Package | None:
    """A package of dpkg's; its source only if that is another one."""
    if (source, of_source) == (name, version):
        source = of_source = ''
    return packages.Package.of(
        'deb', name, version, architecture, source, of_source
    )


def _rpm(
    name: str,
    epoch: str,
    version: str,
    release: str,
    architecture: str,
    source_rpm: str,
    license: str,
) -> packages.Package | None:
    full = f'{version}-{release}'
    if epoch != '0':
        full = f'{epoch}:{full}'
    # name-version-release.src.rpm
    parts = source_rpm.removesuffix('.src.rpm').rsplit('-', 2)
    source, of_source = '', ''
    if len(parts) == 3 and parts[0] != name:
        source, of_source = parts[0], '-'.join(parts[1:])
    return packages.Package.of(
        'rpm',
        name,
        full,
        '' if architecture == '(none)' else architecture,
        source,
        of_source,
        '' if license == '(none)' else license,
    )


def _release(remote: Remote) -> tuple[str, str]:
    try:
        release = os_releases.read(remote)
    except exception.NoOperatingSystem:
        return '', ''
    return release.id, release.version_id


def _from_status(remote: Remote) -> Iterator[packages.Package | None]:
    try:
        content = remote.read_file(dpkg_status.PATH)
    except exception.RemoteFileNotFound:
        raise packages.Unreadable(
            reason='it has no program that lists its packages, and no '
            'database of dpkg'
        ) from None
    return (
        deb(*fields)
        for fields in dpkg_status.installed(content.decode('utf-8', 'replace'))
    )
