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
"""The driver ``installer``: a disk by a distribution's own installer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

from imagebuild import exception
from imagebuild.boot import availability
from imagebuild.boot import machine
from imagebuild.common import config_options
from imagebuild.common import space
from imagebuild.disks import convert
from imagebuild.disks import image_file
from imagebuild.disks import workspaces
from imagebuild.drivers import base
from imagebuild.drivers import from_scratch
from imagebuild.drivers import settings as driver_settings
from imagebuild.drivers.installer import run
from imagebuild.drivers.installer import settings as installer_settings
from imagebuild.drivers.installer.options import InstallerOptions

#: Bytes needed beside the target: the raw disk and the image. A Debian 12
#: with its packages takes 1.5 GiB and 0.5 GiB.
_NEEDED = 4 * space.GIB
#: Bytes that a file may have beyond the disk.
_SLACK = 1024 * 1024
_PROGRAMS = {
    'nsenter': 'nsenter (util-linux)',
    'qemu-img': 'qemu-img (qemu-utils)',
}


class InstallerDriver(from_scratch.FromScratchDriver):
    """Makes base images with installers that the operator offers.

    Its options are those of :class:`InstallerOptions`.
    """

    name: ClassVar[str] = 'installer'
    options: ClassVar[type[base.Options]] = InstallerOptions
    # It is of no use before the operator has named an installer.
    by_default: ClassVar[bool] = False

    @classmethod
    def list_opts(cls) -> config_options.Pairs:
        """See :meth:`base.Driver.list_opts`."""
        return installer_settings.list_opts()

    def missing_to_make(self) -> Sequence[str]:
        """See :meth:`from_scratch.FromScratchDriver.missing_to_make`."""
        lacking = [
            *availability.missing('bios'),
            *(
                f'{what} is not installed'
                for program, what in _PROGRAMS.items()
                if shutil.which(program) is None
            ),
        ]
        return lacking if os.geteuid() == 0 else ['root rights', *lacking]

    def check_asked(
        self,
        asked: Mapping[str, Any],
        options: Mapping[str, Any],
        sections: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """See :meth:`base.Driver.check_asked`."""
        parsed = InstallerOptions.parse(options)
        settings = installer_settings.InstallerSettings.read(sections)
        _find(settings, parsed)

    def identity(self, options: Mapping[str, Any]) -> str:
        """See :meth:`base.Driver.identity`; with the defaults filled in."""
        facts = InstallerOptions.parse(options).facts()
        return base.canonical_identity(self.name, facts)

    def on_this_host(
        self, options: Mapping[str, Any], sections: from_scratch.Sections
    ) -> str:
        """See :meth:`from_scratch.FromScratchDriver.on_this_host`.

        Another kernel, medium or mirror makes another image.
        """
        parsed = InstallerOptions.parse(options)
        settings = installer_settings.InstallerSettings.read(sections)
        facts = json.dumps(_find(settings, parsed).facts(), sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()

    def making(
        self, options: Mapping[str, Any], sections: from_scratch.Sections
    ) -> from_scratch.DiskMaking:
        """See :meth:`from_scratch.FromScratchDriver.making`."""
        parsed = InstallerOptions.parse(options)
        return _Making(
            parsed.installer, parsed, True, _NEEDED, parsed, sections
        )


def _find(
    settings: installer_settings.InstallerSettings,
    options: InstallerOptions,
) -> installer_settings.Installer:
    """The installer that is asked for.

    :raises InvalidDriverOptions: this host has none of that name, or it
        cannot do what is asked for.
    """
    known = settings.installers()
    found = known.get(options.installer)
    problems = []
    if found is None:
        names = ', '.join(known) or 'none: [installer] installers_file'
        problems.append(
            exception.Problem(
                'installer', f'is not known here; known are {names}'
            )
        )
    elif found.family == 'redhat' and options.file_system == 'btrfs':
        problems.append(
            exception.Problem(
                'file_system', 'btrfs is not made by installers of this family'
            )
        )
    if found is None or problems:
        raise base.InvalidDriverOptions(problems)
    return found


@dataclasses.dataclass(frozen=True)
class _Making(from_scratch.DiskMaking):
    wanted: InstallerOptions
    sections: from_scratch.Sections

    @property
    def trusted(self) -> bool:
        """See :attr:`from_scratch.DiskMaking.trusted`.

        A command of a request may have written any block.
        """
        return not self.wanted.late_commands

    def make_disk(
        self,
        workspace: workspaces.Workspace,
        disk_format: base.DiskFormat,
        monitor: base.DiskMonitor,
    ) -> tuple[pathlib.Path, int]:
        """See :meth:`from_scratch.DiskMaking.make_disk`."""
        settings = installer_settings.InstallerSettings.read(self.sections)
        size = self.wanted.size * space.GIB
        disk = run.Run(
            self.wanted,
            _find(settings, self.wanted),
            self._machine(settings, size),
            run.Limits(settings.timeout, settings.silence),
            workspace,
            monitor,
        ).install()
        made = workspace.path / 'image'
        with monitor.step(f'write the {disk_format} file'):
            # What is in it does not decide how it is read.
            raw = image_file.ImageInfo(disk, 'raw', size, 0)
            convert.convert(raw, made, disk_format)
            disk.unlink()
        return made, size

    def _machine(
        self, settings: installer_settings.InstallerSettings, size: int
    ) -> machine.MachineSettings:
        appliance = driver_settings.appliance_settings(
            self.sections.get('guestfs', {})
        )
        return machine.MachineSettings(
            memory=settings.memory,
            cpus=settings.cpus,
            accelerator=appliance.accelerator,
            disk_size=size,
            written=size + _SLACK,
        )
