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
"""Where on this machine's mirrors a release is.

The machine names the mirrors it trusts in its own apt sources. Those of
the wanted distribution are taken and the suite is replaced, so a machine of
Debian 12 makes Debian 13 from the same mirror with the same keyring.
"""

from __future__ import annotations

import dataclasses
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Literal

from imagebuild import exception
from imagebuild.disks import host_command
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.drivers.bootstrap import releases

Pocket = Literal['', 'updates', 'security']

_POCKETS: tuple[Pocket, ...] = ('', 'updates', 'security')
#: bookworm, bookworm-updates, bookworm-security, buster/updates
_SUITE = re.compile(
    r'(?P<base>[a-z]+)(?:-(?P<pocket>updates|security)|(?P<old>/updates))?/?'
)
#: snapshot archives: .../debian/20250520T000000Z
_SNAPSHOT = re.compile(r'/\d{8}T\d{6}Z$')
_PROBE_TIMEOUT = 20.0


class UnavailableRelease(exception.InvalidInput):
    msg_fmt = '%(name)s cannot be made here: %(reason)s. %(known)s'


@dataclasses.dataclass(frozen=True)
class Archive:
    """What a release is made from.

    :ivar sources: the release's own suite first, then updates and
        security as far as the machine's mirrors have them.
    :ivar absent: suites that the machine has for its own release and the
        mirrors do not have for this one.
    """

    sources: tuple[apt_sources.AptSource, ...]
    absent: tuple[str, ...] = ()


def find(
    release: releases.Release,
    machine: Sequence[apt_sources.AptSource],
    proxies: Mapping[str, str],
) -> Archive:
    """Find a release on the machine's mirrors; asks them.

    :param release: what is wanted.
    :param machine: the machine's sources.
    :param proxies: scheme to URL.
    :raises UnavailableRelease: no mirror has it; names what could be made.
    :raises HostCommandFailed: a mirror does not answer.
    """
    # Only the release's own suite must be there; pockets may be absent.
    wanted = candidates(release, machine)
    if not wanted or not is_served(wanted[0], proxies):
        reason = (
            f'the mirror {wanted[0].uri} does not have {release.codename}'
            if wanted
            else f"this machine's apt sources name no {release.distro} archive"
        )
        raise UnavailableRelease(
            name=release.name,
            reason=reason,
            known=_known(machine, proxies),
        )
    served = [wanted[0]]
    absent = []
    for source in wanted[1:]:
        if is_served(source, proxies):
            served.append(source)
        else:
            absent.append(source.suite)
    return Archive(tuple(served), tuple(absent))


def _known(
    machine: Sequence[apt_sources.AptSource], proxies: Mapping[str, str]
) -> str:
    names = []
    for release in releases.RELEASES.values():
        wanted = candidates(release, machine)
        if wanted and is_served(wanted[0], proxies):
            names.append(release.name)
    if not names:
        return 'Add a mirror of a known release to the sources: ' + (
            f'{", ".join(releases.RELEASES)}.'
        )
    return f'What can be made here: {", ".join(names)}.'


def candidates(
    release: releases.Release, machine: Iterable[apt_sources.AptSource]
) -> list[apt_sources.AptSource]:
    """Take the machine's sources of a distribution for one release.

    :returns: the release's own suite first; empty when the machine has no
        archive of the distribution. Nothing is asked.
    """
    best: dict[Pocket, tuple[int, apt_sources.AptSource]] = {}
    for source in machine:
        pocket = _pocket(release.distro, source)
        if pocket is None:
            continue
        rank = _rank(release.distro, source)
        if pocket not in best or rank < best[pocket][0]:
            best[pocket] = (rank, source)
    if '' not in best:
        return []
    return [
        _for_release(release, best[pocket][1], pocket)
        for pocket in _POCKETS
        if pocket in best
    ]


def _pocket(distro: str, source: apt_sources.AptSource) -> Pocket | None:
    """Which part of a distribution's archive a source is, if it is one."""
    match = _SUITE.fullmatch(source.suite)
    if not match or match['base'] not in releases.suites(distro):
        return None
    if 'main' not in source.components or not _is_archive(distro, source):
        return None
    if match['old'] or match['pocket'] == 'security':
        return 'security'
    return 'updates' if match['pocket'] else ''


def _is_archive(distro: str, source: apt_sources.AptSource) -> bool:
    # Others name their suites after the distribution's, too, and have a
    # component "main"; not a directory or a keyring of the distribution's
    # name.
    if f'{distro}-archive' in source.signed_by:
        return True
    path = _SNAPSHOT.sub('', urllib.parse.urlsplit(source.uri).path)
    return path.rpartition('/')[2] in (distro, f'{distro}-security')


def _rank(distro: str, source: apt_sources.AptSource) -> int:
    """How surely it is the distribution's own archive; 0 is best."""
    if f'{distro}-archive' in source.signed_by:
        return 0
    return 2 if source.signed_by else 1


def _for_release(
    release: releases.Release, source: apt_sources.AptSource, pocket: Pocket
) -> apt_sources.AptSource:
    more = [c for c in release.components if c not in source.components]
    return dataclasses.replace(
        source,
        suite=release.codename + (f'-{pocket}' if pocket else ''),
        components=(*source.components, *more),
    )


def is_served(
    source: apt_sources.AptSource, proxies: Mapping[str, str]
) -> bool:
    """Whether a mirror has a suite.

    :returns: False when it is not; True also when only apt can know, as
        for ``cdrom:`` or a mirror that wants a password.
    :raises HostCommandFailed: it does not answer.
    """
    names = [
        f'{source.uri}/dists/{source.suite}/{name}'
        for name in ('InRelease', 'Release')
    ]
    scheme = urllib.parse.urlsplit(source.uri).scheme
    if scheme in ('file', 'copy'):
        paths = [urllib.parse.urlsplit(name).path for name in names]
        return any(os.path.exists(path) for path in paths)
    if scheme not in ('http', 'https'):
        return True
    return any(_exists(name, proxies) for name in names)


def _exists(url: str, proxies: Mapping[str, str]) -> bool:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler(dict(proxies))
    )
    request = urllib.request.Request(  # noqa: S310 - http(s), see is_served
        url, method='HEAD', headers={'User-Agent': 'imagebuild'}
    )
    try:
        with opener.open(request, timeout=_PROBE_TIMEOUT):
            return True
    except urllib.error.HTTPError as error:
        # A mirror may refuse HEAD, or want a password that only apt knows.
        return error.code not in (404, 410)
    except OSError as error:
        reason = getattr(error, 'reason', error)
        raise exception.HostCommandFailed(
            f'The package mirror does not answer: {url}: {reason}.'
        ) from error


def read_proxies() -> dict[str, str]:
    """The proxies that apt on this machine uses: scheme to URL.

    apt's own settings go before the environment's. A proxy for a single
    host and one found by a program are not read.
    """
    proxies = {
        scheme: url
        for scheme, url in urllib.request.getproxies().items()
        if scheme in ('http', 'https')
    }
    for scheme in ('http', 'https'):
        output = host_command.run(
            ['apt-config', 'shell', 'URL', f'Acquire::{scheme}::Proxy']
        )
        url = output.strip().removeprefix('URL=').strip("'")
        if url == 'DIRECT':
            proxies.pop(scheme, None)
        elif url:
            proxies[scheme] = url
    return proxies
