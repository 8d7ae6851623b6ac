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
"""Builds as a queue."""

import dataclasses
import datetime

import pytest
import sqlalchemy as sa

from imagebuild.common import placement
from imagebuild.common import waiting
from imagebuild.db import models
from tests.contract.database import claim
from tests.contract.database import claimable
from tests.contract.database import finish
from tests.contract.database import insert
from tests.contract.database import start
from tests.contract.database import values


def execute(database, statement):
    database._write(lambda session: session.execute(statement))


class QueueContract:
    def test_claim(self, database, clock):
        queued = database.create_build(values())
        build = claim(database, queued.id, 'c1')
        assert build.status == 'building'
        assert (build.conductor, build.attempt) == ('c1', 1)
        assert build.claimed_at == build.started_at == clock.time
        assert database.get_build(build.id) == build
        assert claim(database, queued.id, 'c2') is None
        assert claim(database, queued.id, 'c1') is None
        assert claim(database, 'no-such', 'c1') is None
        [event] = database.list_events(build.id)[1:]
        assert (event.kind, event.message) == (
            'conductor',
            'attempt 1 by conductor c1',
        )

    def test_only_what_can_be_built(self, database):
        for name, others in {
            'plain': {},
            'driver': {'driver': 'guestfs'},
            'architecture': {'architecture': 'aarch64'},
            'any architecture': {'architecture': ''},
            'os': {'os': 'rocky-9'},
            'base image': {'os': ''},
        }.items():
            database.create_build(values(id=name, **others))
        for wanted, found in [
            ({}, {'plain', 'any architecture', 'os', 'base image'}),
            (
                {'operating_systems': ['debian-12']},
                {'plain', 'any architecture', 'base image'},
            ),
            ({'operating_systems': ['x']}, {'base image'}),
            ({'drivers': ['guestfs', 'x']}, {'driver'}),
            ({'drivers': []}, set()),
            (
                {'architecture': 'aarch64'},
                {'architecture', 'any architecture'},
            ),
        ]:
            assert set(claimable(database, **wanted)) == found

    def test_only_what_is_free(self, database):
        leader = database.create_build(values(content_key='k'))
        follower = database.create_build(values(content_key='k'))
        start(database)
        database.request_cancel(database.create_build(values()).id)
        database.delete_build(database.create_build(values()).id)
        assert claimable(database) == [leader.id]
        assert claim(database, follower.id, 'c1') is None

    def test_priorities_go_before_age(self, database):
        for name, priority in [
            ('low', -1),
            ('old', 0),
            ('new', 0),
            ('high', 5),
        ]:
            database.create_build(values(id=name, priority=priority))
        assert claimable(database) == ['high', 'old', 'new', 'low']
        assert claimable(database, limit=2) == ['high', 'old']

    def test_projects_take_turns(self, database):
        for number in range(3):
            database.create_build(values(id=f'a{number}', project_id='a'))
        for number in range(2):
            database.create_build(values(id=f'b{number}', project_id='b'))
        assert claimable(database) == ['a0', 'b0', 'a1', 'b1', 'a2']
        claim(database, 'a0', 'c1')
        assert claimable(database) == ['b0', 'a1', 'b1', 'a2']
        start(database, project_id='a')
        assert claimable(database) == ['b0', 'b1', 'a1', 'a2']

    def test_quota_of_running_builds(self, database):
        for number in range(3):
            database.create_build(values(id=f'a{number}', project_id='a'))
        database.create_build(values(id='b0', project_id='b'))
        assert claimable(database, running_limit=0) == []
        assert claimable(database, running_limit=1) == ['a0', 'b0']
        first = claim(database, 'a0', 'c1', running_limit=1)
        assert claim(database, 'a1', 'c1', running_limit=1) is None
        assert claimable(database, running_limit=1) == ['b0']
        database.set_quota('a', 'running', 2)
        assert claimable(database, running_limit=1) == ['b0', 'a1']
        assert claim(database, 'a1', 'c1', running_limit=1)
        assert claim(database, 'a2', 'c1', running_limit=1) is None
        finish(database, first)
        assert claim(database, 'a2', 'c1', running_limit=1)
        database.set_quota('b', 'running', -1)
        assert claim(database, 'b0', 'c1', running_limit=0)

    def test_a_row_for_each_lane(self, database, clock):
        begun = clock.time
        for priority in (0, 0, 0, 1):
            database.create_build(values(priority=priority))
        database.create_build(values(os='rocky-9'))
        start(database)
        lanes = database.lanes(['build'])
        assert {(lane.priority, lane.needs['os']) for lane in lanes} == {
            (0, 'debian-12'),
            (1, 'debian-12'),
            (0, 'rocky-9'),
        }
        assert {(lane.running, lane.limit) for lane in lanes} == {(1, -1)}
        assert min(lane.since for lane in lanes) > begun
        assert database.lanes(['upload']) == []
        claimed = claimable(database)
        assert len(claimed) == 5
        for id in claimed:
            finish(database, claim(database, id, 'c1'))
        assert database.lanes(['build']) == []

    def test_lanes_are_gone_when_nothing_waits_in_them(self, database, clock):
        for name in ('rocky-9', 'debian-12'):
            finish(database, start(database, os=name))
        queued = database.create_build(values())

        def lanes():
            query = sa.select(models.Lane.needs)
            found = database._read(
                lambda session: session.scalars(query).all()
            )
            return [needs['os'] for needs in found]

        long_ago = clock() - datetime.timedelta(days=1)
        database.purge(long_ago)
        assert lanes() == ['debian-12']
        build = claim(database, queued.id, 'c1')
        database.purge(long_ago)
        assert lanes() == ['debian-12']
        finish(database, build)
        database.purge(long_ago)
        assert lanes() == []
        # What has ended may go on, as an upload that failed.
        assert len(database.list_builds()) == 3

    def test_the_head_of_a_lane(self, database):
        ids = [database.create_build(values()).id for _ in range(3)]
        [lane] = database.lanes(['build'])
        first = database.claim('c1', lane=lane.id, exclude=ids[:1])
        assert (first.id, first.build_id, first.kind) == (
            ids[1],
            ids[1],
            'build',
        )
        assert (first.state, first.attempt) == ('running', 1)
        assert database.claim('c2', lane=lane.id).id == ids[0]
        assert database.claim('c2', lane=lane.id).id == ids[2]
        assert database.claim('c2', lane=lane.id) is None
        assert database.claim('c2', lane='no-such') is None

    def test_low_priorities_gain_with_time(self, database, clock):
        database.create_build(values(id='low'))
        clock.forward(3600)
        database.create_build(values(id='high', priority=5))
        assert claimable(database, aging=10_000_000_000_000) == ['high', 'low']
        assert claimable(database, aging=600) == ['low', 'high']

    def test_who_is_told_of_a_build(self, database):
        for name in ('busy', 'other', 'drains', 'limited', 'able', 'free'):
            conductor = placement.Capability(
                name=name,
                drivers=('guestfs',) if name == 'other' else ('fake',),
                architectures=('x86_64',),
                slots=1 if name == 'busy' else 2,
                driver_limits={'fake': 1} if name == 'limited' else {},
            )
            database.register_conductor(conductor.to_dict())
            if name in ('busy', 'limited', 'able'):
                start(database, conductor=name)
        database.heartbeat('drains', running=0, status='draining')
        queued = database.create_build(values())

        def told():
            return database.conductors_for(queued.id, alive_within=60)

        # Who has nothing to do comes first.
        assert told() == ['free', 'able']
        database.unregister('free')
        claim(database, database.create_build(values()).id, 'able')
        assert told() == []
        assert database.conductors_for('no-such', alive_within=60) == []

    def test_jobs_of_a_conductor(self, database, clock):
        build = start(database)
        [job] = database.jobs_of('c1', 'build')
        assert job.id == build.id and job.state == 'running'
        assert database.jobs_of('c1', 'upload') == []
        assert database.jobs_of('c2', 'build') == []
        assert database.orphaned_jobs('build', 30) == [job]
        finish(database, build)
        assert database.jobs_of('c1', 'build') == []
        assert database.orphaned_jobs('build', 30) == []

    def test_builds_of_the_release_before(self, database):
        """It made, claimed and ended builds without a job."""
        build = database.create_build(values())
        follower = database.create_build(values(content_key=build.content_key))
        ended = database.create_build(values())
        running = database.create_build(values())
        execute(
            database, sa.delete(models.Job).where(models.Job.id == build.id)
        )
        for id, status in ((ended.id, 'error'), (running.id, 'building')):
            execute(
                database,
                sa.update(models.Build)
                .where(models.Build.id == id)
                .values(status=status),
            )
        assert database.adopt_builds() == 2
        assert database.adopt_builds() == 0
        assert claimable(database) == [build.id]
        assert database.get_build(running.id).attempt == 0
        finish(database, claim(database, build.id, 'c1'))
        assert database.get_build(follower.id).status == 'active'
        assert database.adopt_builds() == 0

    def test_uploads_of_the_release_before(self, database):
        """It wrote no project into their rows."""
        build = database.create_build(values(project_id='p7'))
        for id in ('u1', 'u2'):
            row = models.Upload(id=id, build_id=build.id, disk_format='raw')
            insert(database, row)
        assert database.list_uploads(project_id='p7') == []
        assert database.adopt_uploads() == 2
        assert database.adopt_uploads() == 0
        found = database.list_uploads(project_id='p7')
        assert [each.id for each in found] == ['u1', 'u2']
        assert found[0].project_id == 'p7'

    def test_requeue(self, database):
        build = start(database)
        assert database.update_build(
            build.id,
            {
                'status': 'uploading',
                'progress_done': 3,
                'progress_step': 'x',
                'phases': {'current': 'upload'},
                'boot_test': {'passed': True},
            },
        )
        ours = {'conductor': 'c1', 'attempt': 1, 'reason': 'It drains.'}
        assert not database.requeue_build(build.id, **{**ours, 'attempt': 2})
        assert not database.requeue_build(
            build.id, **{**ours, 'conductor': 'c2'}
        )
        assert not database.requeue_build('no-such', **ours)
        assert database.requeue_build(build.id, **ours)
        assert not database.requeue_build(build.id, **ours)
        again = database.get_build(build.id)
        assert again.status == 'queued'
        assert again.status_reason == 'It drains.'
        assert (again.conductor, again.claimed_at) == (None, None)
        assert (again.progress_done, again.progress_step) == (0, '')
        assert again.phases is None
        assert again.boot_test is None
        second = claim(database, build.id, 'c2')
        assert second.attempt == 2
        assert second.started_at == build.started_at
        assert second.claimed_at > build.claimed_at
        # The first conductor comes too late with whatever it does.
        assert finish(database, build) is None
        assert not database.update_build(
            build.id, {'progress_done': 9}, conductor='c1', attempt=1
        )
        assert finish(database, second).status == 'active'

    def test_attempts_that_do_not_count(self, database):
        build = start(database)
        ours = {'conductor': 'c1', 'reason': 'x'}
        assert (build.attempt, build.requeues, build.failures) == (1, 0, 1)
        database.requeue_build(build.id, attempt=1, counts=False, **ours)
        build = claim(database, build.id, 'c1')
        assert (build.attempt, build.requeues, build.failures) == (2, 1, 1)
        # The number of the attempt is the fence, whatever counts.
        assert not database.requeue_build(build.id, attempt=1, **ours)
        database.requeue_build(build.id, attempt=2, **ours)
        build = claim(database, build.id, 'c1')
        assert (build.attempt, build.requeues, build.failures) == (3, 1, 2)

    def test_followers_stay_when_their_leader_is_requeued(self, database):
        leader = start(database, content_key='k')
        follower = database.create_build(values(content_key='k'))
        database.requeue_build(
            leader.id, conductor='c1', attempt=1, reason='x'
        )
        assert claimable(database) == [leader.id]
        assert database.get_build(follower.id).leader_id == leader.id

    def test_requeued_when_to_be_cancelled(self, database):
        build = start(database)
        database.request_cancel(build.id)
        assert database.requeue_build(
            build.id, conductor='c1', attempt=1, reason='x'
        )
        assert database.get_build(build.id).status == 'cancelled'

    def test_builds_of_a_conductor(self, database):
        one = start(database)
        two = start(database)
        database.update_build(two.id, {'status': 'uploading'})
        three = start(database)
        database.delete_build(three.id)
        start(database, conductor='c2')
        finish(database, start(database))
        held = database.builds_of('c1')
        assert [b.id for b in held] == [one.id, two.id, three.id]
        assert database.builds_of('c3') == []


