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
"""A conductor in this process: builds from the queue to the store."""

import json
import threading
import time
from unittest import mock

import pytest

from imagebuild import catalogue
from imagebuild import exception
from imagebuild import job as jobs
from imagebuild import sealing
from imagebuild.api import views
from imagebuild.conductor import disk_space
from imagebuild.conductor import job_supervisor
from imagebuild.conductor import service
from imagebuild.messaging import bus
from imagebuild.messaging import rpcapi
from tests.functional import conductors
from tests.functional.conductors import add_build
from tests.functional.conductors import images_in
from tests.functional.conductors import running
from tests.functional.conductors import wait_for
from tests.functional.conductors import wait_until
from tests.functional.conductors import workspaces_in


@pytest.fixture
def database(tmp_path):
    return conductors.make_database(tmp_path)


def api_of(conductor):
    return rpcapi.ConductorAPI(bus.get_transport(conductor.context.conf))


def test_a_build_becomes_an_image(tmp_path, database):
    with running(tmp_path) as conductor:
        build_id = add_build(database, options={'lines': 3}, tags=['a'])
        api_of(conductor).build(build_id)
        build = wait_for(database, build_id, 'active')
    [image] = images_in(tmp_path)
    assert build.image_id == image['id']
    assert build.os_hash_value == image['os_hash_value']
    assert build.size == image['size']
    assert build.conductor == 'c1' and build.attempt == 1
    assert image['owner'] == conductors.PROJECT
    assert image['imagebuild_build_id'] == build_id
    assert image['tags'] == ['a']
    text, _ = database.read_log(build_id)
    assert '[1/1] run the script' in text and 'line 2' in text
    [step] = database.list_steps(build_id)
    assert (step.number, step.result) == (1, 'ran')
    assert (build.progress_done, build.progress_total) == (1, 1)
    [upload] = database.list_uploads(build_id=build_id)
    assert upload.status == 'active' and upload.bytes_done == build.size
    assert workspaces_in(tmp_path) == []
    assert conductor.context.notifier.seen == [
        ('start', build_id),
        ('active', build_id),
    ]


def test_it_listens_before_it_is_up(tmp_path, database, monkeypatch):
    """What is sent to a conductor that does not listen yet is lost."""
    seen = []
    make = bus.get_rpc_server

    def slow(*args):
        server = make(*args)
        start = server.start

        def started():
            time.sleep(0.5)
            seen.extend(database.list_conductors())
            return start()

        server.start = started
        return server

    monkeypatch.setattr(bus, 'get_rpc_server', slow)
    with running(tmp_path):
        [up] = database.list_conductors()
    assert (seen, up.status) == ([], 'up')


def test_a_broker_that_is_away(tmp_path, database, monkeypatch):
    monkeypatch.setattr(service, '_BUS_START', 0.2)

    def fail(*_args):
        raise OSError('no broker')

    server = bus.get_rpc_server
    monkeypatch.setattr(
        bus,
        'get_rpc_server',
        lambda *args: mock.Mock(wraps=server(*args), start=fail),
    )
    with running(tmp_path):
        build_id = add_build(database)
        wait_for(database, build_id, 'active')


def test_phases_and_what_earlier_builds_took(tmp_path, database):
    with running(tmp_path):
        first = add_build(database, options={'seconds': 0.5})
        build = wait_for(database, first, 'active')
        assert build.phases['expected'] == {}
        spent = build.phases['spent']
        assert list(spent) == [
            'base_image',
            'appliance',
            'steps',
            'convert',
            'upload',
        ]
        # By when the conductor was told, which may be late for the begin.
        assert 0 < spent['steps'] < 30
        # As if it had taken longer.
        longer = {**build.phases, 'spent': {**spent, 'steps': 50.0}}
        assert database.update_build(first, {'phases': longer})
        options = {'seconds': 60}
        second = add_build(database, options=options)
        others = add_build(database, project_id='another', options=options)
        for build_id in (second, others):
            wait_until(
                lambda: (
                    phase_of(database, build_id) == 'steps'  # noqa: B023
                )
            )
        [here, there] = [
            views.build(database.get_build(build_id), '')['progress']
            for build_id in (second, others)
        ]
    assert (here['phase'], here['percent'] < 100) == ('steps', True)
    assert 0 < here['remaining'] < 60
    # Another project's builds are nobody else's business.
    assert there['remaining'] is None
    assert 'Earlier builds' in database.read_log(second)[0]
    assert 'Earlier builds' not in database.read_log(others)[0]


