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
"""Lines out of pieces of output, however long a line is."""

from __future__ import annotations

from collections.abc import Callable

from imagebuild.remotes.base import Stream

#: Characters of one line that are kept; the rest is counted.
LONGEST_LINE = 64 * 1024


class _Line:
    """A line that has not ended."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self.dropped = 0

    def add(self, text: str) -> None:
        kept = text[: max(LONGEST_LINE - self._size, 0)]
        self.dropped += len(text) - len(kept)
        if not kept:
            return
        self._parts.append(kept)
        self._size += len(kept)
        if len(self._parts) > 1000:
            self._parts = [''.join(self._parts)]

    def take(self) -> str:
        text = ''.join(self._parts)
        return text if self.dropped else text.rstrip('\r')


class LineCutter:
    """Cuts pieces of output into lines.

    :param on_line: called with each line: its stream, its text without the
        newline, and how many characters of it were left out.
    """

    def __init__(self, on_line: Callable[[Stream, str, int], None]) -> None:
        self._on_line = on_line
        self._open: dict[Stream, _Line] = {}

    def add(self, stream: Stream, text: str) -> None:
        """Take a piece."""
        *ended, rest = text.split('\n')
        for part in ended:
            line = self._open.pop(stream, None) or _Line()
            line.add(part)
            self._on_line(stream, line.take(), line.dropped)
        if rest:
            self._open.setdefault(stream, _Line()).add(rest)

    def flush(self) -> None:
        """Pass on what did not end with a newline."""
        open_lines, self._open = self._open, {}
        for stream, line in open_lines.items():
            self._on_line(stream, line.take(), line.dropped)
