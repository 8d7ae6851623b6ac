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
import types
import uuid

import pytest

from imagebuild import exception
from imagebuild.conductor import attempt_reaper
from imagebuild.conductor import claims
from imagebuild.conductor import leftovers
from imagebuild.db import records

BUILD = str(uuid.uuid4())


class Driver:
    def __init__(self, name, in_cloud=True):
        self.name, self._in_cloud = name, in_cloud

    def works_in_cloud(self, sections):
        return self._in_cloud


class Database:
    """Says that all attempts have ended but one."""

    away = False

    def judge_attempts(self, found):
        if self.away:
            raise exception.DatabaseUnavailable(reason='it restarts')
        ended = frozenset(each for each in found if each[1] != 9)
        return records.AttemptStates(ended, frozenset())

    def begin_leak_search(self, *args, **more):
        return None


@pytest.fixture
def reaper(monkeypatch):
    context = types.SimpleNamespace(
        database=Database(),
        leftovers=leftovers.Leftovers(),
        job_config=dict,
        conf=types.SimpleNamespace(
            conductor=types.SimpleNamespace(sweep_interval=60, leak_grace=60)
        ),
    )
    made = attempt_reaper.AttemptReaper(
        context,
        lambda: [Driver('snapshot'), Driver('guestfs', in_cloud=False)],
    )
    made.left, made.reaped, made.fails = context.leftovers, [], False
    made.database = context.database

    def run(driver, attempts, *, look=False):
        made.reaped.append((driver, list(attempts)))
        if made.fails:
            raise claims.AttemptFailed('Nova is away.')
        return {'reaped': len(attempts)}

    monkeypatch.setattr(made, '_run', run)
    return made


def test_only_what_has_ended_and_may_have_left_something(reaper):
    for driver in ('snapshot', 'guestfs', 'not installed here'):
        for attempt in (1, 2, 9):
            reaper.left.add(driver, BUILD, attempt)
    assert reaper._work() == 60
    assert reaper.reaped == [('snapshot', [(BUILD, 1), (BUILD, 2)])]
    assert reaper.left.by_driver() == {}


def test_a_cloud_that_fails_is_not_asked_at_once_again(reaper, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(attempt_reaper.time, 'monotonic', lambda: now[0])
    reaper.fails = True
    reaper.left.add('snapshot', BUILD, 1)
    reaper._work()
    # Woken by another one that has ended.
    reaper.left.add('snapshot', BUILD, 2)
    reaper._work()
    assert len(reaper.reaped) == 1
    now[0] += 60
    reaper.fails = False
    reaper._work()
    assert reaper.reaped[1:] == [('snapshot', [(BUILD, 1), (BUILD, 2)])]
    assert reaper.left.by_driver() == {}


def test_a_database_that_is_away(reaper):
    reaper.database.away = True
    reaper.left.add('snapshot', BUILD, 1)
    assert reaper._work() == 60
    assert reaper.reaped == []
    reaper.database.away = False
    reaper._work()
    assert reaper.reaped == [('snapshot', [(BUILD, 1)])]


def test_many_are_reaped_in_portions(reaper):
    for attempt in range(10, 55):
        reaper.left.add('snapshot', BUILD, attempt)
    reaper._work()
    assert [len(attempts) for _, attempts in reaper.reaped] == [20, 20, 5]


def test_there_is_an_end_to_what_is_remembered():
    left = leftovers.Leftovers()
    for attempt in range(1, 1501):
        left.add('snapshot', BUILD, attempt)
    [kept] = left.by_driver().values()
    assert kept[0] == (BUILD, 501)
    assert len(kept) == 1000


@pytest.mark.parametrize(
    'left', [None, 'x', [None], [['a']], [['a', 'b']], [[1, 1]]]
)
def test_what_a_job_says_is_not_trusted(left):
    assert attempt_reaper._attempts(left) == []
