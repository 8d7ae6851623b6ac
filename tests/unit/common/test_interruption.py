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
import signal
import time
import weakref

import pytest

from imagebuild import exception
from imagebuild.common import interruption


class Thing:
    """What can be referred to weakly."""


@pytest.fixture
def first():
    """How often the first signal was told of."""
    told = []
    before = signal.getsignal(signal.SIGUSR1)
    restore = interruption.raise_first(
        (signal.SIGUSR1, signal.SIGUSR2), lambda: told.append(1)
    )
    yield told
    restore()
    assert signal.getsignal(signal.SIGUSR1) == before


def test_the_first_is_raised_and_the_others_are_not(first):
    with pytest.raises(exception.Interrupted, match='SIGUSR2'):
        signal.raise_signal(signal.SIGUSR2)
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    assert first == [1]


def test_one_that_python_drops_is_raised_again(first):
    thing = Thing()
    reference = weakref.ref(
        thing, lambda _: signal.raise_signal(signal.SIGUSR1)
    )
    with pytest.raises(exception.Interrupted, match='SIGUSR1'):
        del thing
        time.sleep(60)
    assert reference() is None
    assert first == [1]


@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_what_else_is_dropped_is_told_as_before(first, capsys):
    thing = Thing()
    reference = weakref.ref(thing, lambda _: 1 / 0)
    del thing
    assert reference() is None and first == []
