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
"""What a store is sent, and what it is compared with when it has arrived."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any
from typing import Self

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import os_errors
from imagebuild.common import transfer_progress

#: urllib3 asks for 16 KiB at a time; the disk is asked for more.
_BUFFER = 4 * 1024 * 1024


class HashedFile:
    """A file that is read once, from its start to its end.

    Only to be used in a ``with`` block.

    :param path: the file.
    :param algorithm: of the checksum that the store knows.
    :param expected: the file's checksum.
    :param on_progress: called with bytes read and bytes in all.
    :raises UnwritablePath: it cannot be read.
    """

    def __init__(
        self,
        path: pathlib.Path,
        algorithm: str,
        expected: checksums.Checksum | None,
        on_progress: transfer_progress.OnProgress | None,
    ) -> None:
        self._path = path
        self._expected = expected
        self._progress = transfer_progress.Throttled(on_progress)
        names = {algorithm, expected.algo} if expected else {algorithm}
        self._digests: dict[str, Any] = {
            name: hashlib.new(name) for name in sorted(names)
        }
        self._done = 0

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open('rb', buffering=_BUFFER)
        except OSError as error:
            raise exception.EnvironmentFault(
                f'{self._path} cannot be read: {os_errors.reason_of(error)}.'
            ) from error
        self._size = os.fstat(self._file.fileno()).st_size
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        portion = self.read(_BUFFER)
        if not portion:
            raise StopIteration
        return portion

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; none at the end."""
        portion = self._file.read(size)
        # While it is sent: the file is read once for all of it.
        for digest in self._digests.values():
            digest.update(portion)
        self._done += len(portion)
        self._progress(self._done, self._size)
        return portion

    def digest(self, algorithm: str) -> str:
        """The checksum of the whole file.

        :param algorithm: any; one that was not asked for at the beginning
            has the file read again.
        """
        if algorithm in self._digests and self._done == self._size:
            value: str = self._digests[algorithm].hexdigest()
            return value
        return checksums.compute(self._path, (algorithm,))[algorithm]

    def verify(self) -> None:
        """Compare what was read with what the file should be.

        :raises ChecksumMismatch: it has changed since its checksum was
            computed.
        """
        if self._expected is None:
            return
        found = self.digest(self._expected.algo)
        if found != self._expected.value:
            raise exception.ChecksumMismatch(
                what=self._path,
                found=checksums.Checksum(self._expected.algo, found),
                expected=self._expected,
            )


class KnownContent:
    """Content that is elsewhere: only its checksums are known.

    :param known: its checksums.
    """

    def __init__(self, known: Sequence[checksums.Checksum]) -> None:
        self._known = {each.algo: each.value for each in known}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """There is nothing to close."""

    def __len__(self) -> int:
        """0: it is not known."""
        return 0

    def digest(self, algorithm: str) -> str:
        """Its checksum, '' when that is not known."""
        return self._known.get(algorithm, '')
