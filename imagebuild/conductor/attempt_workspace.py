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

``<work_dir>/<build id>-<attempt>`` holds the disk files and ``job.json``
(which processes belong to it). The conductor keeps it locked
(:mod:`imagebuild.common.locked_directory`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import pathlib
import re
import time
from collections.abc import Iterator

from imagebuild import exception
from imagebuild.common import locked_directory
from imagebuild.conductor import job_processes
from imagebuild.drivers import base

LOG = logging.getLogger(__name__)

_JOB = 'job.json'
_NAME = re.compile(r'[0-9a-f-]{36}-\d+')
_MAX_ATTEMPTS = 20
_PAUSE = 0.1


class AttemptWorkspace:
    """The locked directory of an attempt.

    :ivar path: the directory, mode 0700.
    """

    def __init__(self, locked: locked_directory.LockedDirectory) -> None:
        self.path = locked.path
        self._locked = locked

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
            if path.exists():
                left = locked_directory.LockedDirectory.take(path)
                if left is None:
                    # Mostly a sweep, which is about to remove it.
                    time.sleep(_PAUSE)
                    continue
                left.remove(_clear)
            path.mkdir(mode=0o700)
            # A sweep may come between the two; then it is made again.
            locked = locked_directory.LockedDirectory.take(path)
            if locked is not None:
                return cls(locked)
        raise FileExistsError(f'{path} is in use')

    def note(self, leader: job_processes.Leader) -> None:
        """Write down the process that works here now."""
        self._locked.write(_JOB, json.dumps(leader.to_dict()))

    def remove(self) -> None:
        """Remove it with its files. Its processes must be gone."""
        try:
            self._locked.remove(base.sweep)
        except OSError as error:
            LOG.warning('%s cannot be removed: %s', self.path, error)


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
    return locked_directory.sweep(
        _workspaces(directory), _clear, left_by='a conductor that died'
    )


def _workspaces(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_dir(
                follow_symlinks=False
            ):
                yield pathlib.Path(entry.path)


def _clear(path: pathlib.Path) -> None:
    """End what still runs in a workspace."""
    leader = _read_job(path)
    if leader is not None and job_processes.end(leader, grace=0):
        LOG.warning('Ended processes that were left in %s', path)
    base.sweep(path)


def _read_job(path: pathlib.Path) -> job_processes.Leader | None:
    try:
        raw = json.loads((path / _JOB).read_text())
        return job_processes.Leader.from_dict(raw)
    except (OSError, ValueError, KeyError, TypeError):
        # Not begun yet, or a power failure left it empty.
        return None
