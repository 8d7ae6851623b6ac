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
"""Who gets a slot: a conductor's own scheduler over a database."""

import types

import pytest

from imagebuild.common import placement
from imagebuild.conductor import disk_space
from imagebuild.conductor import scheduler
from imagebuild.db import transaction
from tests.contract.database import finish
from tests.contract.database import values

AGING = 60


class Running:
    def __init__(self, build):
        self.build = build
        self.build_id = build.id
        self.driver = build.driver


class Conductor:
    """A conductor whose builds end when they are told to."""

    def __init__(self, database, *, slots, driver_limits=(), running_limit=-1):
        self.database = database
        self.running = scheduler.RunningJobs()
        #: Ids of builds, as they were claimed.
        self.begun = []
        capability = placement.Capability(
            name='c1',
            drivers=('bootstrap', 'guestfs'),
            architectures=('x86_64',),
            slots=slots,
            driver_limits=dict(driver_limits),
        )
        context = types.SimpleNamespace(
            conf=types.SimpleNamespace(
                conductor=types.SimpleNamespace(
                    sweep_interval=60,
                    priority_aging=AGING,
                    max_uploads=0,
                    max_deletions=0,
                ),
                quota=types.SimpleNamespace(running=running_limit),
                validation=types.SimpleNamespace(max_running=0),
            ),
            name='c1',
            database=database,
            work_dir=None,
            declined=disk_space.DeclinedBuilds(),
        )
        self._scheduler = scheduler.Scheduler(
            context,
            get_capability=lambda: capability,
            running={
                **{kind: scheduler.RunningJobs() for kind in scheduler.KINDS},
                'build': self.running,
            },
            begin=self._begin,
        )

    def _begin(self, job):
        build = self.database.get_build(job.build_id)
        self.running.add(job.id, Running(build))
        self.begun.append(job.id)

    def claim(self):
        """What it claims now."""
        before = len(self.begun)
        self._scheduler.claim_all()
        return self.begun[before:]

    def end(self, id):
        """End one of its builds."""
        [found] = [each for each in self.running.all() if each.build_id == id]
        finish(self.database, found.build)
        self.running.remove(id, found)


@pytest.fixture
def conductor(database, clock, monkeypatch):
    monkeypatch.setattr(disk_space, 'is_enough_for_another', lambda *_: True)
    monkeypatch.setattr(transaction, 'utcnow', lambda: clock.time)
    return lambda **options: Conductor(database, **options)


def queue(database, *ids, driver='guestfs', **others):
    for id in ids:
        database.create_build(values(id=id, driver=driver, **others))


def test_a_driver_at_its_limit_leaves_the_slots_to_others(database, conductor):
    queue(database, 'b1', 'b2', 'b3', driver='bootstrap', priority=9)
    queue(database, 'g1', 'g2', 'g3')
    one = conductor(slots=3, driver_limits={'bootstrap': 1})
    assert one.claim() == ['b1', 'g1', 'g2']
    one.end('g1')
    assert one.claim() == ['g3']
    one.end('b1')
    assert one.claim() == ['b2']
    one.end('g2')
    # A slot is free, and nobody may have it.
    assert one.claim() == []
    one.end('b2')
    assert one.claim() == ['b3']


def test_a_project_at_its_limit_does_not_hold_up_others(database, conductor):
    full = [f'a{number}' for number in range(20)]
    queue(database, *full, project_id='a', priority=9)
    queue(database, 'b1', 'b2', project_id='b')
    database.set_quota('b', 'running', -1)
    one = conductor(slots=4, running_limit=1)
    assert one.claim() == ['a0', 'b1', 'b2']
    one.end('a0')
    assert one.claim() == ['a1']


def test_a_lane_that_others_empty_does_not_hold_up_others(
    database, conductor, monkeypatch
):
    queue(database, 'a1', project_id='a', priority=9)
    queue(database, 'b1', project_id='b')
    look = database.lanes

    def lanes(*args, **kwargs):
        found = look(*args, **kwargs)
        # Between the look and the claim.
        database.claim('c2', job='a1')
        return found

    monkeypatch.setattr(database, 'lanes', lanes)
    assert conductor(slots=1).claim() == ['b1']


@pytest.mark.parametrize('kept_busy_by', ['a stream', 'a longer queue'])
def test_low_priorities_are_served_in_bounded_time(
    database, conductor, clock, kept_busy_by
):
    """Though somebody of high priority always waits.

    A point of priority is worth ``AGING`` seconds. Where the queue of the
    others becomes longer and longer their first one has waited, too: here
    half of the time.
    """
    priority = 5
    each_time = 1 if kept_busy_by == 'a stream' else 2
    one = conductor(slots=1)
    queue(database, 'low', project_id='low')
    begun = clock.time
    for step in range(100):
        queue(
            database,
            *(f'{step}-{number}' for number in range(each_time)),
            priority=priority,
            project_id='high',
        )
        [claimed] = one.claim()
        if claimed == 'low':
            break
        clock.forward(AGING / 2)
        one.end(claimed)
    waited = (clock.time - begun).total_seconds()
    assert priority * AGING <= waited <= (priority * each_time + 2) * AGING


def test_a_project_that_always_runs_something_is_served(
    database, conductor, clock
):
    """Though projects that run nothing come first."""
    one = conductor(slots=2)
    queue(database, 'a1', 'a2', project_id='a')
    queue(database, 'b', project_id='b')
    assert one.claim() == ['a1', 'b']
    one.end('b')
    for step in range(10):
        queue(database, f's{step}', project_id=f'p{step}')
        [claimed] = one.claim()
        if claimed == 'a2':
            break
        clock.forward(AGING / 2)
        one.end(claimed)
    assert 1 < step < 4
