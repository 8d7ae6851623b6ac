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
"""The directory of one attempt, and what a dead conductor left there.

``<work_dir>/<build id>-<attempt>`` holds the disk files, ``job.json`` (which
processes belong to it) and ``lock``, which the conductor keeps flock'ed. The
kernel drops the lock when the conductor dies, so whoever gets the lock knows
that the owner is gone, whatever host, container or conductor name it had.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

from imagebuild import exception
from imagebuild.conductor import job_processes
from imagebuild.drivers import base as drivers_base

LOG = logging.getLogger(__name__)

_LOCK = 'lock'
_JOB = 'job.json'
_NAME = re.compile(r'[0-9a-f-]{36}-\d+')
_MAX_ATTEMPTS = 10


class AttemptWorkspace:
    """One such directory, locked.

    :ivar path: the directory, mode 0700.
    """

    def __init__(self, path: pathlib.Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def make(
        cls, directory: pathlib.Path, build_id: str, attempt: int
    ) -> AttemptWorkspace:
        """Make an empty one; what is there of that name is removed.

        :param directory: the work_dir, made when it is not there.
        :raises OSError: it cannot be made.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / f'{build_id}-{attempt}'
        for _ in range(_MAX_ATTEMPTS):
            if path.exists() and not _sweep_one(path):
                break
            path.mkdir(mode=0o700)
            # A sweep may come between the two; then it is made again.
            lock = _take(path)
            if lock is not None:
                return cls(path, lock)
        raise FileExistsError(f'{path} is in use')

    def note(self, leader: job_processes.Leader) -> None:
        """Write down the process that works here now."""
        new = self.path / f'{_JOB}.new'
        new.write_text(json.dumps(leader.to_dict()))
        os.replace(new, self.path / _JOB)

    def remove(self) -> None:
        """Remove it with its files. Its processes must be gone."""
        try:
            drivers_base.sweep(self.path)
            _remove(self.path)
        except OSError as error:
            LOG.warning('%s cannot be removed: %s', self.path, error)
        finally:
            os.close(self._lock)


def take_name(directory: pathlib.Path, name: str) -> int:
    """Make sure that no other conductor here has the same name.

    It would take our builds for those of its earlier life. On other hosts
    only the operator can see to it.

    :returns: a descriptor that holds the name until it is closed.
    :raises EnvironmentFault: another one has it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    lock = os.open(directory / f'.{name}.lock', flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise exception.EnvironmentFault(
            f'A conductor named {name} works in {directory} already; set '
            '[conductor] name.'
        ) from error
    return lock


def sweep(directory: pathlib.Path) -> list[pathlib.Path]:
    """Remove workspaces whose conductor is gone, and end their processes.

    :returns: the directories that were removed.
    """
    swept = []
    for path in _workspaces(directory):
        try:
            if _sweep_one(path):
                LOG.info('Removed %s, left by a conductor that died', path)
                swept.append(path)
        except OSError as error:
            LOG.warning('%s cannot be removed: %s', path, error)
    return swept


def _workspaces(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_dir(
                follow_symlinks=False
            ):
                yield pathlib.Path(entry.path)


def _sweep_one(path: pathlib.Path) -> bool:
    lock = _take(path)
    if lock is None:
        return False
    try:
        leader = _read_job(path)
        if leader is not None and job_processes.end(leader, grace=0):
            LOG.warning('Ended processes that were left in %s', path)
        drivers_base.sweep(path)
        _remove(path)
    finally:
        os.close(lock)
    return True


def _read_job(path: pathlib.Path) -> job_processes.Leader | None:
    try:
        raw = json.loads((path / _JOB).read_text())
        return job_processes.Leader.from_dict(raw)
    except (OSError, ValueError, KeyError, TypeError):
        # Not begun yet, or a power failure left it empty.
        return None


def _take(path: pathlib.Path) -> int | None:
    """Lock a workspace; None when another holds it, or it has gone."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(path / _LOCK, flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another sweep may have removed it between the two.
        if os.path.samestat(os.fstat(lock), os.stat(path / _LOCK)):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def _remove(path: pathlib.Path) -> None:
    """Remove everything, the lock last."""
    for entry in list(os.scandir(path)):
        if entry.name == _LOCK:
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    shutil.rmtree(path)
