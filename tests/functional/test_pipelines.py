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
"""Pipelines, as conductors of this process run them."""

import contextlib
import datetime
import json
import os
import time
import uuid
from unittest import mock

import pytest
import sqlalchemy as sa

from imagebuild import exception
from imagebuild import sealing
from imagebuild.conductor import image_update
from imagebuild.db import models
from tests.functional import conductors

TAG = 'imagebuild_pipeline:web'


@pytest.fixture
def database(tmp_path):
    database = conductors.make_database(tmp_path)
    yield database
    database.close()


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, 'it did not come to that'
        time.sleep(0.05)
    return found


def add(database, *, options=(), request=(), **values):
    """Make a pipeline; the options are for the scripted job."""
    return database.create_pipeline(
        {
            'project_id': conductors.PROJECT,
            'user_id': 'user',
            'name': 'web',
            'os': 'fake-os',
            'request': {
                'name': 'web',
                'os': 'fake-os',
                'driver_options': dict(options),
                'disk_format': 'qcow2',
                'container_format': 'bare',
                'tags': ['mine'],
                **dict(request),
            },
            'current_tag': TAG,
            **values,
        }
    ).id


def make_due(database, id, **values):
    """Have a run be due, as if the time had come."""
    past = database.now() - datetime.timedelta(seconds=1)
    database._write(
        lambda session: session.change(
            sa.update(models.Pipeline)
            .where(models.Pipeline.id == id)
            .values(next_run_at=past, held_until=None, **values)
        )
    )


def settled(database, id, image=True):
    """The pipeline once its run is over and its images are right."""

    def look():
        found = database.get_pipeline(id)
        over = (
            found.is_settled
            and not found.running_build_id
            and not found.run_requested
            and found.held_until is None
            and found.last_run_at is not None
            and not found.is_due(database.now())
        )
        return found if over else None

    return until(look)


def run_once(database, conductor, id, **values):
    make_due(database, id, **values)
    conductor.pipelines.wake()
    return settled(database, id)


def images(tmp_path):
    """Image id -> its metadata, of all that are in the store."""
    found = {}
    for directory in conductors.store(tmp_path).directory.iterdir():
        # It may have been deleted meanwhile.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for name in os.listdir(directory):
                if name.endswith('.json'):
                    text = (directory / name).read_text()
                    found[directory.name] = json.loads(text)
    return found


def tagged(tmp_path):
    return {
        id for id, found in images(tmp_path).items() if TAG in found['tags']
    }


def test_a_run_makes_an_image_the_current_one(database, tmp_path):
    id = add(database, max_age=3600)
    with conductors.running(tmp_path):
        found = settled(database, id)
    assert tagged(tmp_path) == {found.current_image_id}
    build = database.get_build(found.current_build_id)
    assert (build.status, build.reuse) == ('active', 'never')
    assert (build.pipeline_id, build.user_id) == (id, 'user')
    assert build.request['tags'] == ['mine', TAG]
    assert build.request_id.startswith('req-')
    due = build.finished_at + datetime.timedelta(seconds=3600)
    assert found.next_run_at == due


def test_old_images_go_and_the_one_before_stays(database, tmp_path):
    id = add(database, max_age=3600, keep=2)
    made = []
    with conductors.running(tmp_path) as conductor:
        settled(database, id)
        for _ in range(3):
            made.append(run_once(database, conductor, id).current_image_id)
            assert tagged(tmp_path) == {made[-1]}
        until(lambda: set(images(tmp_path)) == set(made[-2:]))
    assert len(set(made)) == 3
    assert images(tmp_path)[made[-2]]['tags'] == ['mine']


def test_it_stops_after_failures_and_says_why(database, tmp_path):
    id = add(database, max_age=3600, max_failures=2, options={'end': 'user'})
    with conductors.running(tmp_path) as conductor:
        first = settled(database, id)
        assert (first.status, first.failures) == ('active', 1)
        assert first.status_reason.startswith('1 failure, the last one: ')
        found = run_once(database, conductor, id)
        assert found.status == 'error'
        assert found.status_reason.startswith(
            'Stopped after 2 failures in a row, the last one: '
        )
        assert found.next_run_at is None
        assert found.current_image_id is None
        # A change, or a run that is asked for, starts it again.
        found = database.update_pipeline(id, {}, paused=False)
    assert (found.status, found.failures) == ('active', 0)


