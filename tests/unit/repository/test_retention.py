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
"""What leaves the repository."""

import os
import time

import pytest

from imagebuild import exception
from imagebuild import repository as kit
from imagebuild.common import space
from imagebuild.repository import retention
from tests.unit.repository.conftest import HOUR
from tests.unit.repository.conftest import KIB
from tests.unit.repository.conftest import age
from tests.unit.repository.conftest import file_of


def builds(repository):
    return [each.facts.build_id for each in repository.list_artifacts()]


def test_nothing_goes_without_limits(make, put):
    repository = make()
    put(repository, hours=10_000)
    assert kit.bound(repository) == []


def test_the_one_that_was_not_used_for_longest_goes(make, put):
    repository = make(max_bytes=150 * KIB)
    put(repository, 'b1', hours=1)
    put(repository, 'b2', hours=3)
    put(repository, 'b3', hours=2)
    [gone] = kit.bound(repository)
    assert gone.facts.build_id == 'b2'
    assert builds(repository) == ['b1', 'b3']


def test_number_and_age(make, put):
    repository = make(max_number=3, max_age=5 * HOUR)
    for number, hours in enumerate((9, 4, 3, 2, 1)):
        put(repository, f'b{number}', hours=hours)
    kit.bound(repository)
    assert builds(repository) == ['b2', 'b3', 'b4']
    age(repository, repository.list_artifacts()[2].id, 6)
    kit.bound(repository)
    assert builds(repository) == ['b2', 'b3']


def test_the_reserve_is_kept_free(make, put, monkeypatch):
    repository = make(reserve=100)
    for number in range(3):
        put(repository, f'b{number}', hours=9 - number)
    free = [50, 90, 150]
    monkeypatch.setattr(
        space, 'free', lambda _: free[3 - len(builds(repository))]
    )
    kit.bound(repository)
    assert builds(repository) == ['b2']
    assert [each.facts.build_id for each in kit.bound(repository, needed=60)]


def test_what_is_used_stays(make, put):
    repository = make(max_number=1)
    used = put(repository, 'b1', hours=9)
    put(repository, 'b2', hours=8)
    put(repository, 'b3', hours=7)
    with make().hold(used.id):
        # Now it is the one that was used last, too.
        age(repository, used.id, 9)
        kit.bound(repository)
        assert builds(repository) == ['b1']
    put(repository, 'b4', hours=0)
    put(repository, 'b5', hours=0)
    kit.bound(repository)
    assert builds(repository) == ['b4', 'b5']


def test_what_is_wanted_stays(make, put):
    """An upload is still to come, says the database."""
    repository = make(max_age=HOUR)
    put(repository, 'b1', hours=9)
    put(repository, 'b2', hours=8)
    kit.bound(repository, lambda each: each.facts.build_id == 'b2')
    assert builds(repository) == ['b1']


def test_a_database_that_is_away_keeps_everything(make, put):
    repository = make(max_age=HOUR)
    put(repository, 'b1', hours=9)

    def away(_artifact):
        raise exception.DatabaseUnavailable(reason='it restarts')

    assert kit.bound(repository, away) == []
    assert builds(repository) == ['b1']


def test_what_is_of_no_use_goes_first(make, put):
    repository = make(max_number=3)
    put(repository, 'b1', hours=9)
    corrupt = put(repository, 'b2', hours=2)
    lost = put(repository, 'b3', hours=2)
    put(repository, 'b4', hours=1)
    put(repository, 'b5', hours=1)
    file_of(repository, corrupt.id).write_bytes(b'short')
    file_of(repository, lost.id).unlink()
    kit.bound(repository)
    assert builds(repository) == ['b1', 'b4', 'b5']


def test_leftovers_go(make, put):
    repository = make()
    put(repository)
    (repository.incoming / 'old').mkdir()
    (repository.directory / 'artifacts' / 'x').mkdir()
    kit.bound(repository)
    assert not list(repository.incoming.iterdir())
    assert len(list((repository.directory / 'artifacts').iterdir())) == 1


def test_one_looks_at_a_time(make, put):
    repository = make(max_age=HOUR)
    put(repository, hours=9)
    with retention._pass(make()):
        assert kit.bound(repository) == []
    assert len(kit.bound(repository)) == 1


# -- the clock --------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """Sets the clock of the host forward or back, in hours."""

    started = time.time()

    def clock(hours):
        now = started + hours * HOUR
        monkeypatch.setattr(retention.time, 'time', lambda: now)

    return clock


@pytest.mark.parametrize('hours', [24 * 365 * 20, -24 * 365 * 20])
def test_a_clock_that_jumps_ages_nothing(make, put, clock, hours):
    repository = make(max_age=10 * HOUR)
    put(repository, 'b1', hours=9)
    put(repository, 'b2', hours=8)
    kit.bound(repository)
    clock(hours)
    assert kit.bound(repository) == []
    # Their order and age are as before.
    clock(hours + 1.5)
    kit.bound(repository)
    assert builds(repository) == ['b2']


def test_the_age_counts_on_after_a_jump(make, put, clock):
    repository = make(max_age=10 * HOUR)
    put(repository, 'b1', hours=9)
    put(repository, 'b2', hours=1)
    kit.bound(repository)
    clock(24 * 365)
    kit.bound(repository)
    clock(24 * 365 + 2)
    kit.bound(repository)
    assert builds(repository) == ['b2']


def test_time_without_a_conductor_is_no_age(make, put):
    """A host that was off for a month does not begin by removing all."""
    repository = make(max_age=10 * HOUR)
    put(repository, 'b1', hours=30 * 24)
    kit.bound(make())  # without limits
    repository = make(max_age=10 * HOUR)
    past = time.time() - 30 * 24 * HOUR
    os.utime(repository.directory / 'clock', (past, past))
    assert kit.bound(repository) == []
