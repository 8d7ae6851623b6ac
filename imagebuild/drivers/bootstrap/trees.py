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
"""The tree of a distribution, made by mmdebstrap."""

from __future__ import annotations

import dataclasses
import pathlib
import shlex
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild.common import os_errors
from imagebuild.disks import confined
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.drivers.bootstrap import releases

# The kernel's package makes the initramfs, and a trigger makes it again for
# what came later: the first is thrown away, and each is a tenth of all the
# time. Told that there is none, the package leaves it out, with the links to
# it, and the trigger has nothing to replace.
_NO_INITRAMFS = {'INITRD': 'No'}
_INITRAMFS = (
    '--customize-hook=chroot "$1" env -u INITRD sh -ec \''
    'update-initramfs -c -k all; for image in /boot/vmlinuz-*; do '
    'linux-update-symlinks install "${image#/boot/vmlinuz-}" "$image"; done\''
)


@dataclasses.dataclass(frozen=True)
class TreePlan:
    """What a tree is made of.

    :ivar release: of the distribution.
    :ivar sources: where its packages come from.
    :ivar packages: what besides minbase; recommendations are left out.
    :ivar fstab: content of /etc/fstab; there before the packages, since
        the initramfs is made by what is in it.
    :ivar services: systemd's names of what is started at boot besides
        what the packages have started.
    :ivar proxies: scheme to URL.
    :ivar kernel: whether a kernel is among the packages; its initramfs is
        made when all others are there.
    """

    release: releases.Release
    sources: Sequence[apt_sources.AptSource]
    packages: Sequence[str]
    fstab: str
    services: Sequence[str] = ()
    proxies: Mapping[str, str] = dataclasses.field(default_factory=dict)
    kernel: bool = False


def make(tree: pathlib.Path, workspace: pathlib.Path, plan: TreePlan) -> None:
    """Make a tree of minbase and some packages.

    :param tree: the directory to make.
    :param workspace: directory for what is thrown away afterwards.
    :raises MissingDependency: there is no mmdebstrap.
    :raises HostCommandFailed: it failed.
    :raises DiskFull: there was no room.
    """
    sources_file = workspace / 'bootstrap.sources'
    fstab_file = workspace / 'fstab'
    with os_errors.on_write(workspace):
        sources_file.write_text('\n'.join(s.deb822() for s in plan.sources))
        fstab_file.write_text(plan.fstab)
        fstab_file.chmod(0o644)
    argv = [
        'mmdebstrap', '--mode=root', '--format=directory',
        '--variant=minbase', f'--include={",".join(plan.packages)}',
        '--aptopt=Apt::Install-Recommends "false"',
        '--dpkgopt=force-unsafe-io',
        f'--essential-hook=copy-in {shlex.quote(str(fstab_file))} /etc',
        *_enabling(plan.services),
        *([_INITRAMFS] if plan.kernel else []),
        plan.release.codename, str(tree), str(sources_file),
    ]  # fmt: skip
    confined.run(
        argv,
        writes_to=tree,
        confinement=confined.Confinement(
            # For what is downloaded; the scripts of packages have it, too.
            network=True,
            environment={
                'TMPDIR': str(workspace),
                **(_NO_INITRAMFS if plan.kernel else {}),
                **{f'{name}_proxy': url for name, url in plan.proxies.items()},
            },
        ),
    )


def _enabling(services: Sequence[str]) -> list[str]:
    if not services:
        return []
    names = ' '.join(services)
    return [f'--customize-hook=chroot "$1" systemctl -q enable {names}']
