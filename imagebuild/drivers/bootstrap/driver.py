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
"""The driver ``bootstrap``: a disk out of nothing but packages."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import platform
import shutil
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

from imagebuild import exception
from imagebuild.disks import bootable
from imagebuild.disks import convert
from imagebuild.disks import faults
from imagebuild.disks import space
from imagebuild.disks import workspace as workspaces
from imagebuild.drivers import base
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.drivers.bootstrap import archive as archives
from imagebuild.drivers.bootstrap import finish
from imagebuild.drivers.bootstrap import options as driver_options
from imagebuild.drivers.bootstrap import releases
from imagebuild.drivers.bootstrap import tree as trees

#: Program -> the Debian package it is in.
_PROGRAMS = {
    'mmdebstrap': 'mmdebstrap',
    'apt-config': 'apt',
    'setpriv': 'util-linux',
    'unshare': 'util-linux',
    'sgdisk': 'gdisk',
    'mke2fs': 'e2fsprogs',
    'qemu-img': 'qemu-utils',
}
_BOOT_PROGRAMS = {'mkfs.vfat': 'dosfstools', 'mcopy': 'mtools'}

#: Bytes needed beside the target for the tree with the downloaded packages,
#: the raw disk and the image. At their peak they were 0.4 GiB for a minimal
#: Debian 12 and 1.7 GiB for a bootable one; releases differ, so nearly twice.
_NEEDED = {True: space.GIB, False: 3 * space.GIB}


class BootstrapDriver(base.Driver):
    """Makes base images from a distribution's packages.

    Its options are those of :class:`driver_options.BootstrapOptions`.

    :param read_sources: gives the package sources to make images from; by
        default those of this machine.
    """

    name: ClassVar[str] = 'bootstrap'

    def __init__(
        self,
        read_sources: Callable[
            [], Sequence[apt_sources.Source]
        ] = apt_sources.read,
    ) -> None:
        self._read_sources = read_sources

    def missing(self) -> Sequence[str]:
        """See :meth:`base.Driver.missing`."""
        programs = {**_PROGRAMS, **_BOOT_PROGRAMS}
        lacking = sorted(
            {
                package
                for program, package in programs.items()
                if shutil.which(program, path=trees.search_path()) is None
            }
        )
        return lacking if os.geteuid() == 0 else ['root rights', *lacking]

    def validate(self, options: Mapping[str, Any]) -> None:
        """See :meth:`base.Driver.validate`."""
        driver_options.BootstrapOptions.parse(options)

    def create_disk(
        self,
        options: Mapping[str, Any],
        path: pathlib.Path,
        *,
        disk_format: base.DiskFormat = 'qcow2',
        monitor: base.Monitor | None = None,
    ) -> base.Disk:
        """See :meth:`base.Driver.create_disk`."""
        parsed = driver_options.BootstrapOptions.parse(options)
        monitor = monitor or base.Monitor()
        self._refuse_machine(parsed)
        path = path.absolute()
        workspaces.sweep(path)
        space.check(path.parent, _NEEDED[parsed.minimal])
        with workspaces.Workspace(path) as workspace:
            build = _Build(parsed, workspace, monitor)
            try:
                made = build.run(self._read_sources(), disk_format)
            except BaseException:
                trees.discard(workspace.path / 'tree')
                raise
            with faults.writing(path):
                os.replace(made, path)
                convert.flush(path.parent)
        return base.Disk(path, disk_format, parsed.size * space.GIB)

    def _refuse_machine(
        self, options: driver_options.BootstrapOptions
    ) -> None:
        if os.geteuid() != 0:
            raise exception.EnvironmentFault(
                'Base images can be made by root only: files of other '
                'owners and device nodes are made.'
            )
        if not options.minimal and platform.machine() != 'x86_64':
            raise exception.EnvironmentFault(
                'Bootable images can be made on x86_64 only; this machine '
                f'is {platform.machine()}. Minimal ones can be made here.'
            )
        missing = self.missing()
        if missing:
            raise exception.MissingDependency(
                what=', '.join(missing),
                remedy=f'run: apt-get install {" ".join(missing)}',
            )


@dataclasses.dataclass(frozen=True)
class _Build:
    options: driver_options.BootstrapOptions
    workspace: workspaces.Workspace
    monitor: base.Monitor

    def run(
        self,
        machine: Sequence[apt_sources.Source],
        disk_format: base.DiskFormat,
    ) -> pathlib.Path:
        """Make the disk in the workspace."""
        release, minimal = self.options.release, self.options.minimal
        folder = self.workspace.path
        plan = bootable.DiskPlan(self.options.size * space.GIB, not minimal)
        with self.monitor.step('look at the mirrors'):
            proxies = archives.read_proxies()
            archive = archives.find(release, machine, proxies)
        for suite in archive.absent:
            self.monitor.notice(
                f'The mirrors do not have {suite}; the image is made '
                'without it.'
            )
        with self.monitor.step('install packages'):
            trees.make(
                folder / 'tree',
                folder,
                release=release,
                sources=archive.sources,
                packages=(
                    releases.MINIMAL_PACKAGES
                    if minimal
                    else release.machine_packages
                ),
                fstab=plan.fstab(),
                services=() if minimal else releases.MACHINE_SERVICES,
                proxies=proxies,
            )
        with self.monitor.step('clean up'):
            finish.finish(
                folder / 'tree',
                release=release,
                sources=archive.sources,
                minimal=minimal,
            )
        with self.monitor.step('make the disk'):
            bootable.make(
                folder / 'tree',
                folder / 'disk.raw',
                plan,
                self._command,
                workspace=folder,
                title=release.name,
            )
        with self.monitor.step(f'write the {disk_format} file'):
            return self._written(disk_format)

    def _written(self, disk_format: base.DiskFormat) -> pathlib.Path:
        made = self.workspace.path / 'disk.raw'
        if disk_format != 'raw':
            raw, made = made, self.workspace.path / 'image'
            self._command(
                [
                    'qemu-img', 'convert', '-q', '-f', 'raw', '-t', 'unsafe',
                    '-O', disk_format, str(raw), str(made),
                ]
            )  # fmt: skip
        with faults.writing(made):
            convert.flush(made)
        return made

    def _command(self, argv: Sequence[str]) -> None:
        trees.run_confined(argv, writes_to=self.workspace.path)