def phase_of(database, build_id):
    return (database.get_build(build_id).phases or {}).get('current')


def test_a_build_that_fails_says_in_which_phase(tmp_path, database):
    with running(tmp_path):
        build_id = add_build(database, options={'end': 'user'})
        build = wait_for(database, build_id, 'error')
    shown = views.build(build, '')['progress']
    assert shown['phase'] == 'steps'
    assert shown['percent'] < 100 and shown['remaining'] is None


def test_those_that_waited_get_what_they_want(tmp_path, database):
    content = {'content_key': 'c' * 64, 'reuse': 'always'}
    add_build(database, tags=['one'], **content)
    follower = add_build(database, tags=['two'], **content)
    with running(tmp_path):
        wait_for(database, follower, 'active')
        wait_until(lambda: images_in(tmp_path)[0]['tags'] == ['one', 'two'])


def test_the_end_of_those_that_waited_is_told(tmp_path, database):
    content = {'content_key': 'c' * 64, 'reuse': 'always'}
    leader = add_build(database, **content)
    follower = add_build(database, **content)
    other = add_build(database, options={'end': 'hang'})
    with running(tmp_path, max_builds=1) as conductor:
        wait_for(database, follower, 'active')
        wait_until(lambda: len(conductor.context.notifier.seen) > 3)
        seen = conductor.context.notifier.seen[:4]
    # The next build does not wait for the upload of the first.
    seen.remove(('start', other))
    assert seen == [
        ('start', leader),
        ('active', leader),
        ('active', follower),
    ]
    assert database.get_build(follower).reused_from == leader
    assert database.list_ended_with(database.get_build(other)) == []


def test_a_lost_cast_is_found_by_the_sweep(tmp_path, database):
    with running(tmp_path):
        time.sleep(0.2)
        build_id = add_build(database)
        wait_for(database, build_id, 'active')


def test_hidden_values_reach_only_the_job(tmp_path, database):
    with running(tmp_path):
        build_id = add_build(
            database,
            arguments={'port': 1, 'password': '***'},
            secrets=sealing.seal([conductors.KEY], {'password': 'horse'}),
            options={'hold': f'{tmp_path}/never'},
        )
        path = tmp_path / 'work' / f'{build_id}-1' / 'arguments'
        wait_until(lambda: path.exists() and path.read_text())
        assert json.loads(path.read_text()) == {'port': 1, 'password': 'horse'}
        database.request_cancel(build_id)
        build = wait_for(database, build_id, 'cancelled')
    assert build.secrets is None
    assert 'horse' not in repr(build)


def test_a_build_that_fills_the_disk_is_stopped(tmp_path, database):
    with running(tmp_path) as conductor:
        conductor.context.conf.set_override('max_build_size', 1, 'disks')
        options = {'grow': 1024**3 + 4096, 'seconds': 60}
        build_id = add_build(database, options=options)
        build = wait_for(database, build_id, 'error')
    assert build.fault == 'user' and build.attempt == 1
    assert 'and may take 1.0 GiB.' in build.status_reason
    assert images_in(tmp_path) == [] and workspaces_in(tmp_path) == []


def test_builds_wait_for_room(tmp_path, database):
    with running(tmp_path) as conductor:
        conf = conductor.context.conf
        conf.set_override('space_reserve', 2**40, 'disks')
        build_id = add_build(database)
        time.sleep(2.5)
        build = database.get_build(build_id)
        assert (build.status, build.attempt) == ('queued', 0)
        conf.clear_override('space_reserve', 'disks')
        assert wait_for(database, build_id, 'active').attempt == 1


def test_lack_of_room_uses_up_no_attempt(tmp_path, database, monkeypatch):
    monkeypatch.setattr(disk_space, '_FIRST_PAUSE', 0.1)
    flag = tmp_path / 'mended'
    options = {'end': 'full', 'until': str(flag)}
    with running(tmp_path, max_attempts=1):
        build_id = add_build(database, options=options)
        wait_until(lambda: database.get_build(build_id).requeues >= 2)
        waiting = wait_for(database, build_id, 'queued')
        assert waiting.status_reason == (
            'The disk is full. The build waits for room in the queue.'
        )
        flag.touch()
        build = wait_for(database, build_id, 'active')
    assert build.failures == 1 and build.attempt == 1 + build.requeues
    text, _ = database.read_log(build_id)
    assert 'This attempt does not count.' in text