def test_a_failure_leaves_the_current_image(database, tmp_path):
    until_there = tmp_path / 'broken'
    id = add(database, max_age=3600, options={'until': str(until_there)})
    with conductors.running(tmp_path) as conductor:
        first = settled(database, id)
        database.update_pipeline(
            id, {'request': {**first.request,
                             'driver_options': {'end': 'user'}}}
        )  # fmt: skip
        found = run_once(database, conductor, id)
    assert found.failures == 1
    assert found.current_image_id == first.current_image_id
    assert tagged(tmp_path) == {first.current_image_id}


def test_what_was_missed_is_one_run(database, tmp_path):
    id = add(database, cron='*/5 * * * *')
    make_due(database, id)
    past = database.now() - datetime.timedelta(days=3)
    database._write(
        lambda session: session.change(
            sa.update(models.Pipeline).values(next_run_at=past)
        )
    )
    with conductors.running(tmp_path):
        found = settled(database, id)
    assert len(database.list_builds()) == 1
    assert found.next_run_at > database.now()
    assert found.next_run_at.minute % 5 == 0


def test_of_many_conductors_one_begins_a_run(database, tmp_path):
    ids = [add(database, name=f'p{n}', max_age=3600) for n in range(5)]
    with (
        conductors.running(tmp_path, 'c1'),
        conductors.running(tmp_path, 'c2'),
        conductors.running(tmp_path, 'c3'),
    ):
        for id in ids:
            settled(database, id)
    assert sorted(
        build.pipeline_id for build in database.list_builds()
    ) == sorted(ids)


def test_a_paused_one_runs_on_request_only(database, tmp_path):
    id = add(database, max_age=3600, status='paused')
    with conductors.running(tmp_path) as conductor:
        conductor.pipelines.sweep()
        assert database.list_builds() == []
        database.update_pipeline(id, {}, run=True)
        conductor.pipelines.wake()
        found = settled(database, id)
    assert (found.status, found.next_run_at) == ('paused', None)
    assert found.current_image_id


def test_hidden_values_reach_the_build_sealed(database, tmp_path):
    manifest = {
        'arguments': {'password': {'required': True, 'hidden': True}},
        'validators': [
            {'script': {'use': {'inline': 'echo', 'env_vars': ['password']}}}
        ],
    }
    secrets = sealing.seal([conductors.KEY], {'password': 'correct horse'})
    id = add(
        database,
        secrets=secrets,
        request={'manifest': manifest, 'arguments': {'password': '***'}},
    )
    with conductors.running(tmp_path) as conductor:
        with mock.patch.object(
            conductor.pipelines, '_announce', autospec=True
        ):
            conductor.scheduler.stop()
            database.update_pipeline(id, {}, run=True)
            conductor.pipelines.wake()
            until(lambda: database.list_builds())
    [build] = database.list_builds()
    assert build.secrets == secrets
    assert build.request['arguments'] == {'password': '***'}
    assert 'correct horse' not in str(build.request) + build.content_key


def test_without_the_keys_nothing_runs_and_users_learn_no_more(
    database, tmp_path
):
    other = sealing.seal([sealing.new_key()], {'password': 'x'})
    id = add(
        database,
        max_age=3600,
        secrets=other,
        request={'arguments': {'password': '***'}},
    )
    with conductors.running(tmp_path):
        found = settled(database, id)
    assert found.failures == 1
    assert 'its log has the details' in found.status_reason
    assert 'encryption_keys' not in found.status_reason
    assert database.list_builds() == []


def test_what_has_become_wrong_is_a_failure(database, tmp_path):
    id = add(
        database,
        max_age=3600,
        request={'recipe': 'gone', 'recipe_version': '1'},
    )
    with conductors.running(tmp_path):
        found = settled(database, id)
    assert 'recipe' in found.status_reason
    assert found.failures == 1


