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
"""The driver ``diskimage_builder``: a disk out of elements."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pathlib
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

from imagebuild import exception
from imagebuild.common import config_options
from imagebuild.common import space
from imagebuild.disks import bootable
from imagebuild.disks import confined
from imagebuild.disks import disk_plan
from imagebuild.disks import grub
from imagebuild.disks import host_command
from imagebuild.disks import tree_files
from imagebuild.disks import tree_removal
from imagebuild.drivers import base
from imagebuild.drivers import from_scratch
from imagebuild.drivers import host_programs
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.drivers.bootstrap import archives
from imagebuild.drivers.diskimage_builder import elements
from imagebuild.drivers.diskimage_builder import own_element
from imagebuild.drivers.diskimage_builder import program
from imagebuild.drivers.diskimage_builder import settings as dib_settings
from imagebuild.drivers.diskimage_builder import variables
from imagebuild.drivers.diskimage_builder.options import DibOptions

#: Program -> the Debian package it is in. Elements of other distributions
#: than Debian want others: they say so.
_PROGRAMS = {
    **from_scratch.PROGRAMS,
    'bash': 'bash',
    'debootstrap': 'debootstrap',
    'ps': 'procps',
    'sudo': 'sudo',
    'tar': 'tar',
}
_PACKAGE = 'diskimage-builder (pip install "openstack-imagebuild[dib]")'
#: There when the package is.
_GRUB_CLOUD = 'usr/share/doc/grub-cloud-amd64'
#: Bytes needed beside the target at once: the tree, its copy and its archive
#: (1 GB each for a bootable Debian 12), the raw disk and the image.
_NEEDED = 6 * space.GIB


class DiskImageBuilderDriver(from_scratch.FromScratchDriver):
    """Makes base images out of elements of diskimage-builder.

    Its options are those of :class:`DibOptions`.

    :param read_sources: gives the package sources of this machine.
    :param clock: gives the seconds since 1970.
    """

    name: ClassVar[str] = 'diskimage_builder'
    options: ClassVar[type[base.Options]] = DibOptions
    takes_elements: ClassVar[bool] = True

    def __init__(
        self,
        read_sources: Callable[
            [], Sequence[apt_sources.AptSource]
        ] = apt_sources.read,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock)
        self._read_sources = read_sources

    @classmethod
    def list_opts(cls) -> config_options.Pairs:
        """See :meth:`base.Driver.list_opts`."""
        return dib_settings.list_opts()

    def missing_to_make(self) -> Sequence[str]:
        """See :meth:`from_scratch.FromScratchDriver.missing_to_make`."""
        lacking = host_programs.not_installed(_PROGRAMS)
        if (
            importlib.util.find_spec('diskimage_builder') is None
            or program.find() is None
        ):
            lacking.append(_PACKAGE)
        return lacking if os.geteuid() == 0 else ['root rights', *lacking]

    def combined(
        self, of_entry: Mapping[str, Any], asked: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See :meth:`base.Driver.combined`.

        What a user names comes to what the operator has named.
        """
        both = {**of_entry, **asked}
        for name in ('elements', 'packages'):
            ours, theirs = of_entry.get(name), asked.get(name)
            if isinstance(ours, list) and isinstance(theirs, list):
                # Others than texts are found by validate().
                more = [each for each in theirs if each not in ours]
                both[name] = [*ours, *more]
        ours, theirs = of_entry.get('environment'), asked.get('environment')
        if isinstance(ours, dict) and isinstance(theirs, dict):
            both['environment'] = {**ours, **theirs}
        return both

    def validate(self, options: Mapping[str, Any]) -> None:
        """See :meth:`base.Driver.validate`."""
        parsed = DibOptions.parse(options)
        if not parsed.all_elements():
            raise base.InvalidDriverOptions(
                [
                    exception.Problem(
                        'elements',
                        'neither "os" nor "elements" names the element of an '
                        'operating system',
                    )
                ]
            )

    def check_asked(
        self,
        asked: Mapping[str, Any],
        options: Mapping[str, Any],
        sections: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """See :meth:`base.Driver.check_asked`."""
        settings = dib_settings.DibSettings.read(sections)
        known = elements.Elements.of(settings)
        problems = [
            *elements.asked_problems(
                asked.get('elements') or (), known, settings
            ),
            *elements.environment_problems(
                asked.get('environment') or {}, settings
            ),
        ]
        names = DibOptions.parse(options).all_elements()
        # What is not on this host may be on that of another conductor.
        if not problems and all(known.find(each) for each in names):
            found = known.systems(names)
            if len(found) != 1:
                problems.append(
                    exception.Problem('elements', _systems_problem(found))
                )
        if problems:
            raise base.InvalidDriverOptions(problems)

    def identity(self, options: Mapping[str, Any]) -> str:
        """See :meth:`base.Driver.identity`."""
        parsed = DibOptions.parse(options)
        facts: dict[str, Any] = {
            'base': parsed.base,
            'bootable': parsed.bootable,
            # Their order decides nothing.
            'elements': sorted(parsed.all_elements()),
            'environment': parsed.environment or {},
            'packages': sorted(parsed.packages),
            'release': parsed.chosen_release(),
            'size': parsed.size,
            **parsed.facts(),
        }
        return base.canonical_identity(self.name, facts)

    def on_this_host(
        self, options: Mapping[str, Any], sections: from_scratch.Sections
    ) -> str:
        """See :meth:`from_scratch.FromScratchDriver.on_this_host`.

        An element that the operator has changed makes another image.
        """
        settings = dib_settings.DibSettings.read(sections)
        known = elements.Elements.of(settings)
        return known.digest(DibOptions.parse(options).all_elements())

    def making(
        self, options: Mapping[str, Any], sections: from_scratch.Sections
    ) -> from_scratch.Making:
        """See :meth:`from_scratch.FromScratchDriver.making`."""
        parsed = DibOptions.parse(options)
        return _Making(
            parsed.label(),
            parsed,
            parsed.bootable,
            _NEEDED,
            parsed,
            dib_settings.DibSettings.read(sections),
            self._read_sources,
        )


def _systems_problem(found: Sequence[str]) -> str:
    if not found:
        return 'none of the elements makes the root of an operating system'
    return (
        f'several elements make the root of an operating system: '
        f'{", ".join(found)}'
    )


@dataclasses.dataclass(frozen=True)
class _Making(from_scratch.Making):
    wanted: DibOptions
    settings: dib_settings.DibSettings
    read_sources: Callable[[], Sequence[apt_sources.AptSource]]

    def make_tree(
        self,
        tree: pathlib.Path,
        workspace: pathlib.Path,
        plan: disk_plan.DiskPlan,
        monitor: base.DiskMonitor,
    ) -> None:
        """See :meth:`from_scratch.Making.make_tree`."""
        place = workspace / 'dib'
        place.mkdir()
        try:
            with monitor.step('run diskimage-builder'):
                archive = program.run(
                    self._request(place, plan), place, monitor.output
                )
            with monitor.step('unpack the tree'):
                bootable.unpack(archive, tree, _runner(workspace))
        finally:
            tree_removal.discard(place)
        files = tree_files.Tree(tree)
        files.write('etc/fstab', plan.fstab())
        if plan.bootable and files.find('etc/grub.d') is not None:
            grub.write_defaults(
                files, grub_cloud=files.find(_GRUB_CLOUD) is not None
            )

    def _request(
        self, place: pathlib.Path, plan: disk_plan.DiskPlan
    ) -> program.Request:
        for directory in self.settings.elements_path:
            if not directory.is_dir():
                raise exception.EnvironmentFault(
                    f'[{dib_settings.SECTION}] elements_path: {directory} is '
                    'not a directory.'
                )
        known = elements.Elements.of(self.settings)
        names = self.wanted.all_elements()
        unknown = [each for each in names if known.find(each) is None]
        if unknown:
            raise exception.InvalidInput(
                f'There is no element {", ".join(unknown)} on this host.'
            )
        own_element.write(place / 'elements', plan)
        return program.Request(
            elements=[*names, own_element.NAME],
            base=self.wanted.base,
            packages=self.wanted.packages,
            elements_path=[place / 'elements', *self.settings.elements_path],
            environment=variables.combine(
                self.wanted,
                self.settings,
                archives.read_proxies(),
                self.read_sources(),
            ),
            cache=self.settings.cache_dir,
            timeout=self.settings.timeout,
        )


def _runner(workspace: pathlib.Path) -> bootable.Run:
    def run(
        argv: Sequence[str], *, input_file: pathlib.Path | None = None
    ) -> None:
        confined.run(
            argv,
            writes_to=workspace,
            files=host_command.Files(input_file),
        )

    return run
