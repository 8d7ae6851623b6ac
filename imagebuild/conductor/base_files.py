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
"""Base images that are files of this host, and what identifies them.

A file is identified by its digest, so that a request means the same on every
host. Which files there are the conductor learns from requests and from builds
that wait; the catalogue is the API's.
"""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import file_digests
from imagebuild.common.placement import Needs

#: Seconds that a request waits for a file to be read.
_SECONDS = 4.0
#: The same, for a look before a job is claimed.
_LOOK_SECONDS = 1.0
#: So many files are remembered, those seen last.
_MOST = 100


class BaseFiles:
    """The files that this conductor has looked at. Safe for threads.

    :param directory: where their digests are remembered.
    :ivar on_read: called when one was read that is new, or was waited for.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self._readings = file_digests.Readings(
            file_digests.FileDigests(directory), self._note
        )
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._algorithms: dict[str, str] = {}
        self._awaited: set[str] = set()
        self.on_read: Callable[[], object] = bool

    def identity(self, path: str) -> str:
        """What identifies a file.

        :returns: ``sha256:hexdigest``.
        :raises BeingRead: it takes longer than a request can wait.
        :raises EnvironmentFault: it cannot be read.
        """
        try:
            return str(self._readings.get(path, seconds=_SECONDS))
        except OSError as error:
            raise exception.EnvironmentFault(
                f'The base image {path} cannot be read on this conductor: '
                f'{error.strerror}.'
            ) from error

    def look(self, path: str, identity: str = '') -> None:
        """Have a file read, so that it is known soon; waits for nothing.

        :param identity: what it should be, which says the algorithm.
        """
        self._readings.look(path, self._algorithm(path, identity))

    def look_again(self) -> None:
        """Look whether somebody has touched any of them."""
        with self._lock:
            known = [
                (path, self._algorithms.get(path, 'sha256'))
                for path in self._known
            ]
        for path, algo in known:
            self._readings.look(path, algo)

    def known(self) -> dict[str, str]:
        """The files with what identifies them, '' for what cannot be read."""
        with self._lock:
            return dict(self._known)

    def has(self, needs: Needs) -> bool:
        """Whether this host has the file that a job starts from, if any.

        One that takes long to read is not there yet; :attr:`on_read` is
        called when it was read.
        """
        path = needs.base_path
        if not path or not needs.base:
            return True
        algo = self._algorithm(path, needs.base)
        try:
            found = self._readings.get(path, algo, seconds=_LOOK_SECONDS)
        except file_digests.BeingRead:
            with self._lock:
                self._awaited.add(path)
            return False
        except (OSError, exception.ImageBuildError):
            return False
        return str(found) == needs.base

    def _algorithm(self, path: str, identity: str) -> str:
        """That of an identity, remembered for the next look."""
        algo = identity.partition(':')[0]
        if algo not in checksums.ALGORITHMS:
            algo = 'sha256'
        with self._lock:
            self._algorithms[path] = algo
        return algo

    def _note(self, path: str, found: checksums.Checksum | None) -> None:
        text = str(found) if found else ''
        with self._lock:
            is_new = self._known.pop(path, None) != text
            self._known[path] = text
            while len(self._known) > _MOST:
                oldest = next(iter(self._known))
                del self._known[oldest]
                self._algorithms.pop(oldest, None)
            was_awaited = path in self._awaited
            self._awaited.discard(path)
        if is_new or was_awaited:
            self.on_read()
