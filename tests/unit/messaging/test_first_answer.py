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
"""Asking several conductors, of which some are silent or cannot."""

import threading
import time

import pytest

from imagebuild import exception
from imagebuild.messaging import first_answer

AWAY = exception.ServiceUnavailable(service='image', reason='away')
NOBODY = exception.NoConductor(reason='none answered in time')


class Conductors:
    """Each name with what it says, after so many seconds.

    An exception is raised; ``never`` waits until the time is over, and an
    event is waited for.
    """

    def __init__(self, **says):
        self._says = says
        self.asked = []
        self.given = []
        #: Events to set when one is asked.
        self.told = {}
        self._silence = first_answer.Silence()

    def _ask(self, name, seconds):
        self.asked.append(name)
        self.given.append(seconds)
        if name in self.told:
            self.told[name].set()
        after, answer = self._says[name]
        if after == 'never':
            time.sleep(seconds)
            raise NOBODY
        if isinstance(after, threading.Event):
            assert after.wait(60)
        else:
            time.sleep(after)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def first(self, timeout=80.0, is_final=lambda _answer: True):
        return first_answer.first_answer(
            list(self._says),
            self._ask,
            timeout=timeout,
            silence=self._silence,
            is_final=is_final,
        )


@pytest.fixture
def soon(monkeypatch):
    """The next one is asked almost at once."""
    monkeypatch.setattr(first_answer, '_HEDGE_AFTER', 0.01)


def test_the_first_one_is_enough():
    pool = Conductors(a=(0, 1), b=(0, 2))
    assert pool.first() == 1
    assert pool.asked == ['a']


def test_after_a_failure_the_next_is_asked_at_once():
    pool = Conductors(a=(0, AWAY), b=(0, 2))
    begun = time.monotonic()
    # Not only once it could have been silent.
    assert pool.first(timeout=80) == 2
    assert time.monotonic() - begun < 18


def test_a_silent_one_is_passed_over_and_then_asked_last(monkeypatch, soon):
    go = threading.Event()
    pool = Conductors(a=(go, 1), b=(0, 2))
    assert pool.first() == 2
    assert pool.asked == ['a', 'b']
    monkeypatch.undo()
    pool.asked.clear()
    assert pool.first() == 2
    assert pool.asked == ['b']
    go.set()


def test_a_slow_one_may_still_answer(soon):
    other = threading.Event()
    pool = Conductors(a=(other, 1), b=('never', 0))
    pool.told = {'b': other}
    assert pool.first(timeout=30) == 1
    assert pool.asked == ['a', 'b']


def test_a_late_answer_ends_the_silence(monkeypatch, soon):
    go = threading.Event()
    pool = Conductors(a=(go, 1), b=(0, 2))
    assert pool.first() == 2
    go.set()
    for each in threading.enumerate():
        if each.name == 'ask-a':
            each.join(60)
    monkeypatch.undo()
    pool.asked.clear()
    pool.first()
    assert pool.asked == ['a']


def test_all_of_it_is_bounded(soon):
    pool = Conductors(**dict.fromkeys('abcde', ('never', 0)))
    begun = time.monotonic()
    try:
        assert pool.first(timeout=1) is None
    except exception.NoConductor:
        pass
    assert time.monotonic() - begun < 18
    assert pool.asked == ['a', 'b', 'c']
    # Together, and not each of them.
    assert 1 >= pool.given[0] > pool.given[1] > pool.given[2]


def test_no_more_than_three_are_asked():
    pool = Conductors(**dict.fromkeys('abcde', (0, AWAY)))
    with pytest.raises(exception.ServiceUnavailable):
        pool.first()
    assert pool.asked == ['a', 'b', 'c']


@pytest.mark.parametrize(
    'says, answer',
    [
        ({'a': (0, -1), 'b': (0, 2)}, 2),
        ({'a': (0, -1), 'b': (0, -2)}, -2),
        # An answer that is not final is better than none.
        ({'a': (0, -1), 'b': (0, AWAY)}, -1),
        ({'a': (0, AWAY), 'b': (0, -2)}, -2),
        ({'a': (0, -1), 'b': ('never', 0)}, -1),
    ],
)
def test_an_answer_that_is_not_final(says, answer):
    pool = Conductors(**says)
    timeout = 1 if 'never' in str(says) else 60
    assert pool.first(timeout, is_final=lambda found: found > 0) == answer


@pytest.mark.parametrize(
    'says',
    [
        {'a': (0, AWAY), 'b': (0.1, NOBODY)},
        {'a': ('never', 0), 'b': (0, AWAY)},
    ],
)
def test_a_reason_is_better_than_silence(says, soon):
    with pytest.raises(exception.ServiceUnavailable):
        Conductors(**says).first(timeout=1)


def test_many_at_once():
    pool = Conductors(a=(0.05, 1), b=(0.05, 2))
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(pool.first()))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 20
