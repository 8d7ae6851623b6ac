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
"""The disk of this host, which builds share.

What a guest writes makes the files of its build grow, as far as its disk is
large. So a build that grows too much is stopped before it takes the room of
the others, and nothing is claimed while there is no room: the queue, or
another host, is a better place for a build than an attempt that fails.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
import time

from oslo_config import cfg

from imagebuild.common import space
from imagebuild.conductor import claims

#: Bytes that a build needs to begin; see drivers/overlay_disk.py.
_GROWTH = space.GIB
#: Looking at many files takes this part of the time at most.
_SHARE = 20
_PAUSE = 2.0
#: Seconds for which a build that found no room is not claimed here again.
_FIRST_PAUSE = 30.0
_LONGEST_PAUSE = 600.0


def is_enough_for_another(
    conf: cfg.ConfigOpts, work_dir: pathlib.Path
) -> bool:
    """Whether one more build can begin here.

    A directory that cannot be looked at has room: what is wrong with it is
    said by whoever works there.
    """
    free = _free(work_dir)
    return free is None or free >= _reserve(conf) + _GROWTH


class SizeWatch:
    """Watches the room that one build takes.

    :param directory: of the build, beside those of the others.
    :param beside: where else there is a directory for each of those that
        write, the conversions of uploads; they count as builds do where that
        is the same file system.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        directory: pathlib.Path,
        *,
        beside: pathlib.Path | None = None,
    ) -> None:
        self._conf = conf
        self._directory = directory
        self._beside = beside
        self._next = 0.0
        self._most = 0

    def check(self) -> None:
        """Look, unless that was just done.

        :raises AttemptFailed: the build has grown too much; it is the user's
            fault unless others have taken the room.
        """
        begun = time.monotonic()
        if begun < self._next:
            return
        limit = self._conf.disks.max_build_size * space.GIB
        used = allocated(self._directory)
        self._most = max(self._most, used)
        if limit and used > limit:
            raise claims.AttemptFailed(
                f'The build was stopped: its files take {space.human(used)} '
                'on the disk of the host, and may take '
                f'{space.human(limit)}.',
                fault='user',
            )
        free = _free(self._directory)
        if free is not None and free < _reserve(self._conf):
            self._short_of_room(used)
        took = time.monotonic() - begun
        self._next = begun + max(_PAUSE, took * _SHARE)

    def _short_of_room(self, used: int) -> None:
        """The largest build goes, and has all others go on."""
        if not self._is_largest(used):
            return
        raise claims.AttemptFailed(
            'The build was stopped: the disk of its host is nearly full, and '
            f'no build there takes more than this one, {space.human(used)}.',
            fault='user' if used > _GROWTH else 'service',
            lacks_room=True,
        )

    def judge(self, failed: claims.AttemptFailed) -> None:
        """Say whose fault it is that a job found no room.

        :param failed: how it ended; its files may be gone by now.
        """
        if failed.lacks_room and self._most > _GROWTH:
            if self._is_largest(self._most):
                failed.blame_user(
                    f'{failed} No build on its host takes more than this '
                    f'one, {space.human(self._most)}.'
                )

    def _is_largest(self, used: int) -> bool:
        others = (
            allocated(directory)
            for directory in self._others()
            if directory != self._directory
            # Locks of conductors' names, which hold nothing.
            and not directory.name.startswith('.')
        )
        return used >= max(others, default=0)

    def _others(self) -> list[pathlib.Path]:
        builds = self._directory.parent
        found = list(builds.iterdir())
        if self._beside is not None:
            with contextlib.suppress(OSError):
                if self._beside.stat().st_dev == builds.stat().st_dev:
                    found += self._beside.iterdir()
        return found


class DeclinedBuilds:
    """Builds that found no room here, and that others may have meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def add(self, build_id: str, requeues: int) -> None:
        """Leave a build alone for a while.

        :param requeues: how often it went back to the queue before; each
            time the while is twice as long.
        """
        seconds = min(_FIRST_PAUSE * 2**requeues, _LONGEST_PAUSE)
        with self._lock:
            self._until[build_id] = time.monotonic() + seconds

    def ids(self) -> set[str]:
        """The builds that are not to be claimed now."""
        now = time.monotonic()
        with self._lock:
            self._until = {
                build_id: until
                for build_id, until in self._until.items()
                if until > now
            }
            return set(self._until)


def allocated(directory: pathlib.Path) -> int:
    """Bytes that a directory takes on its disk, with all below it."""
    total = 0
    waiting = [str(directory)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    total += status.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            # It is being removed just now.
            continue
    return total


def _free(directory: pathlib.Path) -> int | None:
    try:
        return space.free(directory)
    except OSError:
        return None


def _reserve(conf: cfg.ConfigOpts) -> int:
    return int(conf.disks.space_reserve) * 1024**2
