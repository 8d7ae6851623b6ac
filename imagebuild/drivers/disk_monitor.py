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
"""What is told about the making of a disk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class DiskMonitor:
    """Told about the making of a disk; does nothing.

    Subclasses print, log or send. Drivers never print.
    """

    def step_started(self, name: str) -> None:
        """Called before each step.

        :param name: a few words, such as ``install packages``.
        """

    def phase_started(self, phase: str) -> None:
        """Called when a phase of the build begins.

        What a driver does before its disk is open is the phase
        ``base_image`` until it reports another, and its
        :meth:`OpenDisk.finish` is ``convert``.

        :param phase: of :data:`imagebuild.common.phases.ORDER`.
        """

    def step_finished(self, name: str, seconds: float, error: str) -> None:
        """Called after each step, whether it failed or not.

        :param seconds: wall time.
        :param error: why it failed; '' when it did not.
        """

    def notice(self, message: str) -> None:
        """Called with a message for the user."""

    def output(self, line: str) -> None:
        """Called with each line that a program printed, for the log.

        :param line: without its newline and without control characters.
        """

    def progress(self, done: int, total: int, what: str) -> None:
        """Called now and then, at most a few times a second.

        :param done: bytes done.
        :param total: bytes in all, 0 when that is not known.
        :param what: a few words, such as ``download base image``.
        """

    @contextlib.contextmanager
    def step(self, name: str, *, phase: str = '') -> Iterator[None]:
        """Report the block as one step.

        :param phase: that begins with it, '' to go on with the one before.
        """
        if phase:
            self.phase_started(phase)
        self.step_started(name)
        start = time.monotonic()
        error = ''
        try:
            yield
        except BaseException as failure:
            error = str(failure) or type(failure).__name__
            raise
        finally:
            self.step_finished(name, time.monotonic() - start, error)
