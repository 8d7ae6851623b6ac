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
"""The variables that elements are given."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.drivers.bootstrap import archives
from imagebuild.drivers.diskimage_builder import options as dib_options
from imagebuild.drivers.diskimage_builder import settings as dib_settings
from imagebuild.drivers.diskimage_builder import systems

_MIRROR, _SOURCES = 'DIB_DISTRIBUTION_MIRROR', 'DIB_APT_SOURCES_CONF'
_POCKETS = {'updates': 'updates', 'security': 'security'}


def combine(
    options: dib_options.DibOptions,
    settings: dib_settings.DibSettings,
    proxies: Mapping[str, str],
    machine: Sequence[apt_sources.AptSource],
) -> dict[str, str]:
    """All variables, but for where diskimage-builder works.

    :param proxies: scheme to URL.
    :param machine: this machine's apt sources.
    """
    release = options.chosen_release()
    given = {**settings.environment, **(options.environment or {})}
    return {
        **_proxies(proxies),
        **mirrors(release, proxies, machine),
        **{
            name: value
            for name, value in given.items()
            if not dib_options.is_reserved(name)
        },
        **({'DIB_RELEASE': release} if release else {}),
    }


def _proxies(proxies: Mapping[str, str]) -> dict[str, str]:
    return {f'{scheme}_proxy': url for scheme, url in proxies.items()}


def mirrors(
    release: str,
    proxies: Mapping[str, str],
    machine: Sequence[apt_sources.AptSource],
) -> dict[str, str]:
    """Where a release of Debian or Ubuntu is on this machine's mirrors.

    :returns: empty for others, and for those that they do not have: then the
        element's own defaults hold.
    """
    known = systems.release_of(release)
    if known is None:
        return {}
    try:
        archive = archives.find(known, machine, proxies)
    except exception.ImageBuildError:
        return {}
    lines = [
        f'{_name(source)}:deb {source.uri} {source.suite} '
        f'{" ".join(source.components)}'
        for source in archive.sources
    ]
    return {_MIRROR: archive.sources[0].uri, _SOURCES: '\n'.join(lines)}


def _name(source: apt_sources.AptSource) -> str:
    """The name of a source's file in the image."""
    return _POCKETS.get(source.suite.rpartition('-')[2], 'default')