def test_a_build_that_fits_nowhere_ends(tmp_path, database, monkeypatch):
    monkeypatch.setattr(disk_space, '_FIRST_PAUSE', 0.1)
    with running(tmp_path, max_requeues=2):
        build_id = add_build(database, options={'end': 'full'})
        build = wait_for(database, build_id, 'error')
    assert (build.fault, build.attempt, build.requeues) == ('service', 3, 2)
    assert build.status_reason == (
        'The disk is full. It was given back to the queue 2 times, and found '
        'no room.'
    )
    assert images_in(tmp_path) == [] and workspaces_in(tmp_path) == []


def test_another_conductor_may_have_the_room(tmp_path, database):
    flag = tmp_path / 'there'
    options = {'end': 'full', 'until': str(flag)}
    with running(tmp_path):
        build_id = add_build(database, options=options)
        wait_until(lambda: database.get_build(build_id).requeues)
        flag.touch()
        # The one that had no room does not take it at once, others do.
        other_id = add_build(database)
        wait_for(database, other_id, 'active')
        assert database.get_build(build_id).status == 'queued'
        with running(tmp_path, 'c2'):
            build = wait_for(database, build_id, 'active')
    assert build.conductor == 'c2'


@pytest.mark.parametrize('end', ['user', 'service'])
@pytest.mark.parametrize('below', ['work/b-1/disk/overlay.qcow2', 'cache'])
def test_users_see_no_path_of_the_host(tmp_path, database, end, below):
    text = f'{tmp_path}/{below}'
    with running(
        tmp_path, max_attempts=1, work_dir=f'{tmp_path}/work'
    ) as conductor:
        conductor.context.conf.set_override(
            'cache_dir', f'{tmp_path}/cache', 'disks'
        )
        build_id = add_build(database, options={'end': end, 'text': text})
        build = wait_for(database, build_id, 'error')
    assert (
        build.status_reason
        == {
            'work/b-1/disk/overlay.qcow2': (
                'It failed: <work directory>/overlay.qcow2.'
            ),
            # As it was configured at the start.
            'cache': 'It failed: <state directory>/cache.',
        }[below]
    )
    log, _ = database.read_log(build_id)
    assert log.count('overlay.qcow2' if 'overlay' in below else 'cache') >= 3
    seen = [
        repr(database.get_build(build_id).phases),
        build.progress_step,
        build.status_reason,
        log,
        repr(database.list_steps(build_id)),
        repr(database.list_events(build_id)),
        repr(database.list_uploads(build_id=build_id)),
    ]
    assert str(tmp_path) not in ''.join(seen)


def test_a_host_that_cannot_work_names_no_path(tmp_path, database):
    with running(tmp_path, max_attempts=1) as conductor:
        work = conductor.context.work_dir
        work.rename(work.with_name('away'))
        work.write_text('no directory')
        build_id = add_build(database)
        build = wait_for(database, build_id, 'error')
    assert build.status_reason.startswith('The conductor cannot work in <work')
    assert '/' not in build.status_reason


def test_a_user_fault_ends_at_once_with_its_step(tmp_path, database):
    with running(tmp_path):
        build_id = add_build(database, options={'end': 'user'})
        build = wait_for(database, build_id, 'error')
    assert build.fault == 'user' and build.attempt == 1
    assert build.status_reason == 'validators[0].script: exit code 3'
    [step] = database.list_steps(build_id)
    assert step.result == 'failed' and step.output == 'no such package'
    assert images_in(tmp_path) == [] and workspaces_in(tmp_path) == []


def test_a_service_fault_is_tried_again(tmp_path, database):
    flag = tmp_path / 'mended'
    with running(tmp_path, retry_delay=1, max_attempts=30):
        build_id = add_build(
            database, options={'end': 'service', 'until': str(flag)}
        )
        wait_until(lambda: database.get_build(build_id).attempt >= 2)
        flag.touch()
        build = wait_for(database, build_id, 'active')
    assert 2 <= build.attempt < 30
    assert len(images_in(tmp_path)) == 1


