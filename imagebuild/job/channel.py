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
"""The two pipes between a job and its conductor."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild.common.counts import counted
from imagebuild.job import masking

LOG = logging.getLogger(__name__)

#: Bytes of the document; files of a request travel in it.
MAX_DOCUMENT = 128 * 1024 * 1024
#: Events that wait while the conductor is slow; then the job waits.
_WAITING = 1000
#: Seconds that they have when the job ends; the rest of them is dropped.
_DRAIN = 5.0
_LOOK = 0.02
_PORTION = 64 * 1024
_LONGEST_LINE = 8192


class Events:
    """Writes events to the conductor, each as one line at once.

    A thread writes, so that a signal, which is raised in the main thread,
    never cuts a line in two.

    :param descriptor: written to; it is closed at the end.
    :param on_broken: called, in another thread, when nobody reads any more.
    :ivar always: secrets of the service, which are hidden whatever the
        request says.
    """

    def __init__(self, descriptor: int, on_broken: Callable[[], None]) -> None:
        self.always: Sequence[str] = ()
        self._masker = masking.Masker()
        self._descriptor = descriptor
        self._on_broken = on_broken
        self._queue: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(
            target=self._write, name='events', daemon=True
        )
        self._thread.start()

    def hide(self, secrets: Sequence[str]) -> None:
        """Take these out of every event and of the log from now on."""
        self._mask_by(masking.Masker([*self.always, *secrets]))

    def withhold(self, why: str) -> None:
        """Send no text, until it is known what must be hidden.

        :param why: a sentence, see :class:`masking.Withholder`.
        """
        self._mask_by(masking.Withholder(why))

    def _mask_by(self, masker: masking.Masker) -> None:
        self._masker = masker
        masking.Formatter.masker = masker

    def send(self, event: str, **values: Any) -> None:
        """Send one event; waits while the conductor is far behind."""
        masked = self._masker.event({'event': event, **values})
        self._queue.put(_line(masked))

    def send_last(self, event: str, **values: Any) -> None:
        """Send the event that ends the job.

        A guest can print more than the conductor reads, and a job whose time
        is up must not wait for its reader: output that still waits after a
        few seconds is dropped, so that this event comes soon and is not lost.
        """
        end = time.monotonic() + _DRAIN
        while self._queue.qsize() and time.monotonic() < end:
            time.sleep(_LOOK)
        dropped = self._drop()
        if dropped:
            LOG.warning(
                '%s of output dropped: the conductor is slow',
                counted(dropped, 'line'),
            )
            self.send(
                'notice',
                message=f'(without {counted(dropped, "line")}: the build '
                'printed faster than the conductor reads)',
            )
        self.send(event, **values)

    def close(self, timeout: float = 10.0) -> None:
        """Wait until everything is written.

        :param timeout: seconds after which the rest is given up.
        """
        end = time.monotonic() + timeout
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=timeout)
            self._thread.join(max(end - time.monotonic(), 0.0))

    def _drop(self) -> int:
        """Forget the output that waits; returns how many lines.

        Whatever else waits keeps its place: it reports the build's steps,
        and there is little of it.
        """
        waiting: list[bytes | None] = []
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.append(self._queue.get_nowait())
        kept = [line for line in waiting if not _is_output(line)]
        for line in kept:
            self._queue.put(line)
        return len(waiting) - len(kept)

    def _write(self) -> None:
        try:
            while (line := self._queue.get()) is not None:
                while line:
                    line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            LOG.warning(
                'The conductor does not read events: %s', error.strerror
            )
            self._on_broken()
        finally:
            os.close(self._descriptor)


#: How the line of an output event begins: "event" is the first key.
_OUTPUT = b'{"event":"output"'


def _line(event: Mapping[str, Any]) -> bytes:
    # Escaped, so that no character in it can end a line or fail to encode.
    return json.dumps(event, separators=(',', ':')).encode() + b'\n'


def _is_output(line: bytes | None) -> bool:
    return line is not None and line.startswith(_OUTPUT)


def shortened(line: str) -> str:
    """A line of output that is not too long to be sent."""
    if len(line) <= _LONGEST_LINE:
        return line
    more = len(line) - _LONGEST_LINE
    return f'{line[:_LONGEST_LINE]} [{counted(more, "more character")}]'


def read_document(descriptor: int) -> Any:
    """Read the first line.

    :returns: what it holds, None when the pipe was closed before its end.
    :raises ValueError: it is no JSON, or too long.
    """
    # Not buffered: nothing after the line may be taken off the pipe.
    content = bytearray()
    while not content.endswith(b'\n'):
        portion = os.read(descriptor, _PORTION)
        if not portion:
            return None
        content += portion
        if len(content) > MAX_DOCUMENT:
            raise ValueError('the document is too long')
    return json.loads(content)


def watch_parent(descriptor: int, on_end: Callable[[], None]) -> None:
    """Watch, in a thread, for the death of the process that holds a pipe.

    The kernel closes its end however it dies, which no signal is sent for.

    :param on_end: called in that thread when its other end is closed.
    """

    def run() -> None:
        with contextlib.suppress(OSError):
            while os.read(descriptor, _PORTION):
                pass
        on_end()

    threading.Thread(
        target=run, name='parent-death-watch', daemon=True
    ).start()