def test_a_conductor_leaves_alone_what_it_cannot_build(database, tmp_path):
    id = add(database, max_age=3600, driver='other')
    with conductors.running(tmp_path) as conductor:
        conductor.pipelines.sweep()
        found = database.get_pipeline(id)
    assert found.is_due(database.now())
    assert (found.failures, found.held_until) == (0, None)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize('number', range(1, 5))
def test_killed_between_two_moves_of_the_tag(database, tmp_path, number):
    """The next look finishes it, and somebody has the tag all the time."""
    id = add(database, max_age=3600)
    with conductors.running(tmp_path) as conductor:
        first = settled(database, id).current_image_id
    calls = []

    def counted(method):
        def call(*args, **kwargs):
            if (
                kwargs.get('add')
                or kwargs.get('remove')
                or (len(args) > 1 and 'request' in args[1])
            ):
                calls.append(method.__name__)
                if len(calls) == number:
                    raise Killed
            result = method(*args, **kwargs)
            assert tagged(tmp_path)
            return result

        return call

    store = conductors.store(tmp_path)
    parts = {'open_store': lambda _destination: store}
    with conductors.running(tmp_path, parts=parts) as conductor:
        # Its thread would be the one that is killed.
        conductor.pipelines.stop()
        with (
            mock.patch.object(
                store, 'change_tags', counted(store.change_tags)
            ),
            mock.patch.object(
                conductor.context.database,
                'update_build',
                counted(conductor.context.database.update_build),
            ),
            mock.patch.object(conductor.pipelines, '_task', autospec=True),
        ):
            conductor.pipelines._task.stopped = False
            make_due(database, id)
            conductor.pipelines.sweep()
            build_id = database.get_pipeline(id).running_build_id
            until(lambda: database.get_build(build_id).status == 'active')
            with pytest.raises(Killed):
                conductor.pipelines.sweep()
    assert tagged(tmp_path)
    assert not database.get_pipeline(id).is_settled
    # Nobody releases what a process held that was killed.
    database._write(
        lambda session: session.change(
            sa.update(models.Pipeline).values(held_until=None)
        )
    )
    with conductors.running(tmp_path):
        found = settled(database, id)
    assert tagged(tmp_path) == {found.current_image_id}
    assert found.current_image_id not in (None, first)


def test_what_is_protected_in_the_store_stays_protected(database, tmp_path):
    """Somebody protected it there: neither tags nor deletion take it back."""
    id = add(database, max_age=3600)
    with conductors.running(tmp_path) as conductor:
        first = settled(database, id)
        directory = conductors.store(tmp_path).directory
        [path] = (directory / first.current_image_id).glob('*.json')
        path.write_text(
            json.dumps({**json.loads(path.read_text()), 'protected': True})
        )
        run_once(database, conductor, id)
        found = run_once(database, conductor, id)
    kept = images(tmp_path)[first.current_image_id]
    assert kept['protected'] is True
    assert TAG not in kept['tags']
    assert 'is protected and stays' in found.status_reason
    assert found.status == 'active'


def test_another_tag_takes_the_place_of_the_old_one(database, tmp_path):
    id = add(database, max_age=3600)
    with conductors.running(tmp_path) as conductor:
        settled(database, id)
        database.update_pipeline(id, {'current_tag': 'stable'})
        conductor.pipelines.wake()
        found = settled(database, id)
    [only] = images(tmp_path).values()
    assert only['tags'] == ['mine', 'stable']
    assert found.dropped_tags == []


def test_when_the_current_image_is_deleted_the_newest_is(database, tmp_path):
    id = add(database, max_age=3600)
    with conductors.running(tmp_path) as conductor:
        first = settled(database, id)
        second = run_once(database, conductor, id)
        database.delete_build(second.current_build_id)
        conductor.pipelines.wake()
        until(lambda: tagged(tmp_path) == {first.current_image_id})
        found = settled(database, id)
    assert found.current_build_id == first.current_build_id


