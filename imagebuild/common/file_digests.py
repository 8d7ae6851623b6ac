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
"""Digests of files that lie on this host, read once and then remembered.

What is remembered is beside the state of the service, so the conductor and
its jobs read a file once between them. It holds as long as nobody has touched
the file: size, inode, and the times of its last change, of which the kernel
keeps one that no program can set.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import stat
import threading
import time
from collections.abc import Callable

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import described_files

_FORM = 1
#: Seconds in which two changes may get the same time.
_TICK = 0.1

OnProgress = Callable[[int, int], None]
OnEnd = Callable[[str, checksums.Checksum | None], object]


class BeingRead(exception.ServiceUnavailable):
    """A file is still being read to know its digest."""

    msg_fmt = (
        'The file of the base image is being read to identify it, %(done)s '
        'so far; retry in a minute.'
    )


class ChangedMeanwhile(exception.EnvironmentFault):
    """Somebody writes to a file whose digest was asked for."""

    msg_fmt = '%(path)s was changed while it was read.'


class FileDigests:
    """The digests of files of this host.

    :param directory: where they are remembered; made when it is needed.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory

    def read(
        self,
        path: pathlib.Path,
        algo: str = 'sha256',
        *,
        on_progress: OnProgress | None = None,
    ) -> checksums.Checksum:
        """The digest of a file; reads it unless it is known.

        Of several processes that ask, one reads and the others wait.

        :param algo: as :mod:`hashlib` calls it.
        :param on_progress: called with bytes done and bytes in all.
        :raises OSError: the file cannot be read, or is none.
        :raises ChangedMeanwhile: it was written to.
        """
        found = self.known(path, algo)
        if found is not None:
            return found
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(
            self._directory / f'{_name(path, algo)}.lock',
            os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
            0o600,
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self.known(path, algo) or self._compute(
                path, algo, on_progress
            )
        finally:
            os.close(lock)

    def known(
        self, path: pathlib.Path, algo: str = 'sha256'
    ) -> checksums.Checksum | None:
        """The digest of a file if nobody has touched it since it was read.

        :returns: None when it has to be read.
        :raises OSError: there is no such file, or it is none.
        """
        stamp = _stamp(path)
        try:
            values = described_files.parse(
                self._entry(path, algo).read_bytes(), _FORM
            )
        except (OSError, described_files.Damaged):
            return None
        if values.get('path') != str(path) or values.get('stamp') != stamp:
            return None
        return checksums.Checksum(algo, values['value'])

    def _compute(
        self, path: pathlib.Path, algo: str, on_progress: OnProgress | None
    ) -> checksums.Checksum:
        # A change right after this would have the time of the one before.
        age = time.time() - os.stat(path).st_ctime
        if 0 <= age < _TICK:
            time.sleep(_TICK)
        before = _stamp(path)
        value = checksums.compute(path, (algo,), on_progress=on_progress)[algo]
        if _stamp(path) != before:
            raise ChangedMeanwhile(path=path)
        text = described_files.dump(
            {'path': str(path), 'stamp': before, 'value': value}, _FORM
        )
        described_files.replace(self._entry(path, algo), text.encode())
        return checksums.Checksum(algo, value)

    def _entry(self, path: pathlib.Path, algo: str) -> pathlib.Path:
        return self._directory / f'{_name(path, algo)}.json'


class Readings:
    """Reads files in the background; each one once. Safe for threads.

    Not even a file system that hangs holds who asks for longer than it says.

    :param digests: what is asked and remembers.
    :param on_end: called in a thread of its own with the path of a file that
        was read and what was found, None when it cannot be read.
    """

    def __init__(
        self, digests: FileDigests, on_end: OnEnd = lambda _path, _found: None
    ) -> None:
        self._digests = digests
        self._on_end = on_end
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], _Reading] = {}

    def get(
        self, path: str, algo: str = 'sha256', *, seconds: float
    ) -> checksums.Checksum:
        """The digest of a file.

        :param seconds: so long it may take; the file is read on.
        :raises BeingRead: it was not done in time.
        :raises OSError: the file cannot be read, or is none.
        :raises ChangedMeanwhile: it was written to.
        """
        reading = self._begin(path, algo)
        if not reading.done.wait(seconds):
            raise BeingRead(done=reading.shown())
        if reading.found is None:
            raise reading.error or BeingRead(done=reading.shown())
        return reading.found

    def look(self, path: str, algo: str = 'sha256') -> None:
        """Have a file read; waits for nothing and raises nothing."""
        self._begin(path, algo)

    def _begin(self, path: str, algo: str) -> _Reading:
        key = path, algo
        with self._lock:
            reading = self._running.get(key)
            if reading is None:
                reading = self._running[key] = _Reading()
                threading.Thread(
                    target=self._run,
                    args=(key, reading),
                    name='read-base-image',
                    daemon=True,
                ).start()
            return reading

    def _run(self, key: tuple[str, str], reading: _Reading) -> None:
        path, algo = key
        try:
            reading.found = self._digests.read(
                pathlib.Path(path), algo, on_progress=reading.progress
            )
        except (OSError, exception.ImageBuildError) as error:
            reading.error = error
        finally:
            with self._lock:
                del self._running[key]
            # First: whoever waits may ask what is known.
            self._on_end(path, reading.found)
            reading.done.set()


class _Reading:
    """One file that is being read."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.found: checksums.Checksum | None = None
        self.error: Exception | None = None
        self._percent = 0

    def progress(self, done: int, total: int) -> None:
        self._percent = done * 100 // total if total else 0

    def shown(self) -> str:
        return f'{self._percent} %'


def _name(path: pathlib.Path, algo: str) -> str:
    return hashlib.sha256(f'{algo}:{path}'.encode()).hexdigest()


def _stamp(path: pathlib.Path) -> list[int]:
    """What changes whenever a file is written to, or is another one.

    :raises OSError: there is no such file, or it is no plain file.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise IsADirectoryError(0, 'it is not a plain file')
    return [
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    ]
