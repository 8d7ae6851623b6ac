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
"""A family whose packages are rpm's; which program installs is its own."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from collections.abc import Sequence
from typing import ClassVar

from imagebuild.distros import base
from imagebuild.distros import rpm_state
from imagebuild.distros import transaction
from imagebuild.distros import unknown_packages
from imagebuild.remotes.base import OutputCallback
from imagebuild.remotes.base import Remote

_START = f"""\
{transaction.SPLIT_OUTPUT}
refresh=$1 asked=$2 groups=$3
shift 3
"""


_LOOK = r"""
case "$1" in
@*) return 1 ;;
esac
if [ -n "$2" ]; then
    release='%{VERSION}-%{RELEASE}'
    rpm -q --qf "%{VERSION}\\n$release\\n%{EPOCHNUM}:$release\\n" -- "$1" \
        2> /dev/null | grep -qxF "$2"
else
    rpm -q --whatprovides -- "$1" > /dev/null 2>&1
fi
"""


class RpmDistro(base.Distro):
    """What the families with rpm share.

    :cvar program: the package manager, as people know it.
    :cvar install_script: shell text that installs ``"$@"`` and exits when
        that fails; ``$refresh`` is ``refresh`` when the index is to be
        fetched first.
    """

    look_script: ClassVar[str] = _LOOK
    program: ClassVar[str]
    install_script: ClassVar[str]

    @staticmethod
    @abc.abstractmethod
    def specification(package: base.Package) -> str:
        """A package as the package manager takes it."""

    def package_state(
        self,
        remote: Remote,
        packages: Iterable[base.Package],
    ) -> base.PackageState:
        """See :meth:`base.Distro.package_state`."""
        command = transaction.shell(
            rpm_state.QUERY, *rpm_state.arguments(packages)
        )
        return rpm_state.RpmState(remote.run(command).stdout)

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
        wanted = [self.specification(package) for package in packages]
        dump = transaction.install(
            remote,
            transaction.shell(
                _START + self.install_script + rpm_state.AFTER_INSTALL,
                transaction.REFRESH if refresh else transaction.KEEP,
                *rpm_state.arguments([*packages, *asked_about]),
                *wanted,
            ),
            [self.program, 'install', *wanted],
            unknown_packages.finder(self, self.program, packages, wanted),
            on_output=on_output,
        )
        return rpm_state.RpmState(dump)


def repository_file(
    directory: str, repository: base.Repository, key: str, *, more: str = ''
) -> list[base.ConfigFile]:
    """A ``.repo`` file and the key it names.

    :param directory: where the package manager looks for them.
    :param key: path of the key.
    :param more: further lines.
    """
    files = []
    if repository.key:
        content = repository.key.rstrip('\n') + '\n'
        files.append(base.ConfigFile(key, content.encode()))
    # One format for yum, dnf and zypper; only the directories differ.
    lines = [
        f'[{repository.name}]',
        f'name={repository.name}',
        f'baseurl={repository.url}',
        'enabled=1',
        f'gpgcheck={0 if repository.trusted else 1}',
    ]
    if repository.key:
        lines.append(f'gpgkey=file://{key}')
    if repository.priority is not None:
        lines.append(f'priority={repository.priority}')
    text = '\n'.join(lines) + '\n' + more
    path = f'{directory}/{repository.name}.repo'
    return [*files, base.ConfigFile(path, text.encode())]
