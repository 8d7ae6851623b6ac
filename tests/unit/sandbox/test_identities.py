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
import fcntl
import os

import pytest

from imagebuild.sandbox import identities

FIRST = 0x7000_0000


@pytest.fixture
def etc(tmp_path):
    path = tmp_path / 'etc'
    path.mkdir()
    return path


@pytest.fixture
def take(tmp_path, etc):
    taken = []

    def take():
        taken.append(identities.take(tmp_path / 'locks', etc))
        return taken[-1]

    yield take
    for each in taken:
        os.close(each.lock)


def test_each_has_its_own(take):
    assert [take().first for _ in range(3)] == [
        FIRST, FIRST + identities.SIZE, FIRST + 2 * identities.SIZE,
    ]  # fmt: skip


def test_they_fit_in_a_signed_number(take):
    """And beside each other."""
    last = FIRST + identities._RANGES * identities.SIZE - 1
    assert last < 2**31
    assert identities.SIZE > 100_000 + 10 * 65536


def test_one_that_ended_is_taken_again(take):
    first = take()
    take()
    fcntl.flock(first.lock, fcntl.LOCK_UN)
    assert take().first == first.first
    assert first.name == 'imagebuild-1879048192'


@pytest.mark.parametrize(
    'table, line',
    [
        ('passwd', f'big:x:{FIRST + 7}:100::/:/bin/sh'),
        ('group', f'big:x:{FIRST + identities.SIZE - 1}:'),
        ('subuid', f'someone:{FIRST - 10}:11'),
        ('subgid', f'someone:{FIRST}:65536'),
    ],
)
def test_what_others_have_is_left_alone(take, etc, table, line):
    (etc / table).write_text(f'# a comment\nroot:x:0:0::\n\n{line}\nx:y\n')
    assert take().first == FIRST + identities.SIZE


def test_none_is_left(take, monkeypatch):
    monkeypatch.setattr(identities, '_RANGES', 2)
    take()
    take()
    with pytest.raises(identities.NoneLeft):
        take()


def test_the_locks_are_private(take, tmp_path):
    take()
    assert (tmp_path / 'locks').stat().st_mode & 0o77 == 0


def test_one_that_is_named(take, tmp_path):
    taken = take()
    first = identities.named(taken.name)
    assert first == taken.first
    assert identities.claim(first, tmp_path / 'locks') is None
    fcntl.flock(taken.lock, fcntl.LOCK_UN)
    again = identities.claim(first, tmp_path / 'locks')
    assert again.first == first
    os.close(again.lock)


@pytest.mark.parametrize('name', ['imagebuild', 'imagebuild-', 'imagebuild-x'])
def test_names_of_others(name):
    assert identities.named(name) is None