def test_service_faults_are_not_tried_for_ever(tmp_path, database):
    with running(tmp_path):
        build_id = add_build(database, options={'end': 'service'})
        build = wait_for(database, build_id, 'error')
    assert build.attempt == 3 and build.fault == 'service'
    assert build.status_reason == 'The appliance failed.'


def test_a_crash_gives_its_last_output(tmp_path, database):
    with running(tmp_path, max_attempts=1):
        build_id = add_build(database, options={'end': 'crash'})
        build = wait_for(database, build_id, 'error')
    assert build.fault == 'service'
    assert 'signal 11 (SIGSEGV)' in build.status_reason
    assert 'Segmentation fault is near' in build.status_reason


def test_garbage_is_put_up_with(tmp_path, database):
    with running(tmp_path):
        build_id = add_build(database, options={'end': 'garbage'})
        wait_for(database, build_id, 'active')


def test_much_output_is_cut(tmp_path, database):
    with running(tmp_path, max_log_size=5000):
        build_id = add_build(database, options={'lines': 5000})
        build = wait_for(database, build_id, 'active')
    assert 4000 < build.log_size < 6000


def test_a_timeout_ends_everything_the_job_started(
    tmp_path, database, monkeypatch
):
    clock = mock.Mock(monotonic=mock.Mock(side_effect=time.monotonic))
    monkeypatch.setattr(job_supervisor, 'time', clock)
    with running(tmp_path):
        build_id = add_build(database, options={'end': 'hang'}, timeout=3600)
        wait_until(lambda: len(_in_workspace(build_id)) >= 2)
        clock.monotonic.side_effect = lambda: time.monotonic() + 3620
        build = wait_for(database, build_id, 'error')
    assert build.attempt == 1
    assert 'time is up' in build.status_reason
    assert _in_workspace(build_id) == []
    assert workspaces_in(tmp_path) == []


@pytest.mark.parametrize('by', ['message', 'database'])
def test_cancel_ends_everything_the_job_started(tmp_path, database, by):
    with running(tmp_path) as conductor:
        build_id = add_build(database, options={'end': 'hang'})
        wait_until(lambda: len(_in_workspace(build_id)) >= 2)
        database.request_cancel(build_id)
        if by == 'message':
            api_of(conductor).cancel(build_id)
        build = wait_for(database, build_id, 'cancelled')
    assert build.fault is None
    assert _in_workspace(build_id) == []
    assert workspaces_in(tmp_path) == []


def test_cancel_during_the_upload_leaves_no_image(tmp_path, database):
    with running(tmp_path):
        build_id = add_build(database, tags=[f'hold:{tmp_path}/never'])
        wait_for(database, build_id, 'uploading')
        [upload] = wait_until(
            lambda: [
                row
                for row in database.list_uploads(build_id=build_id)
                if row.bytes_done
            ]
        )
        database.request_cancel(build_id)
        wait_for(database, build_id, 'cancelled')
    assert images_in(tmp_path) == []
    assert database.get_upload(upload.id).status == 'error'


def test_a_running_build_that_is_deleted_goes(tmp_path, database):
    with running(tmp_path) as conductor:
        hold = str(tmp_path / 'never')
        build_id = add_build(database, options={'hold': hold})
        wait_for(database, build_id, 'building')
        wait_until(lambda: _in_workspace(build_id))
        database.delete_build(build_id)
        api_of(conductor).delete(build_id)
        wait_until(lambda: database.list_builds() == [])
        wait_until(lambda: not len(conductor.running_builds))
    assert workspaces_in(tmp_path) == [] and images_in(tmp_path) == []


def test_an_image_without_users_is_deleted(tmp_path, database):
    with running(tmp_path) as conductor:
        build_id = add_build(database)
        wait_for(database, build_id, 'active')
        database.delete_build(build_id)
        api_of(conductor).delete(build_id)
        wait_until(lambda: images_in(tmp_path) == [])


