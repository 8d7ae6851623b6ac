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
"""Lines of a console."""

import io

from imagebuild.boot import console


class Lines:
    def __init__(self, file: io.BytesIO | None = None) -> None:
        self.whole: list[str] = []
        self.begun: list[str] = []
        self.console = console.Console(self._add, file)

    def _add(self, line: str, whole: bool) -> None:
        (self.whole if whole else self.begun).append(line)


def test_lines_that_come_in_pieces() -> None:
    lines = Lines()
    for piece in (b'one\r', b'\ntwo', b' and\nthree: '):
        lines.console.add(piece)
    assert lines.whole == ['one', 'two and']
    assert lines.begun == ['one', 'two', 'three: ']
    assert lines.console.tail == 'one\ntwo and\nthree: '


def test_what_drives_a_terminal_is_left_out() -> None:
    lines = Lines()
    lines.console.add(
        b'\x1bc\x1b[?7l\x1b[2J\x1b[0m[\x1b[0;32m  OK  \x1b[0m] up\x07\x00\n'
        b'\x1b]0;title\x07shown\n\xc3\x28\n'
    )
    assert lines.whole == ['[  OK  ] up', 'shown', '\ufffd(']


def test_a_character_in_two_pieces() -> None:
    lines = Lines()
    for byte in 'é\n'.encode():
        lines.console.add(bytes([byte]))
    assert lines.whole == ['é']


def test_it_is_bounded() -> None:
    file = io.BytesIO()
    lines = Lines(file)
    piece = b'x' * 1024 * 1024
    for _ in range(20):
        lines.console.add(piece)
    assert len(lines.console.tail) <= console.TAIL + 4096
    assert max(map(len, lines.whole)) <= 4096
    kept = file.getvalue()
    assert kept.endswith(b'\n[the rest was not kept]\n')
    assert len(kept) < console.LONGEST_FILE + 100
    assert kept.count(b'not kept') == 1
