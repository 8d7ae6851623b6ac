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
"""SUSE Linux Enterprise and openSUSE: zypper and rpm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from imagebuild.distros import base
from imagebuild.distros import rpm_family

_KEYS = '/etc/zypp/keys.d'

# zypper asks before it trusts a key, and takes no answer here: the keys that
# were put in place on purpose are given to rpm beforehand.
#
# As with apt, a repository that cannot be reached is no error as long as the
# installation works. Exit codes: 102 and 103, restart something; 106, a
# repository was passed over.
_INSTALL = f"""\
if [ "$refresh" = refresh ]; then
    for key in {_KEYS}/*.asc; do
        [ ! -e "$key" ] || rpm --import "$key" || exit
    done
    zypper --non-interactive refresh ||
        echo 'The package index could not be refreshed; going on with it.'
fi
zypper --non-interactive install --auto-agree-with-licenses --oldpackage \\
    -- "$@"
code=$?
case $code in
0 | 102 | 103 | 106) ;;
*) exit $code ;;
esac
"""

_CLEAN = """\
if command -v zypper >/dev/null 2>&1; then
    zypper --non-interactive --quiet clean --all >/dev/null 2>&1 || :
fi
rm -rf /var/cache/zypp/packages /var/cache/zypp/raw /var/cache/zypp/solv
"""


class Suse(rpm_family.RpmDistro):
    """SUSE Linux Enterprise and openSUSE."""

    family: ClassVar[str] = 'suse'
    ids: ClassVar[frozenset[str]] = frozenset(
        {
            'suse', 'opensuse', 'opensuse-leap', 'opensuse-tumbleweed',
            'opensuse-microos', 'opensuse-slowroll', 'sles', 'sles_sap',
            'sled', 'sle', 'sle-micro', 'sl-micro', 'sle_hpc',
        }
    )  # fmt: skip
    pip_packages: ClassVar[tuple[base.Package, ...]] = (
        base.Package('python3'),
        base.Package('python3-pip'),
    )
    program: ClassVar[str] = 'zypper'
    install_script: ClassVar[str] = _INSTALL

    @staticmethod
    def specification(package: base.Package) -> str:
        """``name=version``, and ``pattern:name`` for a group."""
        if package.name.startswith('@'):
            return f'pattern:{package.name.lstrip("@")}'
        if not package.version:
            return package.name
        return f'{package.name}={package.version}'

    def install_plan(
        self, packages: Sequence[base.Package], *, refresh: bool
    ) -> list[list[str]]:
        """See :meth:`base.Distro.install_plan`."""
        zypper = [self.program, '--non-interactive']
        wanted = [self.specification(package) for package in packages]
        install = [*zypper, 'install', *wanted]
        return [[*zypper, 'refresh'], install] if refresh else [install]

    def repository_files(
        self, repository: base.Repository
    ) -> list[base.ConfigFile]:
        """See :meth:`base.Distro.repository_files`."""
        key = f'{_KEYS}/{repository.name}.asc'
        return rpm_family.repository_file(
            '/etc/zypp/repos.d', repository, key, more='autorefresh=0\n'
        )

    def cache_cleanup(self) -> str:
        """See :meth:`base.Distro.cache_cleanup`."""
        return _CLEAN