def test_a_store_that_is_away_is_waited_for(tmp_path, database):
    flag = tmp_path / 'back'
    with running(tmp_path):
        build_id = add_build(database, tags=[f'away:{flag}'])
        wait_for(database, build_id, 'uploading')
        time.sleep(1)
        flag.touch()
        build = wait_for(database, build_id, 'active')
    # The disk was kept: nothing was built twice.
    assert build.attempt == 1 and len(images_in(tmp_path)) == 1


def test_a_refused_image_is_the_users_fault(tmp_path, database):
    with running(tmp_path):
        build_id = add_build(database, tags=['refuse'])
        build = wait_for(database, build_id, 'error')
    assert build.fault == 'user'
    assert build.status_reason == 'Glance refuses it.'


def test_a_drain_finishes_what_can_be(tmp_path, database):
    go_on = tmp_path / 'go-on'
    with running(tmp_path) as conductor:
        first = add_build(database, options={'hold': str(go_on)})
        wait_for(database, first, 'building')
        conductor.drain()
        second = add_build(database)
        wait_until(lambda: database.list_conductors()[0].status == 'draining')
        go_on.touch()
        assert conductor.wait(60)
    assert database.get_build(first).status == 'active'
    assert database.get_build(second).status == 'queued'
    assert database.list_conductors()[0].status == 'down'


def test_a_stop_hands_back_what_runs(tmp_path, database):
    with running(tmp_path) as conductor:
        build_id = add_build(database, options={'end': 'hang'})
        wait_until(lambda: len(_in_workspace(build_id)) >= 2)
        conductor.stop()
        build = database.get_build(build_id)
        assert (build.status, build.conductor) == ('queued', None)
        # That was not the build's doing.
        assert (build.attempt, build.requeues) == (1, 1)
        assert _in_workspace(build_id) == []
        assert workspaces_in(tmp_path) == []


@pytest.mark.parametrize(
    'task', ['leaks', 'channels', 'pipelines', 'attempts']
)
def test_a_stop_hands_back_first_of_all(tmp_path, database, monkeypatch, task):
    """Not after the last sweep of something, which may take its time."""
    swept = threading.Event()
    with running(tmp_path) as conductor:
        build_id = add_build(database, options={'hold': f'{tmp_path}/no'})
        wait_until(lambda: _in_workspace(build_id))
        end = getattr(conductor, task).stop
        monkeypatch.setattr(
            getattr(conductor, task), 'stop', lambda: swept.wait(300) and end()
        )
        stopping = threading.Thread(target=conductor.stop)
        stopping.start()
        try:
            wait_until(lambda: database.get_build(build_id).status == 'queued')
            assert stopping.is_alive()
        finally:
            swept.set()
            stopping.join()


def test_a_stop_during_the_upload_leads_to_one_image(tmp_path, database):
    go_on = tmp_path / 'go-on'
    with running(tmp_path) as conductor:
        build_id = add_build(database, tags=[f'hold:{go_on}'])
        wait_for(database, build_id, 'uploading')
        [upload] = database.list_uploads(build_id=build_id)
        wait_until(
            lambda: database.get_upload(upload.id).status == 'uploading'
        )
        conductor.stop()
        assert database.get_build(build_id).status == 'uploading'
        [upload] = database.list_uploads(build_id=build_id)
        assert (upload.status, upload.conductor) == ('queued', None)
    go_on.touch()
    # It has the same repository.
    with running(tmp_path, 'c2'):
        build = wait_for(database, build_id, 'active')
    assert build.attempt == 1
    [upload] = database.list_uploads(build_id=build_id)
    assert (upload.attempt, upload.conductor) == (2, 'c2')
    assert [image['id'] for image in images_in(tmp_path)] == [build.image_id]


def test_a_stop_between_a_build_and_its_upload(
    tmp_path, database, monkeypatch
):
    """The thread of the build is about to begin it."""
    with running(tmp_path) as conductor:
        begin, claimed = conductor.scheduler._begin, threading.Event()

        def late(job):
            if job.kind == 'upload':
                claimed.set()
                wait_until(lambda: conductor.scheduler._task.stopped)
                time.sleep(1)
            begin(job)

        monkeypatch.setattr(conductor.scheduler, '_begin', late)
        build_id = add_build(database, tags=[f'hold:{tmp_path}/never'])
        assert claimed.wait(60)
        conductor.stop()
        [upload] = database.list_uploads(build_id=build_id)
        assert (upload.status, upload.conductor) == ('queued', None)
        assert _in_workspace(upload.id) == []


