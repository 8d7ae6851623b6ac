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
import dataclasses
import datetime
import pathlib
import threading
import time
import types
from unittest import mock

import pytest

from imagebuild import db
from imagebuild import exception
from imagebuild.common import phases
from imagebuild.common import placement
from imagebuild.conductor import cancellation
from imagebuild.conductor import claims
from imagebuild.conductor import disk_space
from imagebuild.conductor import event_recorder
from imagebuild.conductor import heartbeat
from imagebuild.conductor import retry_policy
from imagebuild.conductor import scheduler
from tests.unit.conductor import test_lane_order

AWAY = exception.DatabaseUnavailable(reason='it restarts')
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5)


def make_build(**values):
    known = {field.name: None for field in dataclasses.fields(db.Build)}
    return db.Build(
        **{
            **known,
            'id': 'b1',
            'status': 'building',
            'conductor': 'c1',
            'attempt': 1,
            'requeues': 0,
            'cancel_requested': False,
            'created_at': NOW,
            'images': (),
            **values,
        }
    )


@pytest.fixture
def database():
    made = mock.create_autospec(db.Database, instance=True)
    made.get_build.return_value = make_build()
    made.update_build.return_value = True
    return made


@pytest.fixture
def shutting_down():
    return threading.Event()


@pytest.fixture
def claim(database, shutting_down):
    return claims.Claim(
        database, make_build(), retry_policy.RetryPolicy(shutting_down)
    )


# -- claims -----------------------------------------------------------------


def test_changes_are_fenced(claim, database):
    claim.update({'progress_done': 1})
    database.update_build.assert_called_once_with(
        'b1', {'progress_done': 1}, conductor='c1', attempt=1
    )


@pytest.mark.parametrize(
    'now, error',
    [
        ({'conductor': 'c2'}, claims.ClaimLost),
        ({'attempt': 2}, claims.ClaimLost),
        ({'status': 'queued', 'conductor': None}, claims.ClaimLost),
        ({'status': 'active'}, claims.ClaimLost),
        ({'cancel_requested': True}, claims.Cancelled),
        ({'status': 'deleting'}, claims.Cancelled),
    ],
)
def test_a_look_finds_out(claim, database, now, error):
    database.update_build.return_value = False
    database.get_build.return_value = make_build(**now)
    with pytest.raises(error):
        claim.look()
    with pytest.raises(error):
        claim.update({'progress_done': 1})


def test_a_deleted_build_is_lost(claim, database):
    database.get_build.side_effect = exception.NotFound(what='build', id='b1')
    with pytest.raises(claims.ClaimLost, match='deleted'):
        claim.look()


def test_the_end_waits_for_the_database(claim, database, monkeypatch):
    monkeypatch.setattr(threading.Event, 'wait', lambda *_, **__: None)
    database.finish_build.side_effect = [AWAY, AWAY, make_build()]
    assert claim.finish('active', image={'image_id': 'i1'}).id == 'b1'


def test_nothing_waits_while_shutting_down(claim, database, shutting_down):
    shutting_down.set()
    database.requeue_build.side_effect = AWAY
    with pytest.raises(exception.DatabaseUnavailable):
        claim.release('we stop')


def test_an_end_that_is_not_ours(claim, database):
    database.finish_build.return_value = None
    with pytest.raises(claims.ClaimLost):
        claim.finish('active', image={'image_id': 'i1'})


@pytest.mark.parametrize(
    'error, fault, again',
    [
        (exception.EnvironmentFault('x'), 'service', True),
        (exception.InvalidInput('x'), 'user', False),
    ],
)
def test_failures_of_our_errors(error, fault, again):
    failed = claims.AttemptFailed.from_error(error)
    assert (failed.fault, failed.retryable) == (fault, again)


def test_the_first_reason_to_stop_counts(claim):
    control = cancellation.CancellationToken(claim)
    control.check()
    control.stop(claims.Requeued('we stop'))
    control.stop(claims.Cancelled('too late'))
    with pytest.raises(claims.Requeued):
        control.pause(60)


