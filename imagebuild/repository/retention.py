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
"""What leaves the repository, so that there is room for what comes.

Age is counted by when an artifact was used last. The clock of a host may jump,
by years after a reset: so the time of each look is kept (the time of the file
``clock``), and when more has passed by the clock than can have passed, the
times of the last uses are moved along with it. Time in which no conductor ran
makes nothing older either.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import logging
import os
import pathlib
import time
from collections.abc import Callable
from collections.abc import Iterator

from imagebuild import exception
from imagebuild.common import locked_directory
from imagebuild.common import os_errors
from imagebuild.common import space
from imagebuild.repository import artifacts
from imagebuild.repository import store

LOG = logging.getLogger(__name__)

CLOCK = 'clock'
#: Seconds between two looks that are taken for real.
LONGEST_GAP = 24 * 3600
#: Seconds after its last use for which nothing goes: what was put in has no
#: row in the database yet.
SETTLING = 300

#: Whether the database lets an artifact go; notes that it has gone.
MayRemove = Callable[[artifacts.Artifact], bool]


@dataclasses.dataclass(frozen=True)
class _Item:
    """An artifact with what decides when it goes.

    :ivar used: seconds since 1970.
    :ivar taken: bytes on the disk.
    """

    artifact: artifacts.Artifact
    used: float
    taken: int

    @property
    def order(self) -> tuple[bool, float]:
        """What is of no use goes first, then what was not used longest."""
        return self.artifact.status == artifacts.PRESENT, self.used


def bound(
    repository: store.Repository,
    may_remove: MayRemove = lambda _artifact: True,
    *,
    needed: int = 0,
) -> list[artifacts.Artifact]:
    """Remove what exceeds the limits.

    What was not used for longest goes first. What is in use stays, what was
    used in the last minutes, and what may not be removed. One such call works
    at a time on a directory; others do nothing.

    :param may_remove: asked for each that is to go, when nobody can use it
        any more; one with uploads that are still to come must stay.
    :param needed: bytes that are wanted beside the reserve.
    :returns: those that were removed.
    :raises EnvironmentFault: the directory cannot be read or written to.
    """
    with os_errors.on_write(repository.directory), _pass(repository) as now:
        if now is None:
            return []
        repository.sweep()
        repository.remove_unreadable()
        return _evict(repository, may_remove, now, needed)


def _evict(
    repository: store.Repository,
    may_remove: MayRemove,
    now: float,
    needed: int,
) -> list[artifacts.Artifact]:
    limits, gone = repository.limits, []
    items = _items(repository)
    total, number = sum(item.taken for item in items), len(items)
    for item in sorted(items, key=lambda item: item.order):
        artifact = item.artifact
        excess = (
            artifact.status == artifacts.LOST
            or (limits.max_bytes and total > limits.max_bytes)
            or (limits.max_number and number > limits.max_number)
            or (limits.max_age and item.used < now - limits.max_age)
            or space.free(repository.directory) < limits.reserve + needed
        )
        if not excess or item.used > now - SETTLING:
            continue
        if _remove(repository, artifact, may_remove):
            gone.append(artifact)
            total -= item.taken
            number -= 1
    return gone


def _remove(
    repository: store.Repository,
    artifact: artifacts.Artifact,
    may_remove: MayRemove,
) -> bool:
    try:
        done = repository.remove(artifact.id, lambda: may_remove(artifact))
    except exception.EnvironmentFault as error:
        LOG.warning('The image file %s is not removed: %s', artifact.id, error)
        return False
    if done:
        LOG.info('Removed the image file %s', artifact.id)
    return done


def _items(repository: store.Repository) -> list[_Item]:
    found = []
    for artifact in repository.list_artifacts():
        directory = repository.directory_of(artifact.id)
        with contextlib.suppress(FileNotFoundError):
            used = _used(directory, artifact)
            taken = 0
            with contextlib.suppress(FileNotFoundError):
                file = os.lstat(directory / artifacts.IMAGE)
                taken = file.st_blocks * 512
            found.append(_Item(artifact, used, taken))
    return found


def _used(directory: pathlib.Path, artifact: artifacts.Artifact) -> float:
    try:
        return os.stat(directory / locked_directory.LOCK).st_mtime
    except FileNotFoundError:
        # Somebody has removed it by hand.
        return artifact.created_at


# -- the clock --------------------------------------------------------------


@contextlib.contextmanager
def _pass(repository: store.Repository) -> Iterator[float | None]:
    """One look; gives the time, None when another one is at it.

    :raises OSError: the directory cannot be written to.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    clock = os.open(repository.directory / CLOCK, flags, 0o600)
    try:
        try:
            fcntl.flock(clock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        now, before = time.time(), os.fstat(clock).st_mtime
        gap = now - before
        if not -SETTLING < gap < LONGEST_GAP:
            LOG.warning(
                'The repository %s was looked at %d seconds ago by the clock; '
                'that does not count as age',
                repository.directory,
                gap,
            )
            _shift(repository, gap, before)
        os.utime(clock, (now, now))
        yield now
    finally:
        os.close(clock)


def _shift(repository: store.Repository, gap: float, before: float) -> None:
    """Move the times of uses that were before the clock jumped."""
    for artifact in repository.list_artifacts():
        path = repository.directory_of(artifact.id) / locked_directory.LOCK
        try:
            used = os.stat(path).st_mtime
            if used <= before + SETTLING:
                os.utime(path, (used + gap, used + gap))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
