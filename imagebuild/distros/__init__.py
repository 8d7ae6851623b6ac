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
"""Families of distributions, found by the entry point imagebuild.distros."""

from __future__ import annotations

import functools

import stevedore

from imagebuild import exception
from imagebuild.common import extensions
from imagebuild.distros import os_releases
from imagebuild.distros.base import ConfigFile
from imagebuild.distros.base import Distro
from imagebuild.distros.base import Package
from imagebuild.distros.base import PackageState
from imagebuild.distros.base import Repository
from imagebuild.distros.repository_errors import RepositoryUnreachable
from imagebuild.distros.repository_errors import RepositoryUnusable
from imagebuild.remotes.base import Remote

__all__ = [
    'ConfigFile',
    'Distro',
    'Package',
    'PackageState',
    'Repository',
    'RepositoryUnreachable',
    'RepositoryUnusable',
    'detect',
    'families',
    'for_release',
]

NAMESPACE = 'imagebuild.distros'


@functools.cache
def families() -> dict[str, type[Distro]]:
    """Every family that is installed, by its name."""
    manager: stevedore.ExtensionManager[Distro] = stevedore.ExtensionManager(
        NAMESPACE, on_load_failure_callback=extensions.refuse
    )
    return {extension.plugin.family: extension.plugin for extension in manager}


def for_release(release: os_releases.OsRelease) -> Distro:
    """Find the family: ``ID`` first, then each of ``ID_LIKE`` in order.

    :raises UnsupportedDistro: no family knows any of these names.
    """
    for name in (release.id, *release.id_like):
        for family in families().values():
            if name == family.family or name in family.ids:
                return family(release)
    raise exception.UnsupportedDistro(
        distro=release.pretty_name or release.id,
        families=', '.join(sorted(families())),
    )


def detect(remote: Remote) -> Distro:
    """Ask a system what it is and return its family.

    :raises NoOperatingSystem: there is no os-release file in it.
    :raises UnsupportedDistro: no family accepts it.
    """
    return for_release(os_releases.read(remote))
