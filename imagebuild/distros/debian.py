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
"""Debian, Ubuntu and their relatives: apt and dpkg."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable
from collections.abc import Sequence
from typing import ClassVar

from imagebuild import exception
from imagebuild.distros import base
from imagebuild.distros import dpkg_state
from imagebuild.distros import transaction
from imagebuild.distros import unknown_packages
from imagebuild.remotes.base import OutputCallback
from imagebuild.remotes.base import Remote

# No dialogue, whatever a package's script believes to talk to.
_ENVIRONMENT = {
    'DEBIAN_FRONTEND': 'noninteractive',
    'DEBIAN_PRIORITY': 'critical',
    'APT_LISTCHANGES_FRONTEND': 'none',
    'NEEDRESTART_SUSPEND': '1',
    'UCF_FORCE_CONFFOLD': '1',
}

# policy-rc.d: packages ask it whether they may start their service; 101 is no.
# One that the image brings is respected. A trap on EXIT alone is not run by
# every shell when a signal ends it.
#
# gz: unpacks several times faster than xz under emulation (26 s -> 17 s).
# The disk is thrown away on failure, so dpkg need not wait for it.
#
# An image may carry a source that cannot be reached from here. So a failing
# update is no error as long as the installation works; when that fails too,
# both have been asked.
_INSTALL = (
    transaction.SPLIT_OUTPUT
    + r"""