def test_an_image_of_an_earlier_try_is_taken(tmp_path, database):
    # Killed between the upload and the end of the row.
    with running(tmp_path) as conductor:
        finish = conductor.context.database.finish_upload
        conductor.context.database.finish_upload = lambda *_, **__: None
        build_id = add_build(database)
        wait_until(lambda: len(images_in(tmp_path)) == 1)
        wait_until(lambda: conductor.is_idle)
        conductor.context.database.finish_upload = finish
        [image] = images_in(tmp_path)
        build = wait_for(database, build_id, 'active')
    [upload] = database.list_uploads(build_id=build_id)
    assert upload.attempt == 2 and build.image_id == image['id']
    text, _ = database.read_log(build_id)
    assert text.count('run the script') == 1
    assert len(images_in(tmp_path)) == 1


def test_who_lost_a_build_drops_it(tmp_path, database):
    with running(tmp_path, sweep_interval=60) as conductor:
        build_id = add_build(database, options={'end': 'hang'})
        conductor.scheduler.wake()
        wait_until(lambda: len(_in_workspace(build_id)) >= 2)
        assert database.requeue_build(
            build_id, conductor='c1', attempt=1, reason='it seemed dead'
        )
        assert database.claim('another', job=build_id) is not None
        wait_until(lambda: not len(conductor.running_builds))
        assert _in_workspace(build_id) == []
        assert workspaces_in(tmp_path) == []
        build = database.get_build(build_id)
        assert (build.status, build.conductor) == ('building', 'another')


def test_what_an_earlier_life_had_is_handed_back(tmp_path, database):
    build_id = add_build(database)
    assert database.claim('c1', job=build_id) is not None
    with running(tmp_path):
        build = wait_for(database, build_id, 'active')
    assert build.attempt == 2


def test_builds_of_a_dead_conductor_are_taken_over(tmp_path, database):
    database.register_conductor(
        {
            'name': 'dead',
            'drivers': ['fake'],
            'operating_systems': [],
            'architecture': 'x86_64',
            'slots': 1,
            'version': '1',
        }
    )
    build_id, last_try = add_build(database), add_build(database)
    assert database.claim('dead', job=build_id) is not None
    for attempt in (1, 2, 3):
        assert database.claim('dead', job=last_try) is not None
        if attempt < 3:
            database.requeue_build(
                last_try, conductor='dead', attempt=attempt, reason='x'
            )
    with running(tmp_path, dead_after=3):
        build = wait_for(database, build_id, 'active')
        given_up = wait_for(database, last_try, 'error')
    assert build.conductor == 'c1' and build.attempt == 2
    assert given_up.fault == 'service'
    assert 'dead' in given_up.status_reason


def test_two_conductors_share_sixty_builds(tmp_path, database):
    with (
        running(tmp_path, 'c1', max_builds=4, dead_after=60) as first,
        running(tmp_path, 'c2', max_builds=4, dead_after=60) as second,
    ):
        api = api_of(first)
        ids = []
        for _ in range(60):
            ids.append(add_build(database))
            api.build(ids[-1])
        for build_id in ids:
            wait_for(database, build_id, 'active', seconds=90)
    builds = [database.get_build(build_id) for build_id in ids]
    assert {build.attempt for build in builds} == {1}
    assert {build.conductor for build in builds} == {'c1', 'c2'}
    begun = first.context.notifier.seen + second.context.notifier.seen
    assert sorted(i for what, i in begun if what == 'start') == sorted(ids)
    images = images_in(tmp_path)
    assert len(images) == 60
    assert {image['id'] for image in images} == {b.image_id for b in builds}
    assert workspaces_in(tmp_path) == []


def test_max_builds_is_kept_and_reloaded(tmp_path, database):
    with running(tmp_path, max_builds=1) as conductor:
        ids = [add_build(database, options={'seconds': 60}) for _ in range(3)]
        conductor.scheduler.wake()
        wait_until(lambda: len(conductor.running_builds) == 1)
        time.sleep(1.5)
        assert len(conductor.running_builds) == 1
        conductors.write_conf(tmp_path, 'c1', max_builds=3)
        conductor.reload()
        wait_until(lambda: len(conductor.running_builds) == 3)
        wait_until(lambda: database.list_conductors()[0].slots == 3)
        for build_id in ids:
            database.request_cancel(build_id)


