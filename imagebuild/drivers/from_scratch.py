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
"""Drivers that make their base images themselves.

What is made is the same to every build: once per host and ``refresh`` hours
it is made and kept in the cache of base images, and builds work on overlays
over it, as they do over any base image. How a tree comes to be is the
driver's; how a disk is made of it is :mod:`imagebuild.disks.bootable`.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import os
import pathlib
import platform
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
from imagebuild.disks import convert
from imagebuild.disks import image_file
from imagebuild.disks import workspaces
from imagebuild.drivers import base
from imagebuild.drivers import isolations
from imagebuild.drivers import makings
from imagebuild.drivers import overlay_disk
from imagebuild.drivers.makings import DiskMaking
from imagebuild.drivers.makings import Making
from imagebuild.drivers.makings import Options
from imagebuild.layers import content

__all__ = [
    'PROGRAMS',
    'FromScratchDriver',
    'DiskMaking',
    'Options',
    'Sections',
    'Making',
]

#: Sections of the configuration by name, values by option.
Sections = Mapping[str, Mapping[str, Any]]

#: Program -> the Debian package it is in: what makes a disk of a tree.
PROGRAMS = {
    'setpriv': 'util-linux',
    'unshare': 'util-linux',
    'sfdisk': 'fdisk',
    'mke2fs': 'e2fsprogs',
    'qemu-img': 'qemu-utils',
    'mkfs.vfat': 'dosfstools',
    'mcopy': 'mtools',
}
#: Seconds.
_HOUR = 3600


class FromScratchDriver(base.Driver):
    """What these drivers have in common.

    :param clock: gives the seconds since 1970.
    """

    wants_base: ClassVar[bool] = False
    options: ClassVar[type[base.Options]]

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    @abc.abstractmethod
    def making(
        self, options: Mapping[str, Any], sections: Sections
    ) -> DiskMaking:
        """What is to be made; nothing is looked at.

        :param options: as for :meth:`validate`.
        :param sections: of the configuration.
        :raises InvalidDriverOptions: with every problem.
        """

    def on_this_host(
        self, options: Mapping[str, Any], sections: Sections
    ) -> str:
        """What on this host decides what is made, '' for nothing.

        A base image that was made when it was another one is not used again.

        :param options: as for :meth:`validate`.
        :param sections: of the configuration.
        """
        return ''

    @abc.abstractmethod
    def missing_to_make(self) -> Sequence[str]:
        """What this machine lacks for :meth:`create_disk`.

        :returns: as for :meth:`missing`.
        """

    def missing(
        self, isolation: isolations.Setting = 'appliance'
    ) -> Sequence[str]:
        """See :meth:`base.Driver.missing`."""
        return [*self.missing_to_make(), *overlay_disk.missing(isolation)]

    def disk_size(self, options: Mapping[str, Any]) -> int:
        """See :meth:`base.Driver.disk_size`."""
        return self._parsed(options).size * space.GIB

    def possible_isolations(self, context: base.BuildContext) -> Sequence[str]:
        """See :meth:`base.Driver.possible_isolations`.

        Empty for what is made for one build only: no layers lie over it.
        """
        making = self.making(context.options, {})
        parsed = making.options
        if not parsed.refresh:
            return ()
        return overlay_disk.possible_isolations(
            context.settings, parsed.isolation, trusted=making.trusted
        )

    @contextlib.contextmanager
    def prepared(self, context: base.BuildContext) -> Iterator[base.BaseImage]:
        """See :meth:`base.Driver.prepared`.

        No two that are made are the same to the last byte, so what is in
        the file is a part of its identity.
        """
        if not self._parsed(context.options).refresh:
            yield context.base_image
            return
        with self._cached_base(context) as path:
            made = content.identity(image_file.inspect(path))
            yield dataclasses.replace(
                context.base_image,
                location=str(path),
                identity=f'{self.identity(context.options)} {made}',
            )

    @contextlib.contextmanager
    def open(self, context: base.BuildContext) -> Iterator[base.OpenDisk]:
        """See :meth:`base.Driver.open`.

        The disk is made once per host and ``refresh`` hours, kept in the
        cache of base images, and every build works on an overlay over it.
        """
        making = self.making(context.options, {})
        parsed = making.options
        location = context.base_image.location
        with (
            (
                # Kept by who has it prepared.
                contextlib.nullcontext(pathlib.Path(location))
                if location
                else self._cached_base(context)
            ) as path,
            overlay_disk.opened(
                image_file.inspect(path),
                self.name,
                overlay_disk.Options(
                    isolation=parsed.isolation,
                    compression_type=parsed.compression_type,
                ),
                context.workspace,
                trusted=making.trusted,
                settings=context.settings,
                monitor=context.monitor,
            ) as disk,
        ):
            yield disk

    def create_disk(
        self,
        options: Mapping[str, Any],
        path: pathlib.Path,
        *,
        disk_format: base.DiskFormat = 'qcow2',
        monitor: base.DiskMonitor | None = None,
        sections: Sections | None = None,
        work: pathlib.Path | None = None,
        reserve: int = 0,
    ) -> base.FileArtifact:
        """Make the disk, and do nothing else with it.

        All or nothing: ``path`` is there, whole, when this returns, and is
        as it was before when this raises. What a killed process left beside
        it is removed by the next call for the same path.

        :param options: as for :meth:`validate`.
        :param path: the file to make; one that is there is replaced. Its
            directory must exist and have room for the work.
        :param disk_format: ``qcow2`` or ``raw``.
        :param monitor: called with the steps.
        :param sections: of the configuration.
        :param work: where to work, on the same file system; beside the path
            by default.
        :param reserve: bytes that are to be free beside the work.
        :raises InvalidInput: the options ask for something that is not
            available, such as a release that no mirror has.
        :raises EnvironmentFault: this machine, its disk or its network
            failed.
        """
        making = self.making(options, sections or {})
        monitor = monitor or base.DiskMonitor()
        self._refuse_machine(making)
        path = path.absolute()
        workspaces.sweep(path)
        space.check(path.parent, making.room + reserve)
        with workspaces.Workspace(path, directory=work) as workspace:
            made, size = making.make_disk(workspace, disk_format, monitor)
            with os_errors.on_write(path):
                os.replace(made, path)
                convert.flush(path.parent)
        return base.FileArtifact(path, disk_format, size)

    @contextlib.contextmanager
    def _cached_base(
        self, context: base.BuildContext
    ) -> Iterator[pathlib.Path]:
        """Have a base image that is new enough.

        It is made once per host in each period of ``refresh`` hours, counted
        from 1970 on: what was made yesterday is not asked how old it is. One
        that is made for this build only goes to the workspace.

        :returns: its path, as long as the block lasts.
        """
        options, settings = context.options, context.settings
        making = self.making(options, settings.sections)
        parsed = making.options

        def make(path: pathlib.Path) -> base.FileArtifact:
            made = self.create_disk(
                options,
                path,
                monitor=context.monitor,
                sections=settings.sections,
                work=None if making.trusted else _counted(context, path),
                reserve=settings.space_reserve,
            )
            # Where the size is that of what is in it.
            settings.check_size(made.virtual_size)
            return made

        # Before it is made, which takes minutes.
        settings.check_size(parsed.size * space.GIB)
        if not parsed.refresh:
            path = context.workspace / 'base.qcow2'
            try:
                make(path)
                yield path
            finally:
                path.unlink(missing_ok=True)
            return
        period = int(self._clock() // (parsed.refresh * _HOUR))
        here = self.on_this_host(options, settings.sections)
        with settings.cache.make(
            f'{self.identity(options)}{here}@{parsed.refresh}*{period}',
            make,
            what=f'the base image of {making.label}',
            on_notice=context.monitor.notice,
        ) as path:
            yield path

    def _parsed(self, options: Mapping[str, Any]) -> Options:
        return self.making(options, {}).options

    def _refuse_machine(self, making: DiskMaking) -> None:
        if os.geteuid() != 0:
            raise exception.EnvironmentFault(
                'Base images can be made by root only: files of other '
                'owners and device nodes are made.'
            )
        if making.bootable and platform.machine() != 'x86_64':
            raise exception.EnvironmentFault(
                'Bootable images can be made on x86_64 only; this machine '
                f'is {platform.machine()}. Minimal ones can be made here.'
            )
        makings.refuse_missing(self.missing_to_make())
        making.check_host()


def _counted(
    context: base.BuildContext, path: pathlib.Path
) -> pathlib.Path | None:
    """Where what is written counts as what this build takes.

    What a request has run on the disk decides how much that is.

    :returns: None where the cache is on another file system.
    """
    here, there = context.workspace.stat(), path.parent.stat()
    return context.workspace if here.st_dev == there.st_dev else None
