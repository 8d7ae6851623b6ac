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
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

from imagebuild.common import space
from imagebuild.disks import disk_plan
from imagebuild.drivers import base
from imagebuild.drivers import from_scratch
from imagebuild.drivers import host_programs
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.drivers.bootstrap import archives
from imagebuild.drivers.bootstrap import finish
from imagebuild.drivers.bootstrap import releases
from imagebuild.drivers.bootstrap import trees
from imagebuild.drivers.bootstrap.options import BootstrapOptions

#: Program -> the Debian package it is in.
_PROGRAMS = {
    **from_scratch.PROGRAMS,
    'mmdebstrap': 'mmdebstrap',
    'apt-config': 'apt',
}

#: Bytes needed beside the target for the tree with the downloaded packages,
#: the raw disk and the image. At their peak they were 0.4 GiB for a minimal
#: Debian 12 and 1.7 GiB for a bootable one; releases differ, so nearly twice.
_NEEDED = {True: space.GIB, False: 3 * space.GIB}


class BootstrapDriver(from_scratch.FromScratchDriver):
    """Makes base images from a distribution's packages.

    Its options are those of :class:`BootstrapOptions`.

    :param read_sources: gives the package sources to make images from; by
        default those of this machine.
    :param clock: gives the seconds since 1970.
    """

    name: ClassVar[str] = 'bootstrap'
    options: ClassVar[type[base.Options]] = BootstrapOptions

    def __init__(
        self,
        read_sources: Callable[
            [], Sequence[apt_sources.AptSource]
        ] = apt_sources.read,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock)
        self._read_sources = read_sources

    def missing_to_make(self) -> Sequence[str]:
        """See :meth:`from_scratch.FromScratchDriver.missing_to_make`."""
        lacking = host_programs.not_installed(_PROGRAMS)
        return lacking if os.geteuid() == 0 else ['root rights', *lacking]

    def identity(self, options: Mapping[str, Any]) -> str:
        """See :meth:`base.Driver.identity`; with the defaults filled in."""
        parsed = BootstrapOptions.parse(options)
        facts: dict[str, Any] = {
            'os': parsed.release.name,
            'minimal': parsed.minimal,
            'size': parsed.size,
            **parsed.facts(),
        }
        return base.canonical_identity(self.name, facts)

    def making(
        self, options: Mapping[str, Any], sections: from_scratch.Sections
    ) -> from_scratch.Making:
        """See :meth:`from_scratch.FromScratchDriver.making`."""
        parsed = BootstrapOptions.parse(options)
        return _Making(
            parsed.release.name,
            parsed,
            not parsed.minimal,
            _NEEDED[parsed.minimal],
            parsed.release,
            self._read_sources,
        )


@dataclasses.dataclass(frozen=True)
class _Making(from_scratch.Making):
    release: releases.Release
    read_sources: Callable[[], Sequence[apt_sources.AptSource]]

    def make_tree(
        self,
        tree: pathlib.Path,
        workspace: pathlib.Path,
        plan: disk_plan.DiskPlan,
        monitor: base.DiskMonitor,
    ) -> None:
        """See :meth:`from_scratch.Making.make_tree`."""
        with monitor.step('look at the mirrors'):
            proxies = archives.read_proxies()
            archive = archives.find(self.release, self.read_sources(), proxies)
        for suite in archive.absent:
            monitor.notice(
                f'The mirrors do not have {suite}; the image is made '
                'without it.'
            )
        with monitor.step('install packages'):
            trees.make(
                tree, workspace, self._tree_plan(plan, archive, proxies)
            )
        with monitor.step('clean up'):
            finish.finish(
                tree,
                release=self.release,
                sources=archive.sources,
                minimal=not self.bootable,
            )

    def _tree_plan(
        self,
        plan: disk_plan.DiskPlan,
        archive: archives.Archive,
        proxies: Mapping[str, str],
    ) -> trees.TreePlan:
        packages: tuple[str, ...] = releases.MINIMAL_PACKAGES
        if self.bootable:
            packages = (
                self.release.machine_packages + plan.kind.machine_packages
            )
        return trees.TreePlan(
            release=self.release,
            sources=archive.sources,
            packages=packages,
            fstab=plan.fstab(),
            services=releases.MACHINE_SERVICES if self.bootable else (),
            proxies=proxies,
            kernel=self.bootable,
        )
