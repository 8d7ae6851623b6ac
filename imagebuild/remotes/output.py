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
"""The output of one command, from whatever it comes.

A command writes to two streams, and its output arrives in pieces: through
ports of an appliance (:mod:`output_channel`) or pipes (:class:`Pipes`).
Here it is put together: pieces become whole characters, what is kept is
bounded, and so is the time that is spent on it at once. A command may write
faster than anybody reads, and for ever: no source reads ahead without end, so
the command waits.
"""

from __future__ import annotations

import codecs
import os
import select
import time
from collections.abc import Mapping
from typing import Protocol

from imagebuild.remotes import base

STREAMS: tuple[base.Stream, base.Stream] = ('stdout', 'stderr')
#: Bytes of one stream that are kept; what comes after is read and dropped.
KEPT = 16 * 1024 * 1024
#: Bytes of one piece.
PIECE = 64 * 1024
#: Seconds that may be spent at once on what arrives: what watches the
#: clock has to have a turn, however much a command prints.
_TURN = 1.0
#: Seconds that the end of a command's output may take in all.
_LONGEST_END = 120.0


class OutputLost(Exception):  # noqa: N818 - it says what happened
    """A command has ended, and its output does not."""


class Source(Protocol):
    """Where the pieces come from."""

    def next_piece(self, timeout: float) -> tuple[base.Stream, bytes] | None:
        """The next piece that arrived; None if none does in time.

        :param timeout: seconds; 0 not to wait.
        :returns: with b'' once when a stream has ended.
        """


class Pipes:
    """Pipes, or other descriptors that a command writes to.

    Nothing is read before somebody asks: a full pipe makes its writer wait.

    :param descriptors: the reading ends; whoever opened them closes them.
    """

    def __init__(self, descriptors: Mapping[base.Stream, int]) -> None:
        self._streams = {fd: name for name, fd in descriptors.items()}
        self._poll = select.poll()
        for descriptor in self._streams:
            # A command can open its end to read what it has written: then
            # there is nothing where something was, and to wait for more
            # would be to forget the time.
            os.set_blocking(descriptor, False)
            self._poll.register(descriptor, select.POLLIN)
        self._ready: list[int] = []

    def next_piece(self, timeout: float) -> tuple[base.Stream, bytes] | None:
        """See :meth:`Source.next_piece`."""
        # Each has its turn: a stream that is always full hides no other.
        if not self._ready:
            ready = self._poll.poll(max(timeout, 0) * 1000)
            self._ready = [descriptor for descriptor, _ in ready]
        if not self._ready:
            return None
        descriptor = self._ready.pop()
        try:
            piece = os.read(descriptor, PIECE)
        except BlockingIOError:
            return None
        if not piece:
            self._poll.unregister(descriptor)
        return self._streams[descriptor], piece


class Collector:
    """Collects the output of one command.

    :param source: where it arrives.
    :param on_output: called with pieces.
    :param mark: what comes after it in each stream, where streams outlive a
        command; b'' where they end with it.
    """

    def __init__(
        self,
        source: Source,
        on_output: base.OutputCallback | None,
        *,
        mark: bytes = b'',
    ) -> None:
        self._source = source
        self._mark = mark
        self._on_output = on_output
        decoder = codecs.getincrementaldecoder('utf-8')
        self._decoders = {name: decoder('replace') for name in STREAMS}
        self._held = dict.fromkeys(STREAMS, b'')
        # Bytes, not a list of texts: a guest that prints byte by byte would
        # make a list that takes fifty times as much.
        self._kept = {name: bytearray() for name in STREAMS}
        self._ended: set[base.Stream] = set()
        self._lost = False

    @property
    def ended(self) -> bool:
        """Whether both streams have."""
        return self._ended == set(STREAMS)

    def drain(self, timeout: float = 0) -> None:
        """Take what has arrived, without end.

        :param timeout: seconds to wait for the first piece.
        """
        end = time.monotonic() + _TURN
        while (piece := self._source.next_piece(timeout)) is not None:
            self._take(*piece)
            timeout = 0
            if self.ended or time.monotonic() > end:
                return

    def finish(self, timeout: float = 10) -> None:
        """Wait until both streams have ended.

        :param timeout: seconds without a piece after which they are given up.
        :raises OutputLost: they were.
        """
        end = time.monotonic() + _LONGEST_END
        while not self.ended:
            piece = self._source.next_piece(timeout)
            if piece is None or time.monotonic() > end:
                raise OutputLost
            self._take(*piece)
            if self._lost:
                raise OutputLost

    def _take(self, stream: base.Stream, piece: bytes) -> None:
        if stream in self._ended:
            return
        if not piece and self._mark:
            self._lost = True
            return
        if not piece:
            self._ended.add(stream)
            self._pass_on(stream, b'', final=True)
            return
        data = self._held[stream] + piece
        end = data.find(self._mark) if self._mark else -1
        if end >= 0:
            self._ended.add(stream)
            self._pass_on(stream, data[:end], final=True)
            return
        # The mark may be cut in two: hold back what could be its start.
        keep = _possible_start(data, self._mark)
        self._held[stream] = data[len(data) - keep :] if keep else b''
        self._pass_on(stream, data[: len(data) - keep])

    def _pass_on(
        self, stream: base.Stream, data: bytes, *, final: bool = False
    ) -> None:
        kept = self._kept[stream]
        kept += data[: max(KEPT - len(kept), 0)]
        text = self._decoders[stream].decode(data, final)
        if text and self._on_output:
            self._on_output(stream, text)

    def text(self, stream: base.Stream) -> str:
        """What arrived on a stream, its first 16 MiB."""
        return self._kept[stream].decode('utf-8', 'replace')

    def content(self, stream: base.Stream) -> bytes:
        """The same, as it arrived."""
        return bytes(self._kept[stream])


def _possible_start(data: bytes, mark: bytes) -> int:
    """How many bytes at the end of data could begin the mark."""
    for length in range(min(len(data), len(mark) - 1), 0, -1):
        if data.endswith(mark[:length]):
            return length
    return 0