policy=/usr/sbin/policy-rc.d
if ! [ -e "$policy" ] && ! [ -L "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 143' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" || exit
fi
refresh=$1 format=$2
shift 2
if [ "$refresh" = refresh ]; then
    apt-get -q -o Acquire::Languages=none \
        -o Acquire::CompressionTypes::Order::=gz \
        -o Acquire::Retries=2 -o DPkg::Lock::Timeout=120 update ||
        echo 'The package index could not be refreshed; going on with it.'
fi
apt-get -y -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 \
    -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold \
    -o Dpkg::Options::=--force-unsafe-io "$@" || exit
dpkg-query -W --showformat="$format" >&3
"""
)

# apt wants its directories "partial" to belong to its own user, so they stay.
_CLEAN = """\
if [ -d /var/lib/apt/lists ]; then
    find /var/lib/apt/lists -mindepth 1 -maxdepth 1 \
        ! -name partial ! -name lock -exec rm -rf {} +
fi
rm -f /var/lib/apt/lists/partial/* /var/cache/apt/*.bin \
    /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*
"""


_LOOK = r"""
if [ -n "$2" ]; then
    dpkg-query -W -f='${db:Status-Status} ${Version}\n' -- "$1" 2> /dev/null |
        grep -qxF "installed $2"
else
    dpkg-query -W -f='${db:Status-Status} ${Package} ${Provides}\n' |
        sed 's/([^)]*)//g; s/,/ /g' |
        awk -v wanted="${1%%:*}" '
            $1 == "installed" {
                for (i = 2; i <= NF; i++) if ($i == wanted) found = 1
            }
            END { exit !found }'
fi
"""


class Debian(base.Distro):
    """Debian, Ubuntu and their relatives."""

    family: ClassVar[str] = 'debian'
    ids: ClassVar[frozenset[str]] = frozenset(
        {
            'debian', 'ubuntu', 'linuxmint', 'raspbian', 'kali', 'devuan',
            'pop', 'elementary', 'neon', 'zorin', 'deepin', 'parrot', 'mx',
            'proxmox', 'trisquel', 'pureos', 'astra', 'tails', 'siduction',
        }
    )  # fmt: skip
    look_script: ClassVar[str] = _LOOK
    pip_packages: ClassVar[tuple[base.Package, ...]] = (
        base.Package('python3-pip'),
        base.Package('python3-venv'),
    )

    def package_state(
        self,
        remote: Remote,
        packages: Iterable[base.Package],
    ) -> base.PackageState:
        """See :meth:`base.Distro.package_state`."""
        result = remote.run(
            ['dpkg-query', '-W', f'--showformat={dpkg_state.FORMAT}']
        )
        return dpkg_state.DpkgState(result.stdout)

    def install(
        self,
        remote: Remote,
        packages: Sequence[base.Package],
        *,
        refresh: bool,
        asked_about: Iterable[base.Package] = (),
        on_output: OutputCallback | None = None,
    ) -> base.PackageState:
        """See :meth:`base.Distro.install`."""
        wanted = _specifications(packages)
        # A pin may be older than what is there.
        pinned = any(package.version for package in packages)
        options = ['--allow-downgrades'] if pinned else []
        dump = transaction.install(
            remote,
            transaction.shell(
                _INSTALL,
                transaction.REFRESH if refresh else transaction.KEEP,
                dpkg_state.FORMAT,
                *options, 'install', '--', *wanted,
            ),
            ['apt-get', 'install', *wanted],
            unknown_packages.finder(self, 'apt', packages, wanted),
            env=_ENVIRONMENT,
            on_output=on_output,
        )  # fmt: skip
        return dpkg_state.DpkgState(dump)

    def install_plan(
        self, packages: Sequence[base.Package], *, refresh: bool
    ) -> list[list[str]]:
        """See :meth:`base.Distro.install_plan`."""
        install = ['apt-get', '-y', 'install', *_specifications(packages)]
        return [['apt-get', 'update'], install] if refresh else [install]

    def repository_files(
        self, repository: base.Repository
    ) -> list[base.ConfigFile]:
        """See :meth:`base.Distro.repository_files`.

        No suites and no components mean a flat repository; components
        alone mean those of this release. A priority holds for all of the
        repository's host.
        """
        name = repository.name
        key = f'/etc/apt/keyrings/{name}.asc'
        files = []
        if repository.key:
            files.append(base.ConfigFile(key, _lines(repository.key)))
        files.append(
            base.ConfigFile(
                f'/etc/apt/sources.list.d/{name}.sources',
                _lines(self._stanza(repository, key)),
            )
        )
        if repository.priority is not None:
            host = urllib.parse.urlsplit(repository.url).hostname or ''
            # apt pins by the host of a URL, not by the whole of it.
            pin = (
                f'Package: *\nPin: origin "{host}"\n'
                f'Pin-Priority: {repository.priority}'
            )
            path = f'/etc/apt/preferences.d/{name}.pref'
            files.append(base.ConfigFile(path, _lines(pin)))
        return files

    def _stanza(self, repository: base.Repository, key: str) -> str:
        suites = repository.suites
        if not suites:
            suites = (
                (self.os_release.codename,)
                if repository.components and self.os_release.codename
                else ('./',)
            )
        fields = {
            'Types': 'deb',
            'URIs': repository.url,
            'Suites': ' '.join(suites),
        }
        # A suite that is a path has no components; apt refuses the field.
        if not any(suite.endswith('/') for suite in suites):
            components = repository.components or ('main',)
            fields['Components'] = ' '.join(components)
        if repository.key:
            fields['Signed-By'] = key
        if repository.trusted:
            fields['Trusted'] = 'yes'
        return '\n'.join(f'{name}: {text}' for name, text in fields.items())

    def cache_cleanup(self) -> str:
        """See :meth:`base.Distro.cache_cleanup`."""
        return _CLEAN


def _specifications(packages: Iterable[base.Package]) -> list[str]:
    """Packages as apt-get takes them.

    :raises StepFailed: apt would take a name as an order to remove.
    """
    for package in packages:
        if package.name.endswith('-'):
            raise exception.StepFailed(
                f'"{package.name}" is not a package name: apt would remove '
                'a package'
            )
    return [
        f'{package.name}={package.version}'
        if package.version
        else package.name
        for package in packages
    ]


def _lines(text: str) -> bytes:
    return (text.rstrip('\n') + '\n').encode()
