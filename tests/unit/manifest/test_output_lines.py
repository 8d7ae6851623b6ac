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
"""Lines, however long: little memory, little time, no secret."""

import time
import tracemalloc

from imagebuild.manifest import output_lines

MIB = 1024 * 1024


class Lines:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []
        self.cutter = output_lines.LineCutter(
            lambda *line: self.seen.append(line)
        )


def test_lines_of_both_streams() -> None:
    lines = Lines()
    for stream, text in (
        ('stdout', 'one\r\ntw'),
        ('stderr', 'E\n\n'),
        ('stdout', 'o\nrest'),
    ):
        lines.cutter.add(stream, text)  # type: ignore[arg-type]
    lines.cutter.flush()
    assert lines.seen == [
        ('stdout', 'one', 0),
        ('stderr', 'E', 0),
        ('stderr', '', 0),
        ('stdout', 'two', 0),
        ('stdout', 'rest', 0),
    ]


def test_endless_line() -> None:
    lines = Lines()
    piece = 'x' * 65536
    start = time.monotonic()
    tracemalloc.start()
    for _ in range(16_000):
        lines.cutter.add('stdout', piece)
    lines.cutter.flush()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    [(_, text, dropped)] = lines.seen
    assert len(text) == output_lines.LONGEST_LINE
    assert dropped == 16_000 * 65536 - output_lines.LONGEST_LINE
    assert peak < MIB
    assert time.monotonic() - start < 30


def test_endless_line_of_small_pieces() -> None:
    lines = Lines()
    tracemalloc.start()
    for _ in range(100_000):
        lines.cutter.add('stdout', 'x')
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MIB
