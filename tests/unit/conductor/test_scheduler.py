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
"""How a conductor claims."""

import threading
from unittest import mock

import pytest

from imagebuild import exception
from imagebuild.common import placement
from imagebuild.conductor import disk_space
from imagebuild.conductor import scheduler
from tests.unit.conductor import test_lane_order
from tests.unit.conductor import test_parts


class Queue:
    """The database, where others may be quicker.

    :ivar looks: how often it was asked what there is.
    """

    def __init__(self, waiting, won):
        self.waiting = list(waiting)
        self.won = won
        self.looks = 0

    def release_waiting(self):
        return 0

    def lanes(self, kinds, **_limit):
        assert kinds == ['build']
        self.looks += 1
        return [test_lane_order.make(id='a lane')] if self.waiting else []

    def claim(self, _name, *, lane, exclude, **_limit):
        assert lane == 'a lane'
        for build_id in self.waiting:
            if build_id in exclude:
                continue
            self.waiting.remove(build_id)
            if self.won(build_id):
                return mock.Mock(id=build_id)
        return None


@pytest.fixture
def claim(monkeypatch):
    def run(queue, slots=2, has_space=lambda: True, declined=()):
        running = scheduler.RunningJobs()
        begun = []

        def begin(job):
            running.add(job.id, mock.Mock())
            begun.append(job.id)

        monkeypatch.setattr(
            disk_space, 'is_enough_for_another', lambda *_: has_space()
        )
        context = test_parts.make_context(queue)
        for build_id in declined:
            context.declined.add(build_id, 0)
        scheduler.Scheduler(
            context,
            get_capability=lambda: placement.Capability(
                drivers=('fake',),
                operating_systems=(),
                architectures=('x86_64',),
                cached_bases=('here',),
                slots=slots,
            ),
            running={
                'build': running,
                'upload': scheduler.RunningJobs(),
                'delete': scheduler.RunningJobs(),
                'validate': scheduler.RunningJobs(),
            },
            begin=begin,
        ).claim_all()
        return begun

    return run


def test_nothing_is_claimed_without_room(claim, caplog):
    """So no attempt is used up, and another conductor can have it."""
    queue = Queue('abcde', lambda _: True)
    assert claim(queue, has_space=lambda: False) == []
    assert queue.looks == 0
    assert caplog.text.count('The disk has no room for another build') == 1
    left = iter([True, False])
    assert claim(queue, has_space=lambda: next(left, False)) == ['a']
    assert queue.waiting == ['b', 'c', 'd', 'e']


def test_no_more_than_there_are_places(claim):
    queue = Queue('abcde', lambda _: True)
    assert claim(queue) == ['a', 'b']
    assert queue.waiting == ['c', 'd', 'e']


def test_others_were_quicker(claim):
    queue = Queue('abc', lambda name: name == 'c')
    assert claim(queue) == ['c']
    # Nothing is left in the lane, and it does not look for ever.
    queue = Queue('abc', lambda _: False)
    assert claim(queue) == []
    assert queue.looks == 1


def test_nothing_waits(claim):
    queue = Queue('', lambda _: True)
    assert claim(queue) == []
    assert queue.looks == 1


def test_what_it_cannot_build_is_left(claim, monkeypatch):
    queue = Queue('a', lambda _: True)
    lanes = [
        test_lane_order.make(id='a lane', needs=needs)
        for needs in (
            {'driver': 'other'},
            {'driver': 'fake', 'architecture': 'aarch64'},
            {'what is new': 'x'},
        )
    ]
    monkeypatch.setattr(queue, 'lanes', lambda *_, **_more: lanes)
    assert claim(queue) == []


def test_what_it_has_the_base_of_comes_first(claim, monkeypatch):
    queue = Queue('', lambda _: True)
    lanes = [
        test_lane_order.make(
            id=base,
            since=test_lane_order.ago(waited),
            needs={'driver': 'fake', 'base': base},
        )
        for base, waited in (('there', 60), ('here', 1))
    ]
    monkeypatch.setattr(queue, 'lanes', lambda *_, **_more: list(lanes))

    def take(_name, *, lane, **_more):
        [found] = [each for each in lanes if each.id == lane]
        lanes.remove(found)
        return mock.Mock(id=lane, build_id=lane)

    monkeypatch.setattr(queue, 'claim', take)
    assert claim(queue) == ['here', 'there']


def test_declined_builds_are_left_to_others(claim):
    waiting = [f'd{number}' for number in range(30)]
    queue = Queue([*waiting, 'a', 'b'], lambda _id: True)
    assert claim(queue, declined=set(waiting)) == ['a', 'b']
    queue = Queue(waiting, lambda _id: True)
    assert claim(queue, declined=set(waiting)) == []


# -- casts ------------------------------------------------------------------


class Told:
    """A scheduler that was told of a job, and what came of it."""

    def __init__(self, monkeypatch, state, *, slots=1, turn=1):
        monkeypatch.setattr(scheduler, '_TURN', 0.01)
        monkeypatch.setattr(scheduler, '_SPREAD', 0.01)
        self.database = mock.Mock()
        self.database.get_job.side_effect = state
        kept = scheduler.Scheduler(
            test_parts.make_context(self.database),
            get_capability=lambda: placement.Capability(
                drivers=('fake',), slots=slots
            ),
            running={
                kind: scheduler.RunningJobs() for kind in scheduler.KINDS
            },
            begin=mock.Mock(),
        )
        woken = threading.Event()
        monkeypatch.setattr(kept._task, 'wake', woken.set)
        kept.call('j1', turn)
        for each in threading.enumerate():
            if each.name == 'scheduler-turn':
                each.join(60)
        self.looks = woken.is_set()


def job(state):
    return [mock.Mock(state=state)]


def test_the_first_looks_at_once(monkeypatch):
    told = Told(monkeypatch, job('queued'), turn=0)
    assert told.looks and not told.database.get_job.called


@pytest.mark.parametrize('turn', [1, 2, None])
def test_the_others_look_if_nobody_has_taken_it(monkeypatch, turn):
    assert Told(monkeypatch, job('queued'), turn=turn).looks
    assert not Told(monkeypatch, job('running'), turn=turn).looks
    gone = exception.NotFound(what='job', id='j1')
    assert not Told(monkeypatch, gone, turn=turn).looks
    # It looks by itself when the database is there again.
    away = exception.DatabaseUnavailable(reason='away')
    assert not Told(monkeypatch, away, turn=turn).looks


def test_who_has_no_slot_asks_nothing(monkeypatch):
    told = Told(monkeypatch, job('queued'), slots=0)
    assert not told.looks and not told.database.get_job.called
