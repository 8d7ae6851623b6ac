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
"""What a guest says on its console, whatever else is printed there.

A line of ours has a mark, the token of the attempt, and an end, since the
kernel may print into the middle of it. All that decides is repeated until the
server is stopped. What steps have printed comes as base64: nothing of it can
be taken for a line of ours, and no control character is in it.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
import zlib
from collections.abc import Callable
from collections.abc import Iterator

from imagebuild.common import control_characters
from imagebuild.common import guest_program

MARK, END = '=imagebuild=', '=end='
#: Lines that are asked for, and characters of them that are looked at.
LINES = 600
_LARGEST = 256 * 1024
#: Characters of a piece of what the guest says at length, and its pieces.
LONGEST_PIECE = 1000
_PIECES = 100
#: Bytes of a compressed list of what is in the image, some thousand packages:
#: of the console as Nova's libvirt driver gives it, its last 100 KiB
#: (MAX_CONSOLE_BYTES), all of it is to be seen at once.
LONGEST_LIST = 48 * 1024
#: Bytes of the list itself.
_LARGEST_LIST = 16 * 1024 * 1024
#: Seconds for which it is waited for. It is repeated every five.
_LIST_TIMEOUT = 60.0
_LINE = re.compile(
    rf'{MARK} ([0-9a-f]+) ([a-z]+(?: [A-Za-z0-9+/=-]+){{0,4}}) {END}'
)
_RESULTS: dict[str, guest_program.Result] = {
    'o': 'ok', 'c': 'changed', 'r': 'ran', 's': 'skipped'
}  # fmt: skip


class Refused(Exception):  # noqa: N818
    """The program is not for the system that it finds itself in."""


class Unclean(Exception):  # noqa: N818
    """What must not be in an image may still be there."""


class Console:
    """Reads the console of one guest, as often as it is asked for.

    :param token: of the attempt.
    :param listener: told about steps.
    :ivar begun: whether the program runs.
    :ivar over: whether it has come to its end, good or not.
    :ivar heard: when it said something new, in seconds of the monotonic
        clock.
    """

    def __init__(
        self,
        token: str,
        listener: guest_program.Listener,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.begun = False
        self.over = False
        self.heard = clock()
        self._token = token
        self._listener = listener
        self._clock = clock
        self._seen: set[str] = set()
        self._out: dict[tuple[int, int], str] = {}
        self._done: float | None = None
        self._tail = ''

    def read(self, text: str) -> None:
        """Take the console as it is now, its end or all of it.

        :raises Refused: the program says that it is for other systems.
        :raises Unclean: its last part did not come to its end.
        """
        self._tail = text[-_LARGEST:]
        # Of what is not there any more nothing is kept: a guest that knows
        # the token may say something new for hours.
        seen: set[str] = set()
        for said in self._lines(self._tail):
            if self.over:
                break
            if said in self._seen or said in seen:
                seen.add(said)
                continue
            self.begun = True
            self.heard = self._clock()
            # One whose pieces were lost is looked at again.
            if self._take(said.split()):
                seen.add(said)
        self._seen = seen

    def last_lines(self, count: int = 5) -> str:
        """The last lines of the console that are not ours, for people."""
        lines = [
            control_characters.escaped(line.strip())[:200]
            for line in self._tail.replace('\r', '\n').split('\n')
            if line.strip() and MARK not in line
        ]
        return ' | '.join(lines[-count:])

    def _lines(self, text: str) -> Iterator[str]:
        for match in _LINE.finditer(text):
            if match[1] == self._token:
                yield match[2]

    def _take(self, words: list[str]) -> bool:
        kind, *rest = words
        if kind == 'begin' and _are_numbers(rest[:1]):
            self._listener(guest_program.StepStarted(int(rest[0])))
        elif kind == 'end' and len(rest) == 2 and _are_numbers(rest[:1]):
            result = _RESULTS.get(rest[1])
            if result:
                self._listener(guest_program.StepEnded(int(rest[0]), result))
        elif kind == 'out' and len(rest) == 3 and _are_numbers(rest[:2]):
            if len(self._out) < _PIECES and len(rest[2]) <= LONGEST_PIECE:
                self._out[int(rest[0]), int(rest[1])] = rest[2]
        elif kind == 'over' and len(rest) >= 3:
            return self._end(*rest)
        return True

    def _end(self, kind: str, *words: str) -> bool:
        if kind == 'good':
            if not self._has_list(words):
                return False
            for number, letter in enumerate(words[0].lstrip('-')):
                self._listener(
                    guest_program.StepEnded(
                        number, _RESULTS.get(letter, 'ran')
                    )
                )
        elif len(words) == 3 and _are_numbers(words):
            number, code, count = map(int, words)
            output = self._output(number, count)
            if output is None:
                return False
            self.over = True
            if kind == 'refused':
                raise Refused(output)
            if kind == 'unclean':
                raise Unclean(f'exit code {code}. {output}'.rstrip())
            self._listener(
                guest_program.StepEnded(number, 'failed', code, output)
            )
        self.over = True
        return True

    def _has_list(self, words: tuple[str, ...]) -> bool:
        """Whether the list of what is in the image was told, or is none."""
        if len(words) != 3 or not _are_numbers(words[2:]):
            return True
        count = int(words[2])
        if not count:
            return True
        number = len(words[0].lstrip('-'))
        packed = self._bytes(number, count)
        if packed is None:
            if self._done is None:
                self._done = self._clock()
            return self._clock() > self._done + _LIST_TIMEOUT
        text = _unpacked(packed)
        if text is not None:
            self._listener(guest_program.Listed(text))
        return True

    def _output(self, number: int, count: int) -> str | None:
        """What a step has printed; None while a piece of it is missing."""
        text = self._bytes(number, count)
        if text is None:
            return None
        return control_characters.escaped(
            text.decode('utf-8', 'replace').replace('\r', ''), layout=True
        ).strip('\n')

    def _bytes(self, number: int, count: int) -> bytes | None:
        """What was told in pieces; None while one of them is missing."""
        pieces = [
            self._out.get((number, index))
            for index in range(min(count, _PIECES))
        ]
        text = b''
        for piece in pieces:
            if piece is None:
                return None
            try:
                text += base64.b64decode(piece, validate=True)
            except binascii.Error:
                return None
        return text


def _unpacked(packed: bytes) -> str | None:
    """The list; None when it is too long, or nothing that a guest packs."""
    if len(packed) > LONGEST_LIST:
        return None
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = unpacking.decompress(packed, _LARGEST_LIST)
    except zlib.error:
        return None
    return text.decode('utf-8', 'replace') if unpacking.eof else None


def _are_numbers(words: list[str] | tuple[str, ...]) -> bool:
    return bool(words) and all(
        word.isascii() and word.isdigit() and len(word) < 6 for word in words
    )