class ConductorContract:
    WHAT = {
        'name': 'c1',
        'drivers': ['fake'],
        'operating_systems': ['debian-12'],
        'architecture': 'x86_64',
        'slots': 2,
        'version': '1.0',
    }

    def test_register(self, database, clock):
        conductor = database.register_conductor(self.WHAT)
        assert conductor.drivers == ('fake',)
        assert conductor.operating_systems == ('debian-12',)
        assert (conductor.status, conductor.running) == ('up', 0)
        assert conductor.heartbeat_at == conductor.started_at == clock.time
        assert database.list_conductors() == [conductor]
        # Of a release that does not know it.
        assert conductor.isolations == {}
        can = {'appliance': (), 'sandbox': ('root rights are needed',)}
        again = database.register_conductor(
            {**self.WHAT, 'slots': 5, 'isolations': can}
        )
        assert again.isolations == {
            'appliance': [],
            'sandbox': ['root rights are needed'],
        }
        assert database.list_conductors() == [again]
        assert again.slots == 5
        assert again.started_at > conductor.started_at

    def test_what_it_offers(self, database):
        offered = placement.Capability(
            name='c1',
            drivers=('fake',),
            architectures=('x86_64', 'i686'),
            isolations={'appliance': ()},
            destinations=('east',),
            accelerator='kvm',
            free_disk=2**40,
            free_memory=2**33,
            base_files={'/b': 'sha256:b'},
            cached_bases=('sha256:b',),
            cached_layers={'sha256:b': 3},
            slots=2,
        )
        database.register_conductor({**offered.to_dict(), 'version': '1'})
        [found] = database.list_conductors()
        assert found.capability == offered
        assert (found.version, found.architecture) == ('1', 'x86_64')
        # Changes with the heartbeat, and nothing else does.
        changed = dataclasses.replace(offered, free_disk=5, slots=7)
        database.heartbeat('c1', running=1, capability=changed)
        [now] = database.list_conductors()
        assert now.capability == changed
        assert (now.slots, now.started_at) == (7, found.started_at)
        database.heartbeat('c1', running=1)
        assert database.list_conductors()[0].capability == changed

    def test_a_conductor_of_the_release_before(self, database):
        """It writes the columns that it knows, and leaves the new one."""
        database.register_conductor(
            {'name': 'c1', 'drivers': ['fake'], 'architectures': ['x86_64']}
        )
        execute(
            database,
            sa.update(models.Conductor).values(
                drivers=['bootstrap'],
                operating_systems=['debian-12'],
                architecture='aarch64',
            ),
        )
        [found] = database.list_conductors()
        assert found.capability.drivers == ('bootstrap',)
        assert found.capability.operating_systems == ('debian-12',)
        assert found.capability.architectures == ('aarch64',)
        execute(
            database,
            sa.update(models.Conductor).values(capability=sa.null()),
        )
        assert database.list_conductors() == [
            dataclasses.replace(
                found,
                capability=placement.Capability(
                    name='c1',
                    drivers=('bootstrap',),
                    operating_systems=('debian-12',),
                    architectures=('aarch64',),
                ),
            )
        ]

    def test_who_waits_for_a_conductor(self, database, clock):
        first, second = (
            database.create_build(values(content_key=key)) for key in 'ab'
        )
        [lane] = database.lanes(['build'])
        found = database.queued_in_lane(lane.id)
        assert [each.id for each in found] == [first.id, second.id]
        assert {(each.reason, each.since) for each in found} == {('', None)}
        assert database.noted_as_waiting() == []
        reason = waiting.waits_for(['c9'])
        assert database.note_waiting(first.id, reason)
        noted = clock.time
        clock.forward(60)
        other = waiting.waits_for([])
        assert database.note_waiting(first.id, other, keep_time=True)
        [still] = database.noted_as_waiting()
        assert (still.id, still.lane) == (first.id, lane.id)
        assert (still.reason, still.since) == (other, noted)
        assert database.note_waiting(first.id, '')
        assert database.noted_as_waiting() == []

    def test_one_that_nobody_can_build_ends(self, database):
        leader = database.create_build(values(content_key='a'))
        follower = database.create_build(values(content_key='a'))
        assert follower.leader_id == leader.id
        assert database.end_queued(follower.id, 'x') is None
        ended = database.end_queued(leader.id, 'nobody was there')
        assert (ended.status, ended.fault) == ('error', 'service')
        assert ended.status_reason == 'nobody was there'
        # The other one goes on by itself.
        assert database.get_build(follower.id).leader_id is None
        assert claimable(database) == [follower.id]
        assert claim(database, follower.id, 'c1')
        assert database.end_queued(follower.id, 'x') is None
        assert not database.note_waiting(follower.id, 'x')
        assert database.end_queued('no-such', 'x') is None

    def test_heartbeat(self, database, clock):
        assert not database.heartbeat('c1', running=0)
        database.register_conductor(self.WHAT)
        clock.forward(60)
        assert database.list_conductors(30) == []
        [dead] = database.dead_conductors(30)
        assert dead.name == 'c1'
        assert database.heartbeat('c1', running=2, status='draining')
        assert database.dead_conductors(30) == []
        [alive] = database.list_conductors(30)
        assert (alive.running, alive.status) == (2, 'draining')
        assert database.heartbeat('c1', running=1)
        assert database.list_conductors()[0].status == 'draining'

    def test_one_that_is_down_is_not_dead(self, database, clock):
        database.register_conductor(self.WHAT)
        database.unregister('c1')
        clock.forward(60)
        assert database.dead_conductors(30) == []
        assert database.list_conductors(90) == []
        assert database.list_conductors()[0].status == 'down'
        assert not database.heartbeat('c1', running=0)
        assert database.register_conductor(self.WHAT).status == 'up'

    @pytest.mark.parametrize('status', ['building', 'uploading', 'deleting'])
    def test_orphans(self, database, clock, status):
        build = start(database)
        if status == 'deleting':
            database.delete_build(build.id)
        else:
            database.update_build(build.id, {'status': status})
        # Nobody knows that conductor.
        assert [b.id for b in database.orphans(30)] == [build.id]
        database.register_conductor(self.WHAT)
        assert database.orphans(30) == []
        clock.forward(60)
        assert [b.id for b in database.orphans(30)] == [build.id]
        assert database.heartbeat('c1', running=1)
        assert database.orphans(30) == []
        database.unregister('c1')
        assert [b.id for b in database.orphans(30)] == [build.id]
        finish(database, build, 'cancelled')
        assert database.orphans(30) == []
