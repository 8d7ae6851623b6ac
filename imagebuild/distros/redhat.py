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
"""Red Hat Enterprise Linux, CentOS, Fedora and their relatives."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from typing import ClassVar

from imagebuild.distros import base
from imagebuild.distros import rpm_family

# yum: without the option it installs what it finds and succeeds. No
# "--" is needed: the manifest refuses names that begin with "-".
_INSTALL = """\
options='-y --setopt=retries=3 --setopt=timeout=60'
if command -v dnf >/dev/null 2>&1; then
    [ "$refresh" = refresh ] && options="$options --refresh"
    dnf $options install -- "$@" || exit
else
    [ "$refresh" = refresh ] && yum -q clean expire-cache
    yum $options --setopt=skip_missing_names_on_install=0 install "$@" || exit
fi
"""

_CLEAN = """\
if command -v dnf >/dev/null 2>&1; then
    dnf -q clean all >/dev/null 2>&1 || :
elif command -v yum >/dev/null 2>&1; then
    yum -q clean all >/dev/null 2>&1 || :
fi
rm -rf /var/cache/dnf /var/cache/libdnf5 /var/cache/yum
"""

_ARCHITECTURES = (
    'noarch', 'x86_64', 'i686', 'aarch64', 'ppc64le', 's390x', 'riscv64',
)  # fmt: skip


class RedHat(rpm_family.RpmDistro):
    """Red Hat Enterprise Linux, CentOS, Fedora and their relatives."""

    family: ClassVar[str] = 'redhat'
    ids: ClassVar[frozenset[str]] = frozenset(
        {
            'rhel', 'centos', 'fedora', 'rocky', 'almalinux', 'ol', 'amzn',
            'scientific', 'virtuozzo', 'eurolinux', 'cloudlinux', 'circle',
            'miraclelinux', 'navylinux', 'openeuler', 'anolis', 'alinux',
            'tencentos', 'opencloudos', 'xenenterprise', 'rels',
        }
    )  # fmt: skip
    pip_packages: ClassVar[tuple[base.Package, ...]] = (
        base.Package('python3'),
        base.Package('python3-pip'),
    )
    program: ClassVar[str] = 'dnf'
    install_script: ClassVar[str] = _INSTALL

    @staticmethod
    def specification(package: base.Package) -> str:
        """``name-version``; ``name.arch`` is taken apart for it."""
        if not package.version:
            return package.name
        name, dot, architecture = package.name.rpartition('.')
        if not dot or architecture not in _ARCHITECTURES:
            return f'{package.name}-{package.version}'
        # dnf takes an architecture only behind a version and a release.
        release = '' if '-' in package.version else '-*'
        return f'{name}-{package.version}{release}.{architecture}'

    def install_plan(
        self, packages: Sequence[base.Package], *, refresh: bool
    ) -> list[list[str]]:
        """See :meth:`base.Distro.install_plan`."""
        options = ['-y', '--refresh'] if refresh else ['-y']
        wanted = _specifications(packages)
        return [[self.program, *options, 'install', *wanted]]

    def repository_files(
        self, repository: base.Repository
    ) -> list[base.ConfigFile]:
        """See :meth:`base.Distro.repository_files`."""
        key = f'/etc/pki/rpm-gpg/RPM-GPG-KEY-{repository.name}'
        return rpm_family.repository_file('/etc/yum.repos.d', repository, key)

    def cache_cleanup(self) -> str:
        """See :meth:`base.Distro.cache_cleanup`."""
        return _CLEAN


def _specifications(packages: Iterable[base.Package]) -> list[str]:
    return [RedHat.specification(package) for package in packages]
