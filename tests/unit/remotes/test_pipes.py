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
"""Pipes that a command writes to, and may do more with."""

import os
from collections.abc import Iterator

import pytest

from imagebuild.remotes import base
from imagebuild.remotes import output


@pytest.fixture
def ends() -> Iterator[dict[str, tuple[int, int]]]:
    made = {'stdout': os.pipe(), 'stderr': os.pipe()}
    yield made
    for pair in made.values():
        for each in pair:
            try:
                os.close(each)
            except OSError:
                continue


@pytest.fixture
def pipes(ends: dict[base.Stream, tuple[int, int]]) -> output.Pipes:
    return output.Pipes({name: reader for name, (reader, _) in ends.items()})


def test_each_stream_has_its_turn(
    ends: dict[str, tuple[int, int]], pipes: output.Pipes
) -> None:
    for _, writer in ends.values():
        os.write(writer, b'x' * 10)
    taken = [pipes.next_piece(0), pipes.next_piece(0)]
    assert sorted(filter(None, taken)) == [
        ('stderr', b'x' * 10), ('stdout', b'x' * 10),
    ]  # fmt: skip
    assert pipes.next_piece(0) is None


def test_each_ends_once(
    ends: dict[str, tuple[int, int]], pipes: output.Pipes
) -> None:
    for name, (_, writer) in ends.items():
        os.close(writer)
        assert pipes.next_piece(0) == (name, b'')
        assert pipes.next_piece(0) is None


@pytest.mark.timeout(60)
def test_somebody_takes_it_first(
    ends: dict[str, tuple[int, int]], pipes: output.Pipes
) -> None:
    """A command can read its own output, which then is not there any more.

    To wait for more would be to forget the time.
    """
    for _, writer in ends.values():
        os.write(writer, b'x')
    first = pipes.next_piece(0)
    assert first is not None
    other = 'stderr' if first[0] == 'stdout' else 'stdout'
    os.read(ends[other][0], 10)
    assert pipes.next_piece(5) is None
    os.write(ends[other][1], b'y')
    assert pipes.next_piece(5) == (other, b'y')