# -- recorder ----------------------------------------------------------------

STEP = {
    'event': 'step_finished',
    'number': 1,
    'path': 'validators[0]',
    'validator': 'package',
    'description': 'install nginx',
    'result': 'changed',
    'seconds': 1.5,
    'message': '',
    'output': 'done',
}


@pytest.fixture
def recorder(database, claim):
    return event_recorder.EventRecorder(database, claim, max_log_size=1000)


def text_of(database):
    return ''.join(call.args[1] for call in database.append_log.call_args_list)


def test_no_step_is_lost_when_one_comes_while_a_full_queue_is_written(
    claim, database, monkeypatch
):
    monkeypatch.setattr(event_recorder, 'MOST_STEPS', 2)
    recorder = event_recorder.EventRecorder(database, claim, max_log_size=1000)
    written = []

    def add_step(_build_id, step):
        written.append(step['number'])
        if step['number'] == 1:
            recorder.event({**STEP, 'number': 3})

    database.add_step.side_effect = add_step
    recorder.event({**STEP, 'number': 1})
    recorder.event({**STEP, 'number': 2})
    recorder.flush()
    assert written == [1, 2, 3]


BOOTED = {
    'event': 'boot_test',
    'passed': False,
    'seconds': 2.5,
    'reason': 'the kernel panicked',
    'findings': [
        {'what': 'port 22', 'holds': False, 'message': 'no', 'seconds': 2}
    ],
    'telling': ['Kernel panic'],
    'of a later release': 1,
}


def test_what_came_of_a_boot_test(database, claim):
    counted = []
    recorder = event_recorder.EventRecorder(
        database,
        claim,
        max_log_size=1000,
        on_boot_test=lambda *found: counted.append(found),
    )
    recorder.event({**BOOTED, 'telling': ['x' * 5000] * 300})
    recorder.flush()
    kept = database.update_build.call_args.args[1]['boot_test']
    assert set(kept) == set(BOOTED) - {'event', 'of a later release'}
    assert kept['findings'] == BOOTED['findings']
    assert len(kept['telling']) == 200
    assert len(kept['telling'][0]) == 4000
    assert counted == [(False, 2.5)]
    assert text_of(database) == '    it boots not as expected (2.5 s)\n'


def test_events_become_log_steps_and_progress(recorder, database):
    recorder.event({'event': 'plan', 'total': 2})
    recorder.event({**STEP, 'event': 'step_started', 'total': 2, 'number': 1})
    recorder.event({'event': 'output', 'stream': 'stdout', 'line': 'hello'})
    recorder.event(STEP)
    recorder.flush()
    assert text_of(database) == (
        '2 steps\n[1/2] install nginx\n    hello\n    changed (1.5 s)\n'
    )
    [call] = database.add_step.call_args_list
    assert call.args[1]['attempt'] == 1 and call.args[1]['output'] == 'done'
    values = database.update_build.call_args.args[1]
    assert values == {
        'progress_total': 2,
        'progress_done': 1,
        'progress_step': 'install nginx',
    }


def test_output_of_many_steps_is_left_out(recorder, database, monkeypatch):
    monkeypatch.setattr(event_recorder, 'MOST_OUTPUT', 9000)
    for number in range(1, 6):
        recorder.event({**STEP, 'number': number, 'output': 'x' * 5000})
    recorder.event({**STEP, 'number': 6, 'output': 'it is short'})
    recorder.event({**STEP, 'number': 7, 'output': ''})
    # The one that is looked for.
    failed = {**STEP, 'number': 8, 'result': 'failed', 'output': 'y' * 5000}
    recorder.event(failed)
    recorder.flush()
    kept = [
        call.args[1]['output'] for call in database.add_step.call_args_list
    ]
    assert kept[:2] == ['x' * 4000] * 2
    assert set(kept[2:5]) == {
        '(left out: the steps of an attempt keep 1.0 MiB of output; the log '
        'has more)'
    }
    assert kept[5:] == ['it is short', '', 'y' * 4000]