@pytest.mark.parametrize('when', ['build', 'upload', 'start'])
def test_a_database_that_is_away_is_waited_for(tmp_path, database, when):
    # Longer than dead_after: nobody may be counted as dead afterwards.
    shaky = [
        conductors.Shaky(f'sqlite:///{tmp_path}/imagebuild.sqlite')
        for _ in range(2)
    ]
    go_on = tmp_path / 'go-on'
    do = {
        'build': {'options': {'hold': str(go_on), 'lines': 3}},
        'upload': {'tags': [f'hold:{go_on}']},
        'start': {'options': {'seconds': 0}},
    }
    with (
        running(tmp_path, 'c1', parts={'database': shaky[0]}),
        running(tmp_path, 'c2', parts={'database': shaky[1]}),
    ):
        if when == 'start':
            _set(shaky, away=True)
        build_id = add_build(database, **do[when])
        if when != 'start':
            status = 'uploading' if when == 'upload' else 'building'
            wait_for(database, build_id, status)
            _set(shaky, away=True)
        time.sleep(5)
        # It ends while nobody can write that down.
        go_on.touch()
        time.sleep(1)
        _set(shaky, away=False)
        build = wait_for(database, build_id, 'active', seconds=40)
        # Who could not beat is not dead.
        time.sleep(3)
        assert {c.status for c in database.list_conductors()} == {'up'}
    assert build.attempt == 1
    assert len(images_in(tmp_path)) == 1
    text, _ = database.read_log(build_id)
    assert text.count('line 0') == 1
    assert len(database.list_steps(build_id)) == 1


def test_the_real_job(tmp_path, database):
    parts = {'job_command': jobs.command()}
    with running(tmp_path, parts=parts) as conductor:
        good = add_build(database, options={'seconds': 0.1, 'size': 1})
        bad = add_build(
            database, options={'fail': 'It went wrong.', 'fault': 'user'}
        )
        crashing = add_build(database, options={'fault': 'crash', 'fail': 'x'})
        conductor.scheduler.wake()
        build = wait_for(database, good, 'active')
        assert wait_for(database, bad, 'error').fault == 'user'
        failed = wait_for(database, crashing, 'error', seconds=60)
    assert failed.fault == 'service' and failed.attempt == 3
    assert 'ended with' in failed.status_reason
    [image] = images_in(tmp_path)
    assert image['id'] == build.image_id
    assert workspaces_in(tmp_path) == []


def test_calls_are_answered(tmp_path, database):
    with running(tmp_path) as conductor:
        api = api_of(conductor).with_context(
            {'project_id': conductors.PROJECT}
        )
        entry = catalogue.OperatingSystem('fake-os', driver='fake').to_dict()
        answer = api.check_request(
            {'os': 'fake-os', 'driver_options': {'lines': 1}},
            entry,
            among=['c1'],
        )
        assert answer['problems'] == []
        assert answer['base']['driver'] == 'fake'
        assert answer['base']['identity'] == 'fake:{"lines": 1}'
        answer = api.check_request(
            {'os': 'fake-os', 'driver': 'magic'}, entry, among=['c1']
        )
        assert [each['path'] for each in answer['problems']] == ['driver']
        build_id = add_build(database)
        build = wait_for(database, build_id, 'active')
        text, offset = api.read_log(build_id, 0, 10)
        assert len(text) == 10 and offset == 10
        assert api.verify_image(build.image_row_id, among=['c1'])
        conductors.store(tmp_path).delete(build.image_id)
        assert not api.verify_image(build.image_row_id, among=['c1'])
        assert database.get_image(build.image_row_id).status == 'deleted'


def _set(databases, *, away):
    for each in databases:
        each.away = away


def _in_workspace(build_id: str) -> list[int]:
    return conductors.processes_with(f'{build_id}-')


def test_a_name_is_had_once(tmp_path, database):
    conf = conductors.read_conf(conductors.write_conf(tmp_path, 'c1'))
    with running(tmp_path):
        second = conductors.make_conductor(conf)
        with pytest.raises(exception.EnvironmentFault, match='c1'):
            second.start()
