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
"""Whether the file of an artifact is what it was."""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
import pathlib
import stat
import threading
import time
from collections.abc import Callable

from imagebuild.common import checksums
from imagebuild.common import described_files
from imagebuild.common import os_errors
from imagebuild.repository import artifacts

LOG = logging.getLogger(__name__)

#: Called with bytes done and bytes in all; may wait, or raise to stop.
Throttle = Callable[[int, int], None]


class Checker:
    """Checks files, and notes what it finds beside them.

    What cannot be noted, on a file system that is full or can only be read,
    is remembered. Threads may share one.
    """

    def __init__(self) -> None:
        self._corrupt: dict[str, tuple[described_files.Stamp, str]] = {}
        self._lock = threading.Lock()

    def known(self, artifact: artifacts.Artifact) -> artifacts.Artifact:
        """The artifact as it is after all that was found."""
        with self._lock:
            stamp, reason = self._corrupt.get(artifact.id, ((), ''))
        # With another stamp it was put in again.
        if artifact.status != artifacts.PRESENT or stamp != artifact.stamp:
            return artifact
        return _with(artifact, artifacts.CORRUPT, reason)

    def check(
        self,
        directory: pathlib.Path,
        artifact: artifacts.Artifact,
        *,
        full: bool = False,
        throttle: Throttle | None = None,
    ) -> artifacts.Artifact:
        """See whether a file is what it was.

        :param directory: of the artifact.
        :param full: read it also when nobody has touched it, or it was
            found to be corrupt before.
        :returns: the artifact with its status.
        :raises EnvironmentFault: the file cannot be read, for now.
        """
        path = directory / artifacts.IMAGE
        if artifact.status != artifacts.PRESENT and not full:
            return artifact
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):
                return artifact
            before = described_files.stamp_of(path)
            if not full and before == artifact.stamp:
                return artifact
            algo = artifact.checksum.algo
            found = checksums.compute(path, [algo], on_progress=throttle)
            after = described_files.stamp_of(path)
        except FileNotFoundError:
            return _with(artifact, artifacts.LOST, 'its file is gone')
        except OSError as error:
            if error.errno == errno.EIO:
                # The disk itself: that does not pass.
                return self._spoilt(
                    directory, artifact, 'its file cannot be read'
                )
            raise os_errors.read_error(path, error) from error
        if before != after or found[algo] != artifact.checksum.value:
            return self._spoilt(
                directory, artifact, f'its file has another {algo}'
            )
        return self._right(directory, artifact, after)

    def _spoilt(
        self, directory: pathlib.Path, artifact: artifacts.Artifact, what: str
    ) -> artifacts.Artifact:
        LOG.error('The image file %s is corrupt: %s', directory, what)
        with self._lock:
            self._corrupt[artifact.id] = artifact.stamp, what
        try:
            artifacts.mark(directory, what)
        except OSError as error:
            LOG.warning('%s cannot be marked: %s', directory, error)
        return _with(artifact, artifacts.CORRUPT, what)

    def _right(
        self,
        directory: pathlib.Path,
        artifact: artifacts.Artifact,
        stamp: described_files.Stamp,
    ) -> artifacts.Artifact:
        good = dataclasses.replace(
            artifact,
            status=artifacts.PRESENT,
            reason='',
            stamp=stamp,
            checked_at=time.time(),
        )
        with self._lock:
            self._corrupt.pop(artifact.id, None)
        try:
            artifacts.renew(directory, good)
        except OSError as error:
            LOG.warning('%s cannot be noted as checked: %s', directory, error)
        return good


def _with(
    artifact: artifacts.Artifact, status: str, reason: str
) -> artifacts.Artifact:
    return dataclasses.replace(artifact, status=status, reason=reason)
