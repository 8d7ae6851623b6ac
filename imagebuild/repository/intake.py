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
"""How a file gets into a directory that is to become an artifact."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import pathlib
import stat
import time

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import described_files
from imagebuild.common import space
from imagebuild.disks import convert
from imagebuild.disks import file_copy
from imagebuild.repository import artifacts


@dataclasses.dataclass
class Intake:
    """A file on its way.

    :param directory: locked, empty but for its lock.
    :param source: the file; it is moved, and not there any more afterwards.
    :ivar path: where it is to be in the directory.
    """

    directory: pathlib.Path
    source: pathlib.Path

    @property
    def path(self) -> pathlib.Path:
        """Where the file is to be in the directory."""
        return self.directory / artifacts.IMAGE

    def fill(
        self, id: str, facts: artifacts.Facts, *, reserve: int
    ) -> artifacts.Artifact:
        """Bring the file and its description into the directory and to disk.

        The file is moved last, so that a failure before leaves it where it
        was.

        :param id: of the artifact.
        :param reserve: bytes to leave free when the file must be copied.
        :raises InvalidImage: it is not a file.
        :raises NoSpace: there is no room for a copy.
        :raises OSError: the file system refuses.
        """
        descriptor = _open(self.source)
        try:
            os.fsync(descriptor)
            is_copy = not _can_move(descriptor, self.directory)
            if is_copy:
                self._copy(descriptor, reserve)
            else:
                os.fchmod(descriptor, 0o600)
            made = self._describe(id, facts, is_copy=is_copy)
            if not is_copy:
                self._move(descriptor)
        finally:
            os.close(descriptor)
        convert.flush(self.directory)
        return made

    def _copy(self, source: int, reserve: int) -> None:
        needed = os.fstat(source).st_blocks * 512
        space.check(self.directory, needed + reserve)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        target = os.open(self.path, flags, 0o600)
        try:
            file_copy.copy_content(source, target)
            os.fsync(target)
        finally:
            os.close(target)

    def _describe(
        self, id: str, facts: artifacts.Facts, *, is_copy: bool
    ) -> artifacts.Artifact:
        path = self.path if is_copy else self.source
        stamp = described_files.stamp_of(path)
        if not facts.checksums:
            facts = dataclasses.replace(
                facts, checksums=checksums.compute(path, [artifacts.HASH])
            )
            if described_files.stamp_of(path) != stamp:
                raise exception.ImageBusy(path=self.source, by='')
        now = time.time()
        made = artifacts.Artifact(
            id=id,
            facts=facts,
            size=stamp[1],
            stamp=stamp,
            created_at=now,
            checked_at=now,
        )
        described_files.write(
            self.directory / artifacts.DESCRIPTION, made.dump()
        )
        return made

    def _move(self, descriptor: int) -> None:
        os.rename(self.source, self.path)
        if not os.path.samestat(os.fstat(descriptor), os.lstat(self.path)):
            raise exception.ImageBusy(path=self.source, by='')

    def discard_source(self) -> None:
        """Remove the file if it was copied: the artifact is there."""
        with contextlib.suppress(OSError):
            self.source.unlink(missing_ok=True)

    def restore_source(self) -> None:
        """Bring the file back to where it was, if it was moved already."""
        with contextlib.suppress(OSError):
            if os.path.lexists(self.path) and not os.path.lexists(self.source):
                os.rename(self.path, self.source)


def _open(path: pathlib.Path) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise _not_a_file(path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_a_file(path)
    return descriptor


def _not_a_file(path: pathlib.Path) -> exception.InvalidImage:
    return exception.InvalidImage(path=path, reason='it is not a regular file')


def _can_move(descriptor: int, directory: pathlib.Path) -> bool:
    """Whether a rename will do.

    With a second name somebody else could change what is in the file.
    """
    status = os.fstat(descriptor)
    return status.st_nlink == 1 and status.st_dev == os.stat(directory).st_dev
