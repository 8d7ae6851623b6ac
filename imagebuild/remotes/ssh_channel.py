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
"""One command over an SSH connection, as a thread waits for it.

The library calls this in the thread of its event loop; whoever runs the
command reads, writes and waits in another. No more is buffered than
:data:`_MOST`: the far end waits then, and the library ends the connection of
one that does not.
"""

from __future__ import annotations

import asyncio
import collections
import threading
import time
from typing import Any

import asyncssh

from imagebuild.remotes import base

#: Bytes that have arrived and that nobody has taken yet.
_MOST = 1024 * 1024
_STREAMS: dict[int | None, base.Stream] = {
    None: 'stdout',
    asyncssh.EXTENDED_DATA_STDERR: 'stderr',
}


class Channel(asyncssh.SSHClientSession[bytes]):
    """A command that runs; an :class:`output.Source` of what it prints.

    :param loop: in which the library runs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._chan: asyncssh.SSHClientChannel[bytes] | None = None
        self._change = threading.Condition()
        self._pieces: collections.deque[tuple[base.Stream, bytes]] = (
            collections.deque()
        )
        self._size = 0
        self._paused = False
        self._ended = False
        self._code: int | None = None
        #: Why it ended; None as long as it runs, and when it ended well.
        self.error: Exception | None = None

    # -- called by the library ----------------------------------------------

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._chan = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        stream = _STREAMS.get(datatype)
        if stream is None or not data:
            return
        with self._change:
            self._pieces.append((stream, data))
            self._size += len(data)
            if self._size > _MOST and not self._paused and self._chan:
                self._paused = True
                self._chan.pause_reading()
            self._change.notify_all()

    def eof_received(self) -> bool:
        self._end()
        # What we write may still be wanted.
        return True

    def exit_status_received(self, status: int) -> None:
        with self._change:
            self._code = status
            self._change.notify_all()

    def exit_signal_received(
        self, signal: str, core_dumped: bool, msg: str, lang: str
    ) -> None:
        # Of the shell that we run; a command's own is in its exit code.
        self.exit_status_received(255)

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = self.error or exc
        self._end()
        with self._change:
            self._code = 255 if self._code is None else self._code
            self._change.notify_all()

    def _end(self) -> None:
        with self._change:
            if not self._ended:
                self._ended = True
                self._pieces.extend((name, b'') for name in _STREAMS.values())
            self._change.notify_all()

    # -- called by others ---------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether nothing more will arrive, and nothing is left."""
        with self._change:
            return self._ended and not self._pieces

    def next_piece(self, timeout: float) -> tuple[base.Stream, bytes] | None:
        """See :meth:`output.Source.next_piece`."""
        with self._change:
            if not self._pieces and not self._ended:
                self._change.wait(max(timeout, 0))
            if not self._pieces:
                return None
            stream, data = self._pieces.popleft()
            self._size -= len(data)
            if self._paused and self._size < _MOST // 2:
                self._paused = False
                self._soon('resume_reading')
        return stream, data

    def write(self, data: bytes) -> None:
        """Send something to its standard input; never waits."""
        self._soon('write', data)

    def write_eof(self) -> None:
        """Its standard input has ended."""
        self._soon('write_eof')

    def exit_code(self, timeout: float) -> int | None:
        """Wait for its end.

        :returns: None if it still runs; 255 when the connection was lost.
        """
        end = time.monotonic() + timeout
        with self._change:
            while self._code is None:
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self._change.wait(left)
            return self._code

    def close(self) -> None:
        """Let go of it; never waits."""
        self._soon('abort')

    def _soon(self, method: str, *args: Any) -> None:
        def call() -> None:
            # The far end may have closed it.
            if self._chan and not self._chan.is_closing():
                try:
                    getattr(self._chan, method)(*args)
                except OSError as error:
                    self.error = self.error or error

        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            # The loop is closed, and so is everything in it.
            self._end()
