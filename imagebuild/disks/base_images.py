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
"""The base images of a host: fetched once, however many builds want one.

A directory that every job on the host shares. An image is known by a key, its
checksum where it has one, and everything about it lies in files named after
the key (:mod:`imagebuild.disks.cache_files`):

* ``KEY.image``: complete, verified, never written to again. Whoever works
  over it holds a shared lock on it, and it is removed only by who gets an
  exclusive one: an image in use is never evicted.
* ``KEY.part``: what has been fetched so far. Kept when a fetch fails or its
  process is killed, and continued by the next one where the server can.
* ``KEY.lock``: locked by the one who fetches; the others wait and look
  again.

The bound on the directory's size is kept by removing what was not used for the
longest time. Images in use may exceed it until they are let go; room on the
disk is asked for before every fetch. One that alone exceeds the bound is
removed first, and others are not removed for it but to make room on the disk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import os
import pathlib
import time
from collections.abc import Callable
from collections.abc import Iterator

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import os_errors
from imagebuild.common import space
from imagebuild.common import transfer_progress
from imagebuild.disks import cache_files
from imagebuild.disks import convert
from imagebuild.disks import fetching
from imagebuild.disks import workspaces

LOG = logging.getLogger(__name__)

#: Seconds between two looks at who fetches.
_TICK = 0.5

OnNotice = Callable[[str], None]
_Fill = Callable[[pathlib.Path], None]


@dataclasses.dataclass(frozen=True)
class Cache:
    """The base images of a host.

    :ivar directory: made when it is not there, for this user only.
    :ivar max_bytes: of all files in it, 0 for no bound.
    :ivar reserve: bytes that are left free on its file system.
    """

    directory: pathlib.Path
    max_bytes: int = 0
    reserve: int = 0

    @contextlib.contextmanager
    def get(
        self,
        fetch: fetching.Fetch,
        *,
        checksum: str,
        size: int = 0,
        what: str = 'the base image',
        on_progress: transfer_progress.OnProgress | None = None,
        on_notice: OnNotice | None = None,
    ) -> Iterator[pathlib.Path]:
        """Have an image by its checksum, fetching it if it is not there.

        :param fetch: asks for it; not called when it is there.
        :param checksum: ``algorithm:hexdigest``.
        :param size: bytes; 0 when not known. Another size is refused like
            a wrong checksum, before more than that is fetched.
        :param what: a short description of it, for messages.
        :param on_progress: called a few times a second.
        :param on_notice: called when somebody else fetches it.
        :returns: its path, for reading, as long as the block lasts.
        :raises ChecksumMismatch: what came is not it; it was removed.
        :raises InvalidInput: the checksum is none.
        :raises NoSpace: there is no room for it.
        :raises EnvironmentFault: from ``fetch``; what has come is kept.
        """
        wanted = checksums.Checksum.parse(checksum)
        progress = transfer_progress.Throttled(on_progress)

        def fill(part: pathlib.Path) -> None:
            fetching.Fetching(
                part=part,
                fetch=fetch,
                wanted=wanted,
                size=size,
                what=what,
                make_room=self.make_room,
                progress=progress,
                on_notice=on_notice or LOG.warning,
            ).run()

        key = f'{wanted.algo}-{wanted.value}'
        with self._have(key, fill, _Wait(what, on_notice, progress)) as path:
            yield path

    @contextlib.contextmanager
    def make(
        self,
        key: str,
        maker: Callable[[pathlib.Path], object],
        *,
        what: str = 'the base image',
        on_notice: OnNotice | None = None,
    ) -> Iterator[pathlib.Path]:
        """Have an image that is made on this host.

        :param key: what decides its content; any text.
        :param maker: makes the file given, all or nothing; not called when
            it is there.
        :param what: see :meth:`get`.
        :param on_notice: called when somebody else makes it.
        :returns: its path, as for :meth:`get`.
        :raises ImageBuildError: from ``maker``.
        """

        def fill(part: pathlib.Path) -> None:
            # What killed ones left of images that nobody asks for again.
            workspaces.sweep_directory(self.directory)
            maker(part)
            self.make_room(0)

        name = f'made-{hashlib.sha256(key.encode()).hexdigest()}'
        wait = _Wait(what, on_notice, transfer_progress.Throttled(None))
        with self._have(name, fill, wait) as path:
            yield path

    def make_room(self, needed: int) -> None:
        """Remove what was not used for the longest time.

        :param needed: bytes that are about to be written; 0 only brings
            the cache back to its bound.
        :raises NoSpace: the file system has no room for that.
        """
        if needed and not self._can_fit(needed):
            # Nothing is removed in vain.
            space.check(self.directory, needed + self.reserve)
        cache_files.evict(
            self.directory,
            lambda used: self._fits(used, needed),
            largest=self.max_bytes,
        )
        if needed:
            space.check(self.directory, needed + self.reserve)

    def checksums(self, limit: int) -> list[str]:
        """Of the images that are there, those used last first.

        :param limit: at most so many.
        :returns: each ``algorithm:hexdigest``; without those that were made
            on this host.
        """
        found = []
        for path in cache_files.images(self.directory):
            algo, _, value = path.stem.partition('-')
            if algo in checksums.ALGORITHMS:
                with contextlib.suppress(OSError):
                    found.append((path.stat().st_atime, f'{algo}:{value}'))
        return [text for _, text in sorted(found, reverse=True)[:limit]]

    def usage(self) -> int:
        """Bytes that it takes on the disk."""
        return (
            cache_files.usage(self.directory) if self.directory.exists() else 0
        )

    def _can_fit(self, needed: int) -> bool:
        free = space.free(self.directory)
        return free + self.usage() >= needed + self.reserve

    def _fits(self, used: int, needed: int) -> bool:
        # What is larger than the bound is there for as long as it is used,
        # and to remove all others would not have it fit.
        counted = needed if needed <= self.max_bytes else 0
        if self.max_bytes and used + counted > self.max_bytes:
            return False
        free = space.free(self.directory)
        return not needed or free >= needed + self.reserve

    @contextlib.contextmanager
    def _have(
        self, key: str, fill: _Fill, wait: _Wait
    ) -> Iterator[pathlib.Path]:
        files = cache_files.Files(self.directory, key)
        with os_errors.on_write(self.directory):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            # It may be evicted between being filled and being locked.
            while not stack.enter_context(files.using()):
                self._fill(files, fill, wait)
            yield files.image
        # What was in use may have exceeded the bound.
        with contextlib.suppress(exception.EnvironmentFault):
            self.make_room(0)

    def _fill(
        self, files: cache_files.Files, fill: _Fill, wait: _Wait
    ) -> None:
        with files.filling(lambda: wait.tick(files.part)):
            if files.image.exists():
                # Who had the lock before has made it.
                return
            fill(files.part)
            with os_errors.on_write(files.part):
                convert.flush(files.part)
                os.replace(files.part, files.image)
                convert.flush(self.directory)


@dataclasses.dataclass
class _Wait:
    """Waiting for another one who fetches the same."""

    what: str
    on_notice: OnNotice | None
    progress: transfer_progress.Throttled
    reported: bool = False

    def tick(self, part: pathlib.Path) -> None:
        """Tell how far the other one is, and sleep."""
        if not self.reported and self.on_notice:
            self.on_notice(
                f'Another build is fetching {self.what}; waiting for it.'
            )
        self.reported = True
        with contextlib.suppress(OSError):
            self.progress(part.stat().st_size, 0)
        time.sleep(_TICK)
