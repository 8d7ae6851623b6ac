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
"""One file on its way to this host, verified while it comes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any
from typing import BinaryIO
from typing import Protocol

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import os_errors
from imagebuild.common import transfer_progress

_PORTION = 4 * 1024 * 1024
#: Bytes after which room is asked for again when the server does not
#: announce how many will come.
_STRETCH = 64 * 1024 * 1024


class Stream(Protocol):
    """What a server sends.

    Iterating raises EnvironmentFault when the connection breaks.
    """

    @property
    def offset(self) -> int:
        """Where in the file it begins.

        0 instead of what was asked for, when the server cannot begin there.
        """

    @property
    def total(self) -> int:
        """Bytes of the whole file, 0 when not known."""

    def __iter__(self) -> Iterator[bytes]: ...


#: Asks for a file from an offset on. Raises EnvironmentFault when it cannot
#: be reached now, InvalidInput when it is not available at all.
Fetch = Callable[[int], AbstractContextManager[Stream]]


@dataclasses.dataclass(frozen=True)
class Fetching:
    """One file on its way.

    :ivar part: where it goes; what an earlier one left there is continued.
    :ivar fetch: asks for it.
    :ivar wanted: its checksum.
    :ivar size: its size in bytes, 0 when not known.
    :ivar what: a short description of it, for messages.
    :ivar make_room: called with bytes that are about to be written.
    :ivar progress: called with bytes done and bytes in all.
    :ivar on_notice: called with what the user should see.
    """

    part: pathlib.Path
    fetch: Fetch
    wanted: checksums.Checksum
    size: int
    what: str
    make_room: Callable[[int], None]
    progress: transfer_progress.Throttled
    on_notice: Callable[[str], None]

    def run(self) -> None:
        """Fetch it whole.

        :raises ChecksumMismatch: what came is not it; it was removed.
        :raises ImageBuildError: it could not be fetched; what has come is
            kept.
        """
        try:
            if self._attempt():
                return
        except exception.ChecksumMismatch:
            self._remove()
            raise
        # What was there before may be what is wrong.
        self._remove()
        self.on_notice(
            f'The partial download of {self.what} does not match; it is '
            'downloaded again.'
        )
        try:
            self._attempt()
        except exception.ChecksumMismatch:
            self._remove()
            raise

    def _attempt(self) -> bool:
        """Fetch what is missing.

        :returns: False when it is wrong and only a part of it is new.
        """
        with self._opened() as file:
            resumed, found = self._fill(file)
        if found == self.wanted.value:
            return True
        if resumed:
            return False
        raise self._mismatch(checksums.Checksum(self.wanted.algo, found))

    def _fill(self, file: BinaryIO) -> tuple[bool, str]:
        have = os.fstat(file.fileno()).st_size
        if self.size and have >= self.size:
            # An earlier one was killed after the last byte.
            return True, self._digest(file, have).hexdigest()
        with self.fetch(have) as source:
            start, total = source.offset, source.total or self.size
            if start not in (0, have):
                raise exception.EnvironmentFault(
                    f'The server sends {self.what} from byte {start} on, '
                    f'and was asked for it from byte {have} on.'
                )
            if self.size and total != self.size:
                raise self._wrong_size(total, self.size)
            if total and start > total:
                # What is there belongs to another file.
                return True, ''
            # Nothing is asked for when the size is not known: see _pour.
            self.make_room(total - start if total else 0)
            digest = self._digest(file, start)
            with os_errors.on_write(self.part):
                file.truncate(start)
            self._pour(source, file, digest, start, total)
        return start > 0, digest.hexdigest()

    def _pour(
        self,
        source: Stream,
        file: BinaryIO,
        digest: Any,
        done: int,
        total: int,
    ) -> None:
        checked = done
        for piece in source:
            done += len(piece)
            if total and done > total:
                raise self._wrong_size('more', total)
            if not total and done - checked > _STRETCH:
                self.make_room(_STRETCH)
                checked = done
            digest.update(piece)
            with os_errors.on_write(self.part):
                file.write(piece)
            self.progress(done, total)
        with os_errors.on_write(self.part):
            file.flush()
        if total and done != total:
            raise exception.ServiceUnavailable(
                f'Of {self.what}, {done} bytes came, and {total} were '
                'announced.'
            )

    def _digest(self, file: BinaryIO, end: int) -> Any:
        """The digest of a file's beginning; the file is then at its end."""
        digest = hashlib.new(self.wanted.algo)
        with os_errors.on_write(self.part):
            file.seek(0)
            left = end
            while left and (portion := file.read(min(left, _PORTION))):
                digest.update(portion)
                left -= len(portion)
            file.seek(end)
        return digest

    @contextlib.contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with os_errors.on_write(self.part):
            descriptor = os.open(self.part, flags, 0o600)
        file = os.fdopen(descriptor, 'r+b', buffering=_PORTION)
        try:
            yield file
        finally:
            with os_errors.on_write(self.part):
                file.close()

    def _remove(self) -> None:
        with os_errors.on_write(self.part):
            self.part.unlink(missing_ok=True)

    def _mismatch(
        self, found: checksums.Checksum
    ) -> exception.ChecksumMismatch:
        return exception.ChecksumMismatch(
            what=self._name, found=found, expected=self.wanted
        )

    def _wrong_size(
        self, found: object, expected: int
    ) -> exception.ChecksumMismatch:
        return exception.ChecksumMismatch(
            f'{self._name} should have {expected} bytes, and the server has '
            f'{found}.'
        )

    @property
    def _name(self) -> str:
        return self.what[:1].upper() + self.what[1:]
