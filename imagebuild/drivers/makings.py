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
"""What a driver makes that makes its base images itself."""

from __future__ import annotations

import abc
import dataclasses
import pathlib
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
from imagebuild.disks import host_command
from imagebuild.disks import root_file_systems
from imagebuild.disks import tree_removal
from imagebuild.disks import workspaces
from imagebuild.drivers import base
from imagebuild.drivers import disk_options
from imagebuild.drivers import host_programs
from imagebuild.drivers import isolations
from imagebuild.drivers import option_schema
from imagebuild.drivers import overlay_disk
from imagebuild.drivers import written_root

#: Hours; a day's security updates are what an image may lack.
_DEFAULT_REFRESH = 24


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(option_schema.Options):
    """What all of these drivers are asked.

    :ivar size: GiB of the disk; 0 for what the driver chooses.
    :ivar file_system: of its root: ``ext4``, ``xfs`` or ``btrfs``.
    :ivar partition_table: ``gpt`` or ``mbr``.
    :ivar refresh: hours for which one that was made on this host is used
        again by builds; 0: never.
    :ivar isolation: in what its disk is opened by builds; only stricter than
        the operator's setting.
    :ivar compression_type: of what a build makes of it, see
        :class:`imagebuild.drivers.overlay_disk.Options`.
    """

    size: int = dataclasses.field(
        default=0,
        metadata=option_schema.described(
            'GiB of the disk.',
            option_schema.integer(1, disk_options.LARGEST_SIZE, 'GiB'),
        ),
    )
    file_system: root_file_systems.FileSystem = dataclasses.field(
        default='ext4', metadata=disk_options.FILE_SYSTEM
    )
    partition_table: disk_plan.Table = dataclasses.field(
        default='gpt', metadata=disk_options.PARTITION_TABLE
    )
    refresh: int = dataclasses.field(
        default=_DEFAULT_REFRESH, metadata=disk_options.REFRESH
    )
    isolation: isolations.Setting = dataclasses.field(
        default='auto', metadata=isolations.SCHEMA
    )
    compression_type: convert.Compression = dataclasses.field(
        default='zstd', metadata=overlay_disk.COMPRESSION
    )
    conditions: ClassVar[Mapping[str, Any]] = {
        'allOf': [disk_options.MBR_SIZE]
    }

    def facts(self) -> dict[str, Any]:
        """What of this decides the content of a disk.

        Defaults are left out: they were all there was once, and what was made
        then is as good.
        """
        return {
            name: value
            for name, value, usual in (
                ('file_system', self.file_system, 'ext4'),
                ('partition_table', self.partition_table, 'gpt'),
            )
            if value != usual
        }


@dataclasses.dataclass(frozen=True)
class DiskMaking(abc.ABC):
    """One base image that is to be made.

    :ivar label: what it is, for people, such as ``debian-12``.
    :ivar options: how its disk is to be.
    :ivar bootable: whether it can be started.
    :ivar room: bytes needed beside the target while it is made.
    """

    label: str
    options: Options
    bootable: bool
    room: int

    @property
    def trusted(self) -> bool:
        """Whether nobody but the operator decides what is on its blocks."""
        return True

    def check_host(self) -> None:
        """Refuse what this host cannot make, before anything is made.

        :raises EnvironmentFault: it cannot.
        """
        return None

    @abc.abstractmethod
    def make_disk(
        self,
        workspace: workspaces.Workspace,
        disk_format: base.DiskFormat,
        monitor: base.DiskMonitor,
    ) -> tuple[pathlib.Path, int]:
        """Make the disk, in a workspace.

        :param monitor: called with the steps.
        :returns: the file, which is on the disk, and the bytes that a guest
            sees.
        :raises InvalidInput: what is asked for is not available.
        :raises EnvironmentFault: this machine, its disk or its network
            failed.
        """


@dataclasses.dataclass(frozen=True)
class Making(DiskMaking):
    """One that is made of a tree."""

    @abc.abstractmethod
    def make_tree(
        self,
        tree: pathlib.Path,
        workspace: pathlib.Path,
        plan: disk_plan.DiskPlan,
        monitor: base.DiskMonitor,
    ) -> None:
        """Make the tree, complete but for its boot loader.

        :param tree: the directory to make.
        :param workspace: directory for what is thrown away afterwards.
        :param plan: of the disk; its fstab is to be the tree's.
        :param monitor: called with the steps.
        :raises InvalidInput: what is asked for is not available.
        :raises EnvironmentFault: this machine, its disk or its network
            failed.
        """

    def check_host(self) -> None:
        """See :meth:`DiskMaking.check_host`."""
        kind = root_file_systems.KINDS[self.options.file_system]
        refuse_missing(
            host_programs.not_installed({kind.program: kind.package})
        )
        if kind.mounted:
            written_root.check(self.options.file_system)

    def make_disk(
        self,
        workspace: workspaces.Workspace,
        disk_format: base.DiskFormat,
        monitor: base.DiskMonitor,
    ) -> tuple[pathlib.Path, int]:
        """See :meth:`DiskMaking.make_disk`."""
        try:
            return _Assembly(self, workspace.path, monitor).run(disk_format)
        except BaseException:
            # Removing a workspace does not wait for dying processes.
            tree_removal.discard(workspace.path / 'tree')
            raise


def refuse_missing(missing: Sequence[str]) -> None:
    """Refuse a host that lacks something.

    :param missing: names of packages, or phrases.
    :raises MissingDependency: it is not empty.
    """
    if missing:
        raise exception.MissingDependency(
            what=', '.join(missing),
            remedy=host_programs.remedy(missing),
        )


@dataclasses.dataclass(frozen=True)
class _Assembly:
    """A disk that is made of a tree, in a workspace."""

    making: Making
    directory: pathlib.Path
    monitor: base.DiskMonitor

    def run(self, disk_format: base.DiskFormat) -> tuple[pathlib.Path, int]:
        """Make it.

        :returns: the file, and the bytes of the disk.
        """
        options, tree = self.making.options, self.directory / 'tree'
        plan = disk_plan.DiskPlan(
            options.size * space.GIB,
            bootable=self.making.bootable,
            file_system=options.file_system,
            table=options.partition_table,
            title=self.making.label,
        )
        self.making.make_tree(tree, self.directory, plan, self.monitor)
        plan = bootable.make(
            tree,
            self.directory / 'disk.raw',
            plan,
            self._command,
            workspace=self.directory,
            write_mounted=written_root.write,
            step=self.monitor.step,
        )
        with self.monitor.step(f'write the {disk_format} file'):
            # What is removed before it reached this host's disk is never
            # written there, and the image does not wait for it.
            tree_removal.discard(tree)
            return self._written(disk_format), plan.size

    def _written(self, disk_format: base.DiskFormat) -> pathlib.Path:
        made = self.directory / 'disk.raw'
        if disk_format != 'raw':
            raw, made = made, self.directory / 'image'
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
            argv,
            writes_to=self.directory,
            files=host_command.Files(input_file),
        )
