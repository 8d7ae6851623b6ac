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

    An exception is raised; ``never`` waits until the time is over.
    """

    def __init__(self, **says):
        self._says = says
        self.asked = []
        self._silence = first_answer.Silence()

    def _ask(self, name, seconds):
        self.asked.append(name)
        after, answer = self._says[name]
        if after == 'never':
            time.sleep(seconds)
            raise NOBODY
        time.sleep(after)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def first(self, timeout=2.0, is_final=lambda _answer: True):
        return first_answer.first_answer(
            list(self._says),
            self._ask,
            timeout=timeout,
            silence=self._silence,
            is_final=is_final,
        )


def test_the_first_one_is_enough():
    pool = Conductors(a=(0, 1), b=(0, 2))
    assert pool.first() == 1
    assert pool.asked == ['a']


def test_after_a_failure_the_next_is_asked_at_once():
    pool = Conductors(a=(0, AWAY), b=(0, 2))
    begun = time.monotonic()
    assert pool.first(timeout=20) == 2
    assert time.monotonic() - begun < 2


def test_a_silent_one_is_passed_over_and_then_asked_last():
    pool = Conductors(a=('never', 0), b=(0, 2))
    begun = time.monotonic()
    assert pool.first(timeout=2) == 2
    assert time.monotonic() - begun < 1.5
    pool.asked.clear()
    assert pool.first(timeout=2) == 2
    assert pool.asked == ['b']


def test_a_slow_one_may_still_answer():
    pool = Conductors(a=(0.8, 1), b=('never', 0))
    assert pool.first(timeout=2) == 1
    assert pool.asked == ['a', 'b']


def test_a_late_answer_ends_the_silence():
    pool = Conductors(a=(0.8, 1), b=(0, 2))
    assert pool.first(timeout=2) == 2
    time.sleep(0.5)
    pool.asked.clear()
    pool.first()
    assert pool.asked[0] == 'a'


def test_all_of_it_is_bounded():
    pool = Conductors(**dict.fromkeys('abcde', ('never', 0)))
    begun = time.monotonic()
    try:
        assert pool.first(timeout=1) is None
    except exception.NoConductor:
        pass
    assert time.monotonic() - begun < 1.5
    assert pool.asked == ['a', 'b', 'c']


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
    assert pool.first(timeout=1, is_final=lambda found: found > 0) == answer


@pytest.mark.parametrize(
    'says',
    [
        {'a': (0, AWAY), 'b': (0.1, NOBODY)},
        {'a': ('never', 0), 'b': (0, AWAY)},
    ],
)
def test_a_reason_is_better_than_silence(says):
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
