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
"""The files of the base image cache, and who may touch them when.

Three locks order everything, all of them flock(2), all dropped by the
kernel with their process:

* shared on ``KEY.image``: the image is in use;
* exclusive on ``KEY.image``: it is being evicted (never waited for);
* exclusive on ``KEY.lock``: it is being fetched, or what belongs to the key
  is being evicted.

Whoever gets a lock looks whether the file is still at its path: an evicted
file's lock means nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import logging
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterator

from imagebuild.common import os_errors

LOG = logging.getLogger(__name__)

_IMAGE = '.image'
_PART = '.part'
_LOCK = '.lock'

_AT_ONCE = fcntl.LOCK_EX | fcntl.LOCK_NB


@dataclasses.dataclass(frozen=True)
class Files:
    """The files of one key.

    :ivar directory: the cache's.
    :ivar key: letters, digits and ``-``.
    """

    directory: pathlib.Path
    key: str

    @property
    def image(self) -> pathlib.Path:
        """The image, complete and verified when it is there."""
        return self.directory / f'{self.key}{_IMAGE}'

    @property
    def part(self) -> pathlib.Path:
        """What has been fetched so far."""
        return self.directory / f'{self.key}{_PART}'

    @property
    def lock(self) -> pathlib.Path:
        """An empty file to be locked."""
        return self.directory / f'{self.key}{_LOCK}'

    @contextlib.contextmanager
    def using(self) -> Iterator[bool]:
        """Keep the image from being evicted, if it is there.

        :returns: whether it is there.
        """
        with _opened(self.image, os.O_RDONLY) as descriptor:
            if descriptor is None or not _lock(
                self.image, descriptor, fcntl.LOCK_SH
            ):
                yield False
                return
            with contextlib.suppress(OSError):
                # The time of its last use, for eviction.
                os.utime(descriptor)
            yield True

    @contextlib.contextmanager
    def filling(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Be the only one who fetches it.

        :param on_wait: called again and again while somebody else is; it
            sleeps for a moment, and may raise.
        """
        while True:
            with _opened(self.lock, os.O_RDWR | os.O_CREAT) as descriptor:
                if descriptor is not None and _lock(
                    self.lock, descriptor, _AT_ONCE
                ):
                    yield
                    return
            on_wait()

    def evict(self) -> bool:
        """Remove all of it, unless it is in use or being fetched.

        :returns: whether it was removed.
        """
        with (
            _opened(self.lock, os.O_RDWR | os.O_CREAT) as lock,
            _opened(self.image, os.O_RDONLY) as image,
        ):
            if lock is None or not _lock(self.lock, lock, _AT_ONCE):
                return False
            if image is not None and not _lock(self.image, image, _AT_ONCE):
                return False
            # The lock last: who waits for it then finds nothing else.
            for path in (self.image, self.part, self.lock):
                path.unlink(missing_ok=True)
        return True


@dataclasses.dataclass
class _Found:
    """What a key takes.

    :ivar size: bytes on the disk.
    :ivar used: time of its last use, in nanoseconds.
    """

    size: int = 0
    used: int = 0


def usage(directory: pathlib.Path) -> int:
    """Bytes that the images and parts in a cache take on the disk."""
    return sum(found.size for found in _scan(directory).values())


def evict(
    directory: pathlib.Path,
    enough: Callable[[int], bool],
    *,
    largest: int = 0,
) -> None:
    """Remove what was not used for the longest time.

    What is in use, or being fetched, stays.

    :param directory: the cache's.
    :param enough: called with the bytes that are left; True ends it.
    :param largest: what is larger than so many bytes goes before all others,
        and does not count for them while it is in use; 0 for nothing.
    """

    def order(item: tuple[str, _Found]) -> tuple[bool, int]:
        is_too_large = bool(largest) and item[1].size > largest
        return not is_too_large, item[1].used

    found = _scan(directory)
    used = sum(one.size for one in found.values())
    for key, one in sorted(found.items(), key=order):
        if enough(used):
            return
        if not one.size:
            continue
        try:
            evicted = Files(directory, key).evict()
        except OSError as error:
            LOG.warning('%s cannot be evicted: %s', key, error)
            continue
        if evicted:
            LOG.info('Evicted %s from the cache of base images', key)
        if evicted or 0 < largest < one.size:
            used -= one.size


def _scan(directory: pathlib.Path) -> dict[str, _Found]:
    found: dict[str, _Found] = {}
    with os_errors.on_write(directory), os.scandir(directory) as entries:
        for entry in entries:
            key, suffix = os.path.splitext(entry.name)
            if suffix not in (_IMAGE, _PART) or key.startswith('.'):
                continue
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                one = found.setdefault(key, _Found())
                # Images are sparse: what counts is what they occupy.
                one.size += status.st_blocks * 512
                one.used = max(one.used, status.st_mtime_ns)
    return found


@contextlib.contextmanager
def _opened(path: pathlib.Path, flags: int) -> Iterator[int | None]:
    """A descriptor; None when there is no such file."""
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise os_errors.write_error(path, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(path: pathlib.Path, descriptor: int, kind: int) -> bool:
    """Lock a file that is at its path.

    :returns: False when another one holds it, or the file is gone.
    :raises UnwritablePath: its file system knows no locks.
    """
    try:
        fcntl.flock(descriptor, kind)
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError as error:
        raise os_errors.write_error(path, error) from error


def images(directory: pathlib.Path) -> list[pathlib.Path]:
    """The files of the images that are complete; any of them may go."""
    return sorted(directory.glob(f'*{_IMAGE}'))
