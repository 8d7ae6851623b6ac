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

import contextlib
import dataclasses
import os
import pathlib
import platform
import shutil
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

from imagebuild import exception
from imagebuild.common import os_errors
from imagebuild.common import space
from imagebuild.disks import bootable
from imagebuild.disks import confined
from imagebuild.disks import convert
from imagebuild.disks import disk_plan
from imagebuild.disks import image_file
from imagebuild.disks import root_file_systems
from imagebuild.disks import workspaces
from imagebuild.drivers import base
from imagebuild.drivers import isolations
from imagebuild.drivers import overlay_disk
from imagebuild.drivers import written_root
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.drivers.bootstrap import archives
from imagebuild.drivers.bootstrap import finish
from imagebuild.drivers.bootstrap import releases
from imagebuild.drivers.bootstrap import trees
from imagebuild.drivers.bootstrap.options import BootstrapOptions
from imagebuild.layers import content

#: Program -> the Debian package it is in.
_PROGRAMS = {
    'mmdebstrap': 'mmdebstrap',
    'apt-config': 'apt',
    'setpriv': 'util-linux',
    'unshare': 'util-linux',
    'sfdisk': 'fdisk',
    'mke2fs': 'e2fsprogs',
    'qemu-img': 'qemu-utils',
}
_BOOT_PROGRAMS = {'mkfs.vfat': 'dosfstools', 'mcopy': 'mtools'}

#: Bytes needed beside the target for the tree with the downloaded packages,
#: the raw disk and the image. At their peak they were 0.4 GiB for a minimal
#: Debian 12 and 1.7 GiB for a bootable one; releases differ, so nearly twice.
_NEEDED = {True: space.GIB, False: 3 * space.GIB}
#: Seconds.
_HOUR = 3600