def test_a_store_that_is_away_is_waited_for(database, tmp_path):
    id = add(database, max_age=3600)
    store = conductors.store(tmp_path)
    away = exception.ServiceUnavailable(service='glance', reason='away')
    parts = {'open_store': lambda _destination: store}
    with (
        mock.patch.object(
            store, 'change_tags', autospec=True, side_effect=away
        ),
        conductors.running(tmp_path, parts=parts),
    ):
        until(lambda: database.get_pipeline(id).current_build_id)
        until(
            lambda: (
                database.get_pipeline(id).held_until
                and not database.get_pipeline(id).running_build_id
            )
        )
    found = database.get_pipeline(id)
    assert not found.is_settled
    assert found.failures == 0
    make_due(database, id)
    with conductors.running(tmp_path):
        settled(database, id)
    assert len(tagged(tmp_path)) == 1


def test_a_deleted_pipeline_cancels_its_build(database, tmp_path):
    id = add(database, max_age=3600, options={'seconds': 60})
    with conductors.running(tmp_path):
        found = until(
            lambda: (
                (found := database.get_pipeline(id)).running_build_id and found
            )
        )
        until(
            lambda: (
                database.get_build(found.running_build_id).status == 'building'
            )
        )
        database.delete_pipeline(id)
        until(
            lambda: (
                database.get_build(found.running_build_id).status
                == 'cancelled'
            )
        )
    with pytest.raises(exception.NotFound):
        database.get_pipeline(id)


def test_a_slow_conductor_begins_nothing_that_another_one_began(
    database, tmp_path
):
    id = add(database, max_age=3600)
    assert database.hold_pipeline(id, 'slow', 0.01)
    time.sleep(0.05)
    assert database.hold_pipeline(id, 'quick', 60)
    build = {
        'project_id': conductors.PROJECT,
        'user_id': 'user',
        'name': 'web',
        'driver': 'fake',
        'architecture': 'x86_64',
        'request': {},
        'base': {},
        'content_key': uuid.uuid4().hex * 2,
        'reuse': 'never',
        'timeout': 60,
    }
    assert database.start_run(id, 'slow', build) is None
    assert database.refuse_run(id, 'slow', 'x') is None
    assert database.start_run(id, 'quick', build) is not None
    assert database.start_run(id, 'quick', build) is None
    assert len(database.list_builds()) == 1


def test_tags_of_others_who_share_an_image_stay(database, tmp_path):
    """A build that reuses the image of a pipeline wants the tag itself."""
    id = add(database, max_age=3600)
    with conductors.running(tmp_path):
        found = settled(database, id)
    build = database.get_build(found.current_build_id)
    conductors.add_build(
        database,
        content_key=build.content_key,
        reuse='always',
        tags=[TAG],
    )
    store = conductors.store(tmp_path)
    image_update.change_tags(
        database, lambda _destination: store, build.id, remove=[TAG]
    )
    assert tagged(tmp_path) == {found.current_image_id}


def test_the_catalogue_of_the_host_is_read_for_each_run(database, tmp_path):
    path = tmp_path / 'operating-systems.yaml'
    entry = {'name': 'fake-os', 'driver': 'fake', 'driver_options': {'a': 1}}
    id = add(database, max_age=3600, entry=entry)

    def options(found):
        build = database.get_build(found.current_build_id)
        return build.base['driver_options']

    # Before the first look, which comes with the start.
    path.unlink()
    with conductors.running(tmp_path) as conductor:
        assert options(settled(database, id)) == {'a': 1}
        path.write_text('fake-os: {driver: fake, driver_options: {b: 2}}\n')
        assert options(run_once(database, conductor, id)) == {'b': 2}
        path.write_text('not: [valid')
        assert options(run_once(database, conductor, id)) == {'a': 1}
        # Removed by its operator: nobody begins a run.
        path.write_text('{}')
        make_due(database, id)
        conductor.pipelines.sweep()
        assert database.get_pipeline(id).is_due(database.now())
