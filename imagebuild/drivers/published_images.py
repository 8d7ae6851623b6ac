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
"""Base images that a distribution publishes: the newest one, followed.

A catalogue names the image's URL and the list of checksums beside it, and
where there is one its signature and a keyring. The list is fetched, what of
it is signed is read, and the image's checksum in it is what the image is from
then on: it is in the content key, and what is fetched must have it.

What was found is kept for a while, so that not every request asks the vendor,
and is used for longer while the vendor does not answer. A signed list that is
older than the last one seen is refused: it is a mirror that is behind, or
somebody who wants an image with known holes to be built upon.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import fnmatch
import hashlib
import json
import logging
import os
import pathlib
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from urllib import parse

from imagebuild import exception
from imagebuild.clients import download
from imagebuild.clients import signatures
from imagebuild.common import checksum_lists
from imagebuild.common import checksums
from imagebuild.common import os_errors

LOG = logging.getLogger(__name__)

_DAY = 24 * 3600
#: Packages that have keyrings of distributions other than their own.
_PACKAGES = {
    '/usr/share/keyrings/ubuntu-cloudimage-*': 'ubuntu-cloudimage-keyring',
    '/usr/share/distribution-gpg-keys/*': 'distribution-gpg-keys',
}


class NoKeyring(exception.EnvironmentFault):
    """A list is signed, and the keys are nowhere on this host."""

    msg_fmt = (
        '%(list)s is signed, and this host has no keyring to verify it with '
        '(looked for: %(keyrings)s); %(remedy)s.'
    )


@dataclasses.dataclass(frozen=True)
class Published:
    """An image and the list that it is in.

    :ivar url: of the image; in its last part ``*`` and ``?`` stand for what
        the list knows.
    :ivar checksum_file: URL of the list.
    :ivar signature: URL of the list's signature; '' for none, or for one
        inside of the list.
    :ivar keyrings: where the keys may be that may have signed it: the first
        file that is there counts; none for a list that is not signed.
    """

    url: str
    checksum_file: str
    signature: str = ''
    keyrings: tuple[str, ...] = ()

    @classmethod
    def from_image(cls, image: Mapping[str, Any]) -> Published:
        """Read ``image`` of a catalogue's entry; URLs may be relative."""
        keyrings = image.get('keyring') or ()
        url = image['url']
        listed = parse.urljoin(url, image['checksum_file'])
        signature = image.get('signature', '')
        return cls(
            url,
            listed,
            parse.urljoin(listed, signature) if signature else '',
            (keyrings,) if isinstance(keyrings, str) else tuple(keyrings),
        )

    def identity(self) -> str:
        """Names what is kept of it."""
        text = json.dumps(dataclasses.astuple(self))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Found:
    """An image as it is now.

    :ivar url: of the image.
    :ivar checksum: ``algorithm:hexdigest``.
    :ivar looked_at: when the list was read, in seconds since 1970.
    :ivar signed_at: when it was signed, 0 if it is not.
    """

    url: str
    checksum: str
    looked_at: float
    signed_at: int = 0


@dataclasses.dataclass(frozen=True)
class Resolver:
    """Finds out what an image is now.

    :ivar directory: for what was found.
    :ivar max_age: seconds for which that is believed.
    :ivar max_stale: seconds for which it is used while the vendor fails.
    :ivar now: seconds since 1970.
    """

    directory: pathlib.Path
    max_age: float = 3600.0
    max_stale: float = 7.0 * _DAY
    now: Callable[[], float] = time.time

    @classmethod
    def from_config(cls, config: Mapping[str, Mapping[str, Any]]) -> Resolver:
        """Read the section ``disks`` of a conductor."""
        disks = config['disks']
        return cls(
            pathlib.Path(disks['cache_dir'], 'checksums'),
            max_age=float(disks.get('checksum_max_age', 3600)),
            max_stale=float(disks.get('checksum_max_stale', 7 * _DAY)),
        )

    def resolve(self, image: Published, *, afresh: bool = False) -> Found:
        """Find out what an image is now.

        :param afresh: ask the vendor, however new what is known is.
        :raises ServiceUnavailable: the vendor does not answer, and what is
            known is too old.
        :raises EnvironmentFault: the list or its signature is no good.
        """
        with self._kept(image) as (file, kept):
            age = self.now() - kept.looked_at if kept else 0.0
            if kept and not afresh and 0 <= age < self.max_age:
                return kept
            try:
                found = self._ask(image)
            except exception.ServiceUnavailable as error:
                if kept is None or not 0 <= age < self.max_stale:
                    raise
                LOG.warning(
                    'The list of checksums of %s is that of %d hours ago: %s',
                    download.without_password(image.url),
                    age // 3600,
                    error,
                )
                return kept
            if kept and found.signed_at < kept.signed_at:
                raise exception.EnvironmentFault(
                    f'{_shown(image.checksum_file)} was signed before the '
                    'one that was seen last, so it is older; it is not used.'
                )
            _write(file, found)
            return found

    def _ask(self, image: Published) -> Found:
        shown = _shown(image.checksum_file)
        keyring = _keyring(image) if image.keyrings else None
        content = download.small_file(
            image.checksum_file, checksum_lists.MAX_BYTES
        )
        signed_at = 0
        if keyring is not None:
            signature = None
            if image.signature:
                signature = download.small_file(
                    image.signature, checksum_lists.MAX_BYTES
                )
            content, signed_at = signatures.verified(
                content, signature, keyring, shown
            )
        wanted = parse.unquote(parse.urlsplit(image.url).path)
        name, checksum = checksum_lists.find(
            content, wanted.rpartition('/')[2], shown
        )
        return Found(
            parse.urljoin(image.url, parse.quote(name)),
            checksum,
            self.now(),
            signed_at,
        )

    @contextlib.contextmanager
    def _kept(
        self, image: Published
    ) -> Iterator[tuple[pathlib.Path, Found | None]]:
        """What is known, and nobody else asks meanwhile."""
        file = self.directory / f'{image.identity()}.json'
        with os_errors.on_write(file):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(
                self.directory / f'{image.identity()}.lock',
                os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW,
                0o600,
            )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield file, _read(file)
        finally:
            os.close(lock)


def _keyring(image: Published) -> pathlib.Path:
    """The file with the keys.

    :raises NoKeyring: there is none.
    """
    for name in image.keyrings:
        path = pathlib.Path(name)
        # One that may not be read is not passed over for another.
        if os.path.lexists(path):
            return path
    packages = [
        package
        for pattern, package in _PACKAGES.items()
        if fnmatch.filter(image.keyrings, pattern)
    ]
    install = ''.join(f'install the package {one}, or ' for one in packages)
    raise NoKeyring(
        list=_shown(image.checksum_file),
        keyrings=', '.join(image.keyrings),
        remedy=f'{install}put the keys into {image.keyrings[0]}',
    )


def _shown(url: str) -> str:
    return download.without_password(url)


def _read(file: pathlib.Path) -> Found | None:
    try:
        values: dict[str, Any] = json.loads(file.read_text())
        found = Found(
            str(values['url']),
            str(checksums.Checksum.parse(values['checksum'])),
            float(values['looked_at']),
            int(values['signed_at']),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError,
            exception.InvalidInput) as error:  # fmt: skip
        LOG.warning('%s is not used: %s', file, error)
        return None
    return found


def _write(file: pathlib.Path, found: Found) -> None:
    new = file.with_suffix('.new')
    with os_errors.on_write(file):
        new.write_text(json.dumps(dataclasses.asdict(found)))
        new.replace(file)
