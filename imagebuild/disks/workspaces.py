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
"""A directory for the files of one run, removed even after kill -9.

The directory lies beside the image, so that a file in it can be renamed over
the image. It is locked as long as its owner lives
(:mod:`imagebuild.common.locked_directory`), and ``processes.json`` in it has
what the owner started or made elsewhere. The next run on the same image
sweeps: unlocked directories go, with the processes and files written down in
them.

A directory is swept only when it has our name, belongs to our user and nobody
else can look into it; otherwise anybody could have root remove things.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import re
import stat
import tempfile

from imagebuild import exception
from imagebuild.common import locked_directory
from imagebuild.common import os_errors
from imagebuild.common import processes

LOG = logging.getLogger(__name__)

_NOTES = 'processes.json'
#: Bytes of the image's name, of the 255 that a name may have.
_LONGEST_NAME = 200
_ATTEMPTS = 10


@dataclasses.dataclass(frozen=True)
class _Notes:
    """What is written down: processes and files outside the directory.

    :ivar pid_namespace_id: the boot and namespace that the pids belong to.
    :ivar pids: process id and start time.
    :ivar paths: path, device and inode.
    """

    pid_namespace_id: str
    pids: tuple[tuple[int, int], ...] = ()
    paths: tuple[tuple[str, int, int], ...] = ()

    def to_json(self) -> str:
        """As it is written into the file.

        The names in it stay: after an upgrade the new code reads what the
        old one has left.
        """
        return json.dumps(
            {
                'realm': self.pid_namespace_id,
                'pids': self.pids,
                'paths': self.paths,
            }
        )

    @classmethod
    def read(cls, directory: pathlib.Path) -> _Notes:
        """Read; nothing was noted when there is none.

        After a power failure it may be there and empty.
        """
        try:
            raw = json.loads((directory / _NOTES).read_text())
            return cls(
                raw['realm'],
                tuple((pid, started) for pid, started in raw['pids']),
                tuple((name, dev, ino) for name, dev, ino in raw['paths']),
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return cls(pid_namespace_id='')


class Workspace:
    """A directory that lives as long as the ``with`` block.

    :param image_path: the image it belongs to.
    :param directory: where to make it; beside the image by default.
    :ivar path: the directory, mode 0700.
    """

    path: pathlib.Path

    def __init__(
        self,
        image_path: pathlib.Path,
        *,
        directory: pathlib.Path | None = None,
    ) -> None:
        self._image = image_path
        self._directory = directory or image_path.parent
        self._locked: locked_directory.LockedDirectory
        self._notes = _Notes(processes.pid_namespace_id())

    def __enter__(self) -> Workspace:
        """Make the directory.

        :raises UnwritablePath: it cannot be made there.
        :raises DiskFull: there is no room for it.
        """
        for _ in range(_ATTEMPTS):
            try:
                if self._make():
                    return self
            except OSError as error:
                raise os_errors.write_error(self._directory, error) from error
        raise exception.UnwritablePath(
            path=self._directory, reason='new directories in it keep vanishing'
        )

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._locked.remove(_clear)
        except OSError as error:
            LOG.warning('%s cannot be removed: %s', self.path, error)

    def record_process(self, pid: int) -> None:
        """Note a process that must not outlive the workspace."""
        started = processes.start_time(pid)
        if started is not None:
            self._note(pids=(*self._notes.pids, (pid, started)))

    def record_path(self, path: pathlib.Path) -> None:
        """Note a file or directory elsewhere that must not outlive it.

        :param path: absolute; it must exist.
        """
        status = os.lstat(path)
        entry = (str(path), status.st_dev, status.st_ino)
        self._note(paths=(*self._notes.paths, entry))

    def _note(
        self,
        *,
        pids: tuple[tuple[int, int], ...] | None = None,
        paths: tuple[tuple[str, int, int], ...] | None = None,
    ) -> None:
        self._notes = dataclasses.replace(
            self._notes,
            pids=self._notes.pids if pids is None else pids,
            paths=self._notes.paths if paths is None else paths,
        )
        with os_errors.on_write(self.path):
            self._locked.write(_NOTES, self._notes.to_json())

    def _make(self) -> bool:
        """Make and lock the directory.

        :returns: False when a sweep came between the two.
        """
        made = tempfile.mkdtemp(
            prefix=_prefix(self._image), dir=self._directory
        )
        self.path = pathlib.Path(made)
        try:
            locked = locked_directory.LockedDirectory.take(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                locked_directory.remove_tree(self.path)
            raise
        if locked is not None:
            self._locked = locked
        return locked is not None


def sweep(
    image_path: pathlib.Path, *, directory: pathlib.Path | None = None
) -> list[pathlib.Path]:
    """Remove what killed runs on an image left behind.

    :param image_path: the image.
    :param directory: where its workspaces were made; beside it by default.
    :returns: the directories that were removed. What cannot be removed is left
        with a warning in the log.
    """
    prefix = re.escape(_prefix(image_path))
    return _sweep(directory or image_path.parent, prefix)


def sweep_directory(directory: pathlib.Path) -> list[pathlib.Path]:
    """Remove what killed runs left in a directory, whatever image it was for.

    :param directory: a directory that is ours alone.
    :returns: as for :func:`sweep`.
    """
    return _sweep(directory, r'\..+\.imagebuild-')


def _sweep(directory: pathlib.Path, prefix: str) -> list[pathlib.Path]:
    pattern = re.compile(prefix + '[a-z0-9_]{8}')
    locked, swept = [], []
    for found in _directories(directory):
        if not pattern.fullmatch(found.name):
            continue
        if os.path.lexists(found / locked_directory.LOCK):
            locked.append(found)
            continue
        # Its owner was killed before the lock was made: then the directory
        # is empty. If it is not, it is not one of ours.
        with contextlib.suppress(OSError):
            os.rmdir(found)
            LOG.info('Removed %s, left by a killed run', found)
            swept.append(found)
    return swept + locked_directory.sweep(
        locked, _clear, left_by='a killed run'
    )


def _prefix(image_path: pathlib.Path) -> str:
    name = os.fsencode(image_path.name)[:_LONGEST_NAME]
    # It may be cut in the middle of a character.
    return f'.{name.decode(errors="ignore")}.imagebuild-'


def _directories(directory: pathlib.Path) -> list[pathlib.Path]:
    """Directories in a directory that only our user can have filled."""
    found = []
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if (
                stat.S_ISDIR(status.st_mode)
                and status.st_uid == os.geteuid()
                and not status.st_mode & 0o077
            ):
                found.append(pathlib.Path(entry.path))
    return found


def _clear(directory: pathlib.Path) -> None:
    """End and remove what was noted down in a workspace.

    One inside of it is that of a file that was being made there: its owner
    was killed as well.
    """
    sweep_directory(directory)
    notes = _Notes.read(directory)
    if notes.pid_namespace_id == processes.pid_namespace_id():
        for pid, started in notes.pids:
            processes.kill(pid, started)
    for name, device, inode in notes.paths:
        _remove_same(pathlib.Path(name), device, inode)


def _remove_same(path: pathlib.Path, device: int, inode: int) -> None:
    """Remove what is at a path, unless it is another file meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(path)
        if (status.st_dev, status.st_ino) == (device, inode):
            locked_directory.remove_tree(path)