@pytest.mark.parametrize(
    'event',
    [
        {'event': 'unknown'},
        {'event': 'plan'},
        {'event': 'plan', 'total': 'many'},
        {'event': 'step_started', 'number': None},
        {'event': 'output'},
        {'event': 'progress', 'done': 1, 'total': {}},
        {'event': 'phase'},
        {'event': 'phase', 'phase': '***'},
        {'event': 'phase', 'phase': 'upload', 'part': 1, 'parts': 'all'},
        {'event': 'step_finished', 'seconds': 'long'},
        {'event': 'boot_test', 'passed': True},
        {**BOOTED, 'findings': [1]},
        {**BOOTED, 'seconds': 'long'},
    ],
)
def test_events_that_make_no_sense_are_left_out(recorder, database, event):
    recorder.event(event)
    recorder.flush()
    database.add_step.assert_not_called()
    database.update_build.assert_not_called()


def phases_of(database):
    return phases.Phases.from_dict(
        database.update_build.call_args.args[1]['phases']
    )


def test_phases_and_bytes(recorder, database, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    recorder.expect({'base_image': 60.0})
    recorder.event({'event': 'phase', 'phase': 'base_image', 'what': 'get it'})
    recorder.flush()
    assert database.update_build.call_args.args[1]['progress_step'] == 'get it'
    for done in (0, 2**20, 2**21):
        now[0] += 6
        event = {'event': 'progress', 'done': done, 'total': 2**22}
        recorder.event({**event, 'what': 'download'})
    recorder.flush()
    values = database.update_build.call_args.args[1]
    assert values['progress_step'] == 'download'
    found = phases_of(database)
    assert (found.bytes_done, found.bytes_total) == (2**21, 2**22)
    assert found.expected == {'base_image': 60.0}
    # Not every event is a line of the log.
    assert text_of(database) == '    download: 1.0 MiB of 4.0 MiB\n'
    recorder.event({'event': 'phase', 'phase': 'appliance', 'what': 'start'})
    recorder.flush()
    found = phases_of(database)
    assert found.current == 'appliance' and found.bytes_done == 0
    assert found.spent == {'base_image': 18.0}


def test_the_last_phase_ends_with_the_build(recorder, database, monkeypatch):
    recorder.event(
        {'event': 'phase', 'phase': 'upload', 'part': 2, 'parts': 3}
    )
    # The job says again what it does, but not which upload it is.
    recorder.event({'event': 'phase', 'phase': 'upload', 'what': 'to x'})
    recorder.flush()
    found = phases_of(database)
    assert (found.part, found.parts) == (2, 3)
    recorder.complete()
    recorder.flush()
    found = phases_of(database)
    assert found.current == '' and list(found.spent) == ['upload']
    assert database.update_build.call_args.args[1]['progress_step'] == ''


def test_a_job_that_cannot_count(recorder, database):
    recorder.event({'event': 'phase', 'phase': 'upload', 'what': 'x'})
    event = {'event': 'progress', 'done': -5, 'total': 10**40}
    recorder.event({**event, 'what': 'y' * 1000})
    recorder.flush()
    found = phases_of(database)
    assert (found.bytes_done, found.bytes_total) == (0, 2**63 - 1)
    values = database.update_build.call_args.args[1]
    assert len(values['progress_step']) == 255


def test_without_the_database_everything_is_kept(recorder, database):
    database.append_log.side_effect = AWAY
    recorder.note('first')
    recorder.event(STEP)
    recorder.flush()
    database.append_log.side_effect = None
    database.append_log.reset_mock()
    recorder.note('second')
    recorder.flush_last()
    assert text_of(database).startswith('first\n')
    assert text_of(database).endswith('second\n')
    assert database.add_step.call_count == 1
    assert database.update_build.call_args.args[1]['progress_done'] == 1


def test_a_progress_that_was_not_written_is_kept(recorder, database):
    database.update_build.side_effect = AWAY
    recorder.event(STEP)
    recorder.flush()
    database.update_build.side_effect = None
    recorder.flush_last()
    assert database.update_build.call_args.args[1] == {'progress_done': 1}
    assert database.add_step.call_count == 1


def test_what_waits_has_a_limit(recorder, database):
    for number in range(3000):
        recorder.note(f'{number} ' + 'x' * 1000)
    recorder.flush()
    text = text_of(database)
    assert len(text) <= event_recorder.MOST_TEXT + 100
    assert text.startswith('(')
    assert 'the database was unavailable' in text.splitlines()[0]
    assert text.splitlines()[-1].startswith('2999 ')


def test_a_deleted_build_has_no_journal(recorder, database):
    database.append_log.side_effect = exception.NotFound(what='b', id='b1')
    recorder.note('x')
    with pytest.raises(claims.ClaimLost):
        recorder.flush()


# -- heartbeat and scheduler ------------------------------------------------

OFFER = placement.Capability(
    name='c1', drivers=('fake',), architectures=('x86_64',), slots=2
)


@pytest.fixture
def heartbeat_(database):
    return heartbeat.Heartbeat(
        database,
        'c1',
        '1',
        get_capability=lambda: OFFER,
        running=lambda: 0,
        interval=0.2,
    )


def test_one_that_was_taken_for_dead_registers_again(heartbeat_, database):
    database.heartbeat.side_effect = [True, True, False, True]
    heartbeat_.send()
    heartbeat_.send()
    assert database.register_conductor.call_count == 1
    heartbeat_.send()
    assert database.register_conductor.call_count == 2


def test_nobody_is_judged_right_after_a_failure(heartbeat_, database):
    # All look dead then: none could beat.
    assert heartbeat_.database_stable_for == 0
    heartbeat_.start()
    wait_until(lambda: heartbeat_.database_stable_for > 0.2)
    database.heartbeat.side_effect = AWAY
    wait_until(lambda: heartbeat_.database_stable_for == 0)
    failing = time.monotonic()
    database.heartbeat.side_effect = None
    wait_until(lambda: 0 < heartbeat_.database_stable_for)
    # Counted from here again, not from the start.
    stable_for = heartbeat_.database_stable_for
    assert stable_for <= time.monotonic() - failing
    heartbeat_.stop()
    database.unregister.assert_called_once_with('c1')


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def make_context(database):
    return mock.Mock(
        database=database,
        conf=types.SimpleNamespace(
            conductor=types.SimpleNamespace(
                sweep_interval=60,
                priority_aging=0,
                max_uploads=0,
                max_deletions=0,
            ),
            disks=types.SimpleNamespace(space_reserve=0),
            quota=types.SimpleNamespace(running=-1),
            validation=types.SimpleNamespace(max_running=0),
        ),
        work_dir=pathlib.Path('/nowhere'),
        declined=disk_space.DeclinedBuilds(),
        repository=mock.Mock(id='r1'),
    )


def make_scheduler(database, begun, slots=2):
    return scheduler.Scheduler(
        make_context(database),
        get_capability=lambda: dataclasses.replace(OFFER, slots=slots),
        running={
            'build': scheduler.RunningJobs(),
            'upload': scheduler.RunningJobs(),
            'delete': scheduler.RunningJobs(),
        },
        begin=begun.append,
    )


def test_nothing_is_claimed_without_a_driver_or_a_place(database):
    make_scheduler(database, [], slots=0).claim_all()
    database.lanes.assert_not_called()


def test_a_failure_of_the_database_does_not_end_the_scheduler(database):
    begun = []
    lane = test_lane_order.make(needs={})
    database.lanes.side_effect = [AWAY, [lane], []]
    database.claim.return_value = 'a'
    made = make_scheduler(database, begun)
    made.start()
    wait_until(lambda: database.lanes.call_count >= 1)
    made.wake()
    wait_until(lambda: begun)
    made.stop()
