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
"""Debian's netboot installer, as its Debian package carries it."""

import fcntl
import pathlib
import subprocess
from typing import Any

import yaml

from imagebuild.common import checksums
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.drivers.bootstrap import archives
from imagebuild.drivers.bootstrap import releases

PACKAGE = 'debian-installer-12-netboot-amd64'
NAME = 'debian-12'
_INSIDE = (
    './usr/lib/debian-installer/images/{}/amd64/text/debian-installer/amd64'
)
FILES = ('linux', 'initrd.gz')


def fetched(cache: pathlib.Path) -> pathlib.Path:
    """A directory with its kernel and its initrd.

    :param cache: where it is kept; several may ask for it at a time.
    """
    directory = cache / PACKAGE
    with (cache / f'.{PACKAGE}.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            made = cache / f'{PACKAGE}.new'
            made.mkdir(exist_ok=True)
            _unpack(made)
            made.rename(directory)
    return directory


def _unpack(directory: pathlib.Path) -> None:
    for old in directory.iterdir():
        old.unlink()
    subprocess.run(
        ['apt-get', '-qq', 'download', PACKAGE],
        cwd=directory,
        check=True,
        timeout=200,
    )
    (package,) = directory.glob('*.deb')
    unpack(package, directory, '12')
    package.unlink()


def unpack(
    package: pathlib.Path, directory: pathlib.Path, release: str
) -> None:
    """Take the kernel and the initrd from such a package.

    :param release: of Debian, as "12".
    """
    inside = _INSIDE.format(release)
    with subprocess.Popen(
        ['dpkg-deb', '--fsys-tarfile', str(package)], stdout=subprocess.PIPE
    ) as reading:
        subprocess.run(
            [
                'tar', '-x', '-C', str(directory), '--no-same-owner',
                f'--strip-components={inside.count("/") + 1}',
                *(f'{inside}/{name}' for name in FILES),
            ],
            stdin=reading.stdout,
            check=True,
            timeout=100,
        )  # fmt: skip


def mirror() -> str:
    """The mirror that this host has its Debian 12 from."""
    found = archives.find(
        releases.RELEASES[NAME], apt_sources.read(), archives.read_proxies()
    )
    uris = [
        each.uri
        for each in found.sources
        if 'security' not in each.uri and each.uri.startswith('http://')
    ]
    return uris[0]


def write(path: pathlib.Path, cache: pathlib.Path, url: str) -> None:
    """Write a file of installers that has this one.

    :param url: of the mirror.
    """
    path.write_text(yaml.safe_dump({NAME: entry(fetched(cache), url)}))


def entry(directory: pathlib.Path, url: str) -> dict[str, Any]:
    """What a file of installers says of one.

    :param directory: with its kernel and its initrd.
    :param url: of the mirror.
    """
    made: dict[str, Any] = {'family': 'debian', 'mirror': url}
    for kind, name in zip(('kernel', 'initrd'), FILES, strict=True):
        file = directory / name
        digest = checksums.compute(file, ('sha256',))['sha256']
        made[kind] = str(file)
        made[f'{kind}_checksum'] = f'sha256:{digest}'
    return made
