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
"""The directory in which finished images are kept.

``id``
    which repository it is, whatever its path and whoever has it mounted.
``artifacts/ID/``
    see :mod:`imagebuild.repository.artifacts`.
``incoming/``
    what is being written or removed, each in a locked directory; renamed when
    it is whole, and removed by the next one when whoever wrote it is gone.
``clock``
    see :mod:`imagebuild.repository.retention`.

What is in ``artifacts`` is whole, whenever a process or the host died. Any
number of threads, processes and hosts use the directory at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import pathlib
import secrets
import stat
import uuid
from collections.abc import Callable
from collections.abc import Iterator

from imagebuild import exception
from imagebuild.common import described_files
from imagebuild.common import locked_directory
from imagebuild.common import os_errors
from imagebuild.common import own_files
from imagebuild.disks import convert
from imagebuild.repository import artifacts
from imagebuild.repository import check
from imagebuild.repository import intake
from imagebuild.repository import limits as limit_kit

LOG = logging.getLogger(__name__)

ID = 'id'
ARTIFACTS = 'artifacts'
INCOMING = 'incoming'

_THERE = (errno.EEXIST, errno.ENOTEMPTY)


@dataclasses.dataclass(frozen=True)
class Held:
    """An artifact in use: nobody removes it.

    :ivar path: its file; to be read only.
    """

    artifact: artifacts.Artifact
    path: pathlib.Path


class Repository:
    """A directory of finished images.

    :param directory: made if it is not there; only this account may write
        to it. On a file system that can only be read, what is there can be
        used.
    :ivar id: a UUID, the same for all who open this directory.
    :raises InvalidInput: it is somebody else's, or others may write to it,
        or it is no repository.
    :raises EnvironmentFault: it cannot be made or written to.
    """

    def __init__(
        self, directory: pathlib.Path, limits: limit_kit.Limits | None = None
    ) -> None:
        # Other programs, in other directories, are given paths in it.
        self.directory = directory = pathlib.Path(os.path.abspath(directory))
        self.limits = limits or limit_kit.Limits()
        self.checker = check.Checker()
        with os_errors.on_write(directory):
            with contextlib.suppress(FileExistsError):
                directory.mkdir(mode=0o700, parents=True)
            own_files.check_private(directory, 'Images')
            for name in (ARTIFACTS, INCOMING):
                with contextlib.suppress(FileExistsError):
                    (directory / name).mkdir(mode=0o700)
            self.id = self._read_id()
        self.sweep()

    def _read_id(self) -> str:
        path = self.directory / ID
        if not os.path.lexists(path):
            # Several may come here at once: the first one counts.
            with locked_directory.temporary(self.incoming) as made:
                described_files.write(made / ID, str(uuid.uuid4()).encode())
                with contextlib.suppress(FileExistsError):
                    os.link(made / ID, path)
            convert.flush(self.directory)
        found = path.read_bytes().decode(errors='replace').strip()
        if not artifacts.is_id(found):
            raise exception.InvalidInput(
                f'{path} does not hold the id of a repository. Restore it, '
                'or remove it: then the service takes the images in the '
                'directory for those of a new one.'
            )
        return found

    @property
    def incoming(self) -> pathlib.Path:
        """Where things are that are not whole."""
        return self.directory / INCOMING

    def sweep(self) -> None:
        """Remove what was being written by those that are gone."""
        locked_directory.sweep(
            locked_directory.listed(self.incoming), left_by='a killed process'
        )

    # -- looking ------------------------------------------------------------

    def directory_of(self, id: str) -> pathlib.Path:
        """The directory of an artifact, there or not.

        :param id: may be anything.
        :raises ArtifactUnusable: it is no id.
        """
        if not artifacts.is_id(id):
            raise _unusable(id, 'that is no id')
        return self.directory / ARTIFACTS / id

    def get(self, id: str) -> artifacts.Artifact | None:
        """Look at one artifact; its file is not read.

        :returns: None when there is none.
        :raises EnvironmentFault: the directory cannot be read.
        """
        if not artifacts.is_id(id):
            return None
        directory = self.directory_of(id)
        with os_errors.on_read(directory):
            found = artifacts.look(directory)
        return found and self.checker.known(found)

    def list_artifacts(self) -> list[artifacts.Artifact]:
        """Look at all artifacts, in the order in which they were put in.

        What is lost or corrupt is among them; what has no readable
        description is not (see :meth:`unreadable`).

        :raises EnvironmentFault: the directory cannot be read.
        """
        found = [self.get(path.name) for path in self._entries()]
        return sorted(
            (each for each in found if each is not None),
            key=lambda each: (each.created_at, each.id),
        )

    def unreadable(self) -> list[pathlib.Path]:
        """What has come into the directory, and is no artifact (any more).

        :raises EnvironmentFault: the directory cannot be read.
        """
        return [path for path in self._entries() if not self.get(path.name)]

    def _entries(self) -> list[pathlib.Path]:
        place = self.directory / ARTIFACTS
        with os_errors.on_read(place):
            # Never nothing when it is not there: all would be taken for lost.
            return sorted(place.iterdir())

    @contextlib.contextmanager
    def hold(self, id: str) -> Iterator[Held]:
        """Use an artifact; nobody removes it meanwhile.

        Its file is read only when somebody has touched it since its checksum
        was right.

        :raises ArtifactUnusable: it is not there, being removed, lost or
            corrupt.
        :raises EnvironmentFault: the directory cannot be read.
        """
        directory = self.directory_of(id)
        with os_errors.on_read(directory):
            used = locked_directory.SharedDirectory.use(directory, create=True)
        if used is None:
            raise _unusable(id, 'it is not there (any more)')
        try:
            found = self._usable(id)
            with os_errors.on_read(directory):
                used.touch()
            yield Held(found, directory / artifacts.IMAGE)
        finally:
            used.release()

    def _usable(self, id: str) -> artifacts.Artifact:
        found = self.get(id)
        if found is None:
            raise _unusable(id, 'it is not there (any more)')
        if found.status == artifacts.PRESENT:
            found = self.checker.check(self.directory_of(id), found)
        if found.status != artifacts.PRESENT:
            raise _unusable(id, found.reason)
        return found

    # -- changing -----------------------------------------------------------

    def put(
        self, path: pathlib.Path, facts: artifacts.Facts, *, id: str = ''
    ) -> artifacts.Artifact:
        """Take a file into the repository.

        It is moved where that is possible, and copied otherwise. When this
        fails, it is where it was.

        :param path: a file that nobody writes to; gone afterwards.
        :param id: a UUID of the caller's: a second call with it, after one
            whose end is not known, finds the artifact. '' for a new one.
        :raises Conflict: there is another artifact with that id.
        :raises InvalidImage: it is not a regular file.
        :raises EnvironmentFault: the file system refuses, or there is no
            room.
        """
        if id:
            known = self._known(id, facts)
            if known is not None:
                path.unlink(missing_ok=True)
                return known
        id = id or str(uuid.uuid4())
        with os_errors.on_write(self.directory):
            made = locked_directory.LockedDirectory.make(self.incoming)
            moved = intake.Intake(made.path, path)
            try:
                found = moved.fill(id, facts, reserve=self.limits.reserve)
                self._publish(made.path, id)
            except BaseException:
                moved.restore_source()
                with contextlib.suppress(OSError):
                    made.remove()
                raise
            lock = made.give()
            os.utime(lock)
            os.close(lock)
            moved.discard_source()
            convert.flush(self.directory / ARTIFACTS)
        return found

    def _known(
        self, id: str, facts: artifacts.Facts
    ) -> artifacts.Artifact | None:
        """The artifact that has an id, if it is the one that is meant."""
        self.directory_of(id)
        found = self.get(id)
        if found is None or found.status != artifacts.PRESENT:
            return None
        if not found.facts.is_same_file(facts):
            raise _conflict(id, 'there')
        return found

    def _publish(self, made: pathlib.Path, id: str) -> None:
        target = self.directory_of(id)
        try:
            os.rename(made, target)
        except OSError as error:
            if error.errno not in _THERE:
                raise
            found = self.get(id)
            if found and found.status == artifacts.PRESENT:
                raise _conflict(id, 'there') from error
            if not self._discard(target):
                raise _conflict(id, 'in use') from error
            os.rename(made, target)

    def remove(
        self, id: str, permit: Callable[[], bool] = lambda: True
    ) -> bool:
        """Remove an artifact, unless it is in use.

        :param permit: asked, while nobody can begin to use it, whether it
            may go; this is where the database learns of it.
        :returns: whether there is none any more.
        :raises EnvironmentFault: it cannot be removed.
        """
        directory = self.directory_of(id)
        with os_errors.on_write(directory):
            return self._discard(directory, permit)

    def remove_unreadable(self) -> None:
        """Remove what is no artifact; what cannot be removed is left."""
        for path in self.unreadable():
            try:
                self._discard(path)
            except OSError as error:
                LOG.warning('%s cannot be removed: %s', path, error)

    def _discard(
        self, directory: pathlib.Path, permit: Callable[[], bool] | None = None
    ) -> bool:
        """Remove what is in the place of an artifact, at one stroke.

        :returns: whether it is gone.
        :raises OSError: it cannot be removed.
        """
        try:
            if not stat.S_ISDIR(os.lstat(directory).st_mode):
                os.unlink(directory)
                return True
            taken = locked_directory.LockedDirectory.take(directory)
            if taken is None:
                return not os.path.lexists(directory)
        except FileNotFoundError:
            return True
        gone = self.incoming / f'{directory.name}.{secrets.token_hex(4)}'
        try:
            if permit and not permit():
                return False
            os.rename(directory, gone)
        except FileNotFoundError:
            return True
        finally:
            lock = taken.give()
            if not os.path.lexists(gone):
                os.close(lock)
        locked_directory.LockedDirectory(gone, lock).remove()
        return True


def _unusable(id: str, reason: str) -> exception.ArtifactUnusable:
    return exception.ArtifactUnusable(id=id, reason=reason)


def _conflict(id: str, status: str) -> exception.Conflict:
    return exception.Conflict(
        what='The image file',
        id=id,
        status=status,
        reason='another one has the same id',
    )
