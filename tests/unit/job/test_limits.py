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

import pytest

from imagebuild import exception
from imagebuild.job import limits


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(limits, '_HEAD_START', 0.0)


def test_no_limit():
    deadline = limits.Deadline(None, str)
    assert deadline.left() is None
    with deadline.running():
        pass


def test_what_is_left():
    assert 590 < limits.Deadline(600, str).left() <= 600
    with pytest.raises(exception.BuildTimeout):
        limits.Deadline(0, str).left()


def test_the_time_is_up():
    deadline = limits.Deadline(0.05, lambda: 'a nap')
    with pytest.raises(exception.BuildTimeout, match='during: a nap'):
        with deadline.running():
            time.sleep(60)
    assert exception.BuildTimeout.fault == 'user'


def test_a_limit_is_reported_as_it_was_given():
    for seconds, shown in (0.5, '0.5'), (60, '60'), (3600.0, '3600'):
        error = limits.Deadline(seconds, lambda: 'a nap').error()
        assert f'limit of {shown} seconds' in str(error)
    assert '86400000 seconds' in str(exception.RunTimeout(seconds=86400000))


def test_nobody_takes_it_for_a_failure_to_go_on_after():
    deadline = limits.Deadline(0.05, str)
    with pytest.raises(exception.BuildTimeout), deadline.running():
        try:
            time.sleep(60)
        except Exception:
            pytest.fail('it looks like the failure of a step')


def test_the_limit_of_the_run():
    deadline = limits.Deadline(600, lambda: 'a run')
    with pytest.raises(exception.BuildTimeout), deadline.running():
        raise exception.RunTimeout(seconds=9)


def test_other_errors_pass_and_the_clock_is_stopped():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(KeyError), limits.Deadline(600, str).running():
        raise KeyError
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signal.getsignal(signal.SIGALRM) == before