class BootstrapDriver(base.Driver):
    """Makes base images from a distribution's packages.

    Its options are those of :class:`BootstrapOptions`.

    :param read_sources: gives the package sources to make images from; by
        default those of this machine.
    :param clock: gives the seconds since 1970.
    """

    name: ClassVar[str] = 'bootstrap'
    wants_base: ClassVar[bool] = False
    options: ClassVar[type[base.Options]] = BootstrapOptions

    def __init__(
        self,
        read_sources: Callable[
            [], Sequence[apt_sources.AptSource]
        ] = apt_sources.read,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._read_sources = read_sources
        self._clock = clock

    def missing(
        self, isolation: isolations.Setting = 'appliance'
    ) -> Sequence[str]:
        """See :meth:`base.Driver.missing`."""
        return [*self.missing_to_make(), *overlay_disk.missing(isolation)]

    def missing_to_make(self) -> Sequence[str]:
        """What this machine lacks for :meth:`create_disk`.

        :returns: as for :meth:`missing`.
        """
        lacking = _not_installed({**_PROGRAMS, **_BOOT_PROGRAMS})
        return lacking if os.geteuid() == 0 else ['root rights', *lacking]

    def disk_size(self, options: Mapping[str, Any]) -> int:
        """See :meth:`base.Driver.disk_size`; there is a size by default."""
        return BootstrapOptions.parse(options).size * space.GIB

    def identity(self, options: Mapping[str, Any]) -> str:
        """See :meth:`base.Driver.identity`; with the defaults filled in."""
        parsed = BootstrapOptions.parse(options)
        facts: dict[str, Any] = {
            'os': parsed.release.name,
            'minimal': parsed.minimal,
            'size': parsed.size,
        }
        # Left out else: there was no other once, and images that were made
        # then are as good.
        if parsed.file_system != 'ext4':
            facts['file_system'] = parsed.file_system
        if parsed.partition_table != 'gpt':
            facts['partition_table'] = parsed.partition_table
        return base.canonical_identity(self.name, facts)

    def possible_isolations(
        self,
        base_image: base.BaseImage,
        options: Mapping[str, Any],
        settings: base.Settings,
    ) -> Sequence[str]:
        """See :meth:`base.Driver.possible_isolations`.

        Empty for what is made for one build only: no layers lie over it.
        """
        parsed = BootstrapOptions.parse(options)
        if not parsed.refresh:
            return ()
        return overlay_disk.possible_isolations(
            settings, parsed.isolation, trusted=True
        )

    @contextlib.contextmanager
    def prepared(
        self,
        base_image: base.BaseImage,
        options: Mapping[str, Any],
        workspace: pathlib.Path,
        *,
        settings: base.Settings,
        monitor: base.DiskMonitor | None = None,
    ) -> Iterator[base.BaseImage]:
        """See :meth:`base.Driver.prepared`.

        No two that are made are the same to the last byte, so what is in
        the file is a part of its identity.
        """
        if not BootstrapOptions.parse(options).refresh:
            yield base_image
            return
        with self._cached_base(
            options,
            workspace,
            settings=settings,
            monitor=monitor or base.DiskMonitor(),
        ) as path:
            made = content.identity(image_file.inspect(path))
            yield dataclasses.replace(
                base_image,
                location=str(path),
                identity=f'{self.identity(options)} {made}',
            )

    @contextlib.contextmanager
    def open(
        self,
        base_image: base.BaseImage,
        options: Mapping[str, Any],
        workspace: pathlib.Path,
        *,
        settings: base.Settings,
        monitor: base.DiskMonitor | None = None,
    ) -> Iterator[base.OpenDisk]:
        """See :meth:`base.Driver.open`.

        The disk is made once per host and ``refresh`` hours, kept in the
        cache of base images, and every build works on an overlay over it.
        """
        parsed = BootstrapOptions.parse(options)
        monitor = monitor or base.DiskMonitor()
        with (
            (
                # Kept by who has it prepared.
                contextlib.nullcontext(pathlib.Path(base_image.location))
                if base_image.location
                else self._cached_base(
                    options, workspace, settings=settings, monitor=monitor
                )
            ) as path,
            overlay_disk.opened(
                image_file.inspect(path),
                self.name,
                overlay_disk.Options(
                    isolation=parsed.isolation,
                    compression_type=parsed.compression_type,
                ),
                workspace,
                trusted=True,
                settings=settings,
                monitor=monitor,
            ) as disk,
        ):
            yield disk

    @contextlib.contextmanager
    def _cached_base(
        self,
        options: Mapping[str, Any],
        workspace: pathlib.Path,
        *,
        settings: base.Settings,
        monitor: base.DiskMonitor,
    ) -> Iterator[pathlib.Path]:
        """Have a base image that is new enough.

        It is made once per host in each period of ``refresh`` hours, counted
        from 1970 on: what was made yesterday is not asked how old it is.

        :param workspace: where one goes that is made for this build only.
        :returns: its path, as long as the block lasts.
        """

        def make(path: pathlib.Path) -> base.Disk:
            return self.create_disk(options, path, monitor=monitor)

        parsed = BootstrapOptions.parse(options)
        # Before it is made, which takes minutes.
        settings.check_size(parsed.size * space.GIB)
        if not parsed.refresh:
            path = workspace / 'base.qcow2'
            try:
                make(path)
                yield path
            finally:
                path.unlink(missing_ok=True)
            return
        period = int(self._clock() // (parsed.refresh * _HOUR))
        with settings.cache.make(
            f'{self.identity(options)}@{parsed.refresh}*{period}',
            make,
            what=f'the base image of {parsed.release.name}',
            on_notice=monitor.notice,
        ) as path:
            yield path

    def create_disk(
        self,
        options: Mapping[str, Any],
        path: pathlib.Path,
        *,
        disk_format: base.DiskFormat = 'qcow2',
        monitor: base.DiskMonitor | None = None,
    ) -> base.Disk:
        """Make the disk, and do nothing else with it.

        All or nothing: ``path`` is there, whole, when this returns, and is
        as it was before when this raises. What a killed process left beside
        it is removed by the next call for the same path.

        :param options: as for :meth:`validate`.
        :param path: the file to make; one that is there is replaced. Its
            directory must exist and have room for the work.
        :param disk_format: ``qcow2`` or ``raw``.
        :param monitor: called with the steps.
        :raises InvalidInput: the options ask for something that is not
            available, such as a release that no mirror has.
        :raises EnvironmentFault: this machine, its disk or its network
            failed.
        """
        parsed = BootstrapOptions.parse(options)
        monitor = monitor or base.DiskMonitor()
        self._refuse_machine(parsed)
        path = path.absolute()
        workspaces.sweep(path)
        space.check(path.parent, _NEEDED[parsed.minimal])
        with workspaces.Workspace(path) as workspace:
            build = _Build(parsed, workspace, monitor)
            try:
                made = build.run(self._read_sources(), disk_format)
            except BaseException:
                # Removing a workspace does not wait for dying processes.
                trees.discard(workspace.path / 'tree')
                raise
            with os_errors.on_write(path):
                os.replace(made, path)
                convert.flush(path.parent)
        return base.Disk(path, disk_format, parsed.size * space.GIB)

    def _refuse_machine(self, options: BootstrapOptions) -> None:
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
        kind = root_file_systems.KINDS[options.file_system]
        missing = [
            *self.missing_to_make(),
            *_not_installed({kind.program: kind.package}),
        ]
        if missing:
            raise exception.MissingDependency(
                what=', '.join(missing),
                remedy=f'run: apt-get install {" ".join(missing)}',
            )
        if kind.mounted:
            written_root.check(options.file_system)


def _not_installed(programs: Mapping[str, str]) -> list[str]:
    """The packages of those programs that are not there."""
    return sorted(
        {
            package
            for program, package in programs.items()
            if shutil.which(program, path=confined.search_path()) is None
        }
    )


@dataclasses.dataclass(frozen=True)
class _Build:
    options: BootstrapOptions
    workspace: workspaces.Workspace
    monitor: base.DiskMonitor

    def run(
        self,
        machine: Sequence[apt_sources.AptSource],
        disk_format: base.DiskFormat,
    ) -> pathlib.Path:
        """Make the disk in the workspace."""
        release, minimal = self.options.release, self.options.minimal
        directory = self.workspace.path
        plan = disk_plan.DiskPlan(
            self.options.size * space.GIB,
            bootable=not minimal,
            file_system=self.options.file_system,
            table=self.options.partition_table,
            title=release.name,
        )
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
                directory / 'tree',
                directory,
                self._tree_plan(plan, archive, proxies),
            )
        with self.monitor.step('clean up'):
            finish.finish(
                directory / 'tree',
                release=release,
                sources=archive.sources,
                minimal=minimal,
            )
        bootable.make(
            directory / 'tree',
            directory / 'disk.raw',
            plan,
            self._command,
            workspace=directory,
            write_mounted=written_root.write,
            step=self.monitor.step,
        )
        with self.monitor.step(f'write the {disk_format} file'):
            # What is removed before it reached this host's disk is never
            # written there, and the image does not wait for it.
            trees.discard(directory / 'tree')
            return self._written(disk_format)

    def _tree_plan(
        self,
        plan: disk_plan.DiskPlan,
        archive: archives.Archive,
        proxies: Mapping[str, str],
    ) -> trees.TreePlan:
        release, minimal = self.options.release, self.options.minimal
        packages: tuple[str, ...] = releases.MINIMAL_PACKAGES
        if not minimal:
            packages = release.machine_packages + plan.kind.machine_packages
        return trees.TreePlan(
            release=release,
            sources=archive.sources,
            packages=packages,
            fstab=plan.fstab(),
            services=() if minimal else releases.MACHINE_SERVICES,
            proxies=proxies,
            kernel=not minimal,
        )

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
            raw.unlink()
        with os_errors.on_write(made):
            convert.flush(made)
        return made

    def _command(
        self, argv: Sequence[str], *, input_file: pathlib.Path | None = None
    ) -> None:
        confined.run(
            argv, writes_to=self.workspace.path, input_file=input_file
        )
