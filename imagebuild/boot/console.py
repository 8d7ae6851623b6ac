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
"""What a machine writes to its serial console."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import BinaryIO

#: Characters that are kept for whoever asks why it did not boot.
TAIL = 64 * 1024
#: Bytes that are written to the file.
LONGEST_FILE = 16 * 1024 * 1024
#: Characters of a line; a longer one is cut into several.
_LONGEST_LINE = 4096
# Colours, cursor movements and titles of terminals (ECMA-48).
_ESCAPES = re.compile(
    r'\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])'
)
_CONTROL = re.compile(r'[\x00-\x08\x0b-\x1f\x7f-\x9f]')


def cleaned(text: str) -> str:
    """A line as people read it, without what drives a terminal."""
    return _CONTROL.sub('', _ESCAPES.sub('', text))


class Console:
    """Cuts it into lines, and keeps its end.

    :param on_line: is given every line, cleaned, and whether it is whole. One
        that has no end yet, such as a prompt, is given again when it has more.
    :param file: gets the bytes as they are; not more than
        :data:`LONGEST_FILE`.
    """

    def __init__(
        self,
        on_line: Callable[[str, bool], object],
        file: BinaryIO | None = None,
    ) -> None:
        self._on_line = on_line
        self._file = file
        self._decoder = codecs.getincrementaldecoder('utf-8')('replace')
        self._held = ''
        self._tail = ''
        self._written = 0

    @property
    def tail(self) -> str:
        """The last lines, cleaned."""
        return self._tail + self.rest

    @property
    def rest(self) -> str:
        """A last line that has no end: a prompt, mostly. Cleaned."""
        return cleaned(self._held)

    def add(self, data: bytes) -> None:
        """Take what it wrote.

        :raises OSError: the file cannot be written to.
        """
        self._store(data)
        self._held += self._decoder.decode(data)
        *lines, self._held = self._held.split('\n')
        for line in lines:
            self._line(line)
        while len(self._held) > _LONGEST_LINE:
            self._line(self._held[:_LONGEST_LINE])
            self._held = self._held[_LONGEST_LINE:]
        if self._held:
            self._on_line(cleaned(self._held), False)

    def _line(self, line: str) -> None:
        line = cleaned(line)
        self._tail = (self._tail + line + '\n')[-TAIL:]
        self._on_line(line, True)

    def _store(self, data: bytes) -> None:
        if self._file is None or self._written >= LONGEST_FILE:
            return
        data = data[: LONGEST_FILE - self._written]
        self._file.write(data)
        self._file.flush()
        self._written += len(data)
        if self._written >= LONGEST_FILE:
            self._file.write(b'\n[the rest was not kept]\n')
            self._file.flush()
