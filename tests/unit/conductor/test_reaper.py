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
import os
import types
from unittest import mock

import pytest

from imagebuild import db
from imagebuild import exception
from imagebuild import layers
from imagebuild.conductor import conductor_context
from imagebuild.conductor import metrics
from imagebuild.conductor import reaper as reaper_module
from imagebuild.conductor import store_pauses
from imagebuild.conductor import upload_rows
from imagebuild.disks import base_images
from imagebuild.disks import workspaces
from imagebuild.stores import base as stores_base
from tests.unit.conductor.test_parts import make_build

SECTION = types.SimpleNamespace(
    dead_after=30,
    max_attempts=3,
    retention_days=30,
    sweep_interval=10,
    upload_attempts=2,
)


def record(kind, **values):
    known = {field.name: '' for field in dataclasses.fields(kind)}
    return kind(**{**known, **values})


class Setting:
    """A reaper and what it works with."""

    def __init__(self, tmp_path):
        self.database = mock.create_autospec(db.Database, instance=True)
        self.database.dead_conductors.return_value = []
        self.database.orphans.return_value = []
        self.database.builds_of.return_value = []
        self.database.adopt_builds.return_value = 0
        self.database.jobs_of.return_value = []
        self.database.orphaned_jobs.return_value = []
        self.database.uploads_without_file.return_value = ([], [])
        self.database.list_uploads.return_value = []
        self.database.purge_validations.return_value = 0
        self.database.abandoned_uploads.return_value = []
        self.database.retire_unused_images.return_value = 0
        self.database.lanes.return_value = []
        self.store = mock.create_autospec(stores_base.Store, instance=True)
        self.notifier = mock.create_autospec(
            conductor_context.Notifier, instance=True
        )
        self.database_stable_for = 100.0
        self.running = set()
        self.config = {'disks': {'cache_dir': str(tmp_path / 'cache')}}
        self.released = mock.Mock()
        self.reaper = reaper_module.Reaper(
            conductor_context.ConductorContext(
                conf=types.SimpleNamespace(conductor=SECTION),
                name='me',
                database=self.database,
                retry=mock.Mock(),
                notifier=self.notifier,
                open_store=lambda _: self.store,
                job_command=(),
                job_config=lambda: self.config,
                work_dir=tmp_path,
                repository=mock.Mock(id='r1'),
            ),
            running={
                'build': mock.Mock(ids=lambda: self.running),
                'upload': mock.Mock(ids=set),
                'delete': mock.Mock(ids=set),
                'validate': mock.Mock(ids=set),
            },
            pauses=store_pauses.StorePauses(),
            database_stable_for=lambda: self.database_stable_for,
            on_release=self.released,
        )


@pytest.fixture
def setting(tmp_path):
    return Setting(tmp_path)


def upload(**values):
    return record(db.Upload, **{'id': 'u1', 'build_id': 'b1', **values})


def test_orphans_are_released(setting):
    setting.database.orphans.return_value = [make_build(conductor='dead')]
    setting.reaper.requeue_orphans()
    [call] = setting.database.requeue_build.call_args_list
    assert call.kwargs['conductor'] == 'dead'
    assert call.kwargs['attempt'] == 1
    setting.released.assert_called_once_with()


def test_who_wanted_an_end_is_told(setting):
    setting.database.orphans.return_value = [
        make_build(conductor='dead', cancel_requested=True)
    ]
    cancelled = make_build(status='cancelled')
    setting.database.get_build.return_value = cancelled
    setting.reaper.requeue_orphans()
    setting.notifier.ended.assert_called_once_with(cancelled)


def test_nobody_is_judged_too_soon(setting):
    setting.database_stable_for = 29.0
    setting.database.orphans.return_value = [make_build(conductor='dead')]
    setting.reaper.requeue_orphans()
    setting.database.requeue_build.assert_not_called()
    setting.database.unregister.assert_not_called()


def test_dead_conductors_are_marked(setting):
    setting.database.dead_conductors.return_value = [
        record(db.Conductor, name='dead')
    ]
    setting.reaper.requeue_orphans()
    setting.database.unregister.assert_called_once_with('dead')


def test_the_last_attempt_is_not_repeated(setting):
    setting.database.orphans.return_value = [
        make_build(conductor='dead', attempt=3)
    ]
    setting.database.list_uploads.return_value = [upload()]
    setting.database.finish_build.return_value = make_build(status='error')
    setting.reaper.requeue_orphans()
    setting.store.discard.assert_called_once()
    _, outcome = setting.database.finish_build.call_args.args
    assert (outcome.status, outcome.fault) == ('error', 'service')
    setting.notifier.ended.assert_called_once()


def test_only_attempts_that_count_are_the_last(setting):
    setting.database.orphans.return_value = [
        make_build(conductor='dead', attempt=3, requeues=1),
        make_build(conductor='dead', attempt=5, requeues=2),
    ]
    setting.database.list_uploads.return_value = []
    setting.reaper.requeue_orphans()
    setting.database.requeue_build.assert_called_once()
    [ended] = setting.database.finish_build.call_args_list
    assert ended.args[1].reason.endswith(
        'that was attempt 5, and 3 of 3 that count.'
    )


@pytest.mark.parametrize('away', [True, False])
def test_a_cancelled_orphan_is_released_without_its_half_image(setting, away):
    setting.database.orphans.return_value = [
        make_build(conductor='dead', status='deleting', attempt=3)
    ]
    setting.database.list_uploads.return_value = [upload()]
    if away:
        setting.store.discard.side_effect = exception.ServiceUnavailable(
            service='image', reason='away'
        )
    setting.reaper.requeue_orphans()
    # Once it is deleted nobody would remove what it left in the store.
    assert setting.database.requeue_build.called is not away


def test_own_builds_are_released_when_seen_idle_twice(setting):
    build = make_build(conductor='me')
    setting.database.builds_of.return_value = [build]
    setting.reaper.requeue_idle_builds()
    setting.database.requeue_build.assert_not_called()
    setting.running = {build.id}
    setting.reaper.requeue_idle_builds()
    setting.running = set()
    setting.reaper.requeue_idle_builds()
    setting.database.requeue_build.assert_not_called()
    setting.reaper.requeue_idle_builds()
    setting.database.requeue_build.assert_called_once()


def test_half_images_go_when_their_build_has_ended(setting):
    setting.database.abandoned_uploads.return_value = [(upload(), 'key')]
    setting.reaper.discard_uploads()
    [call] = setting.store.discard.call_args_list
    assert call.args[0].content_key == 'key'
    update = setting.database.update_upload.call_args
    assert update.args == ('u1', {'status': 'error', 'image_id': None})


def test_unused_images_are_for_whoever_deletes(setting):
    setting.reaper.retire_images()
    setting.released.assert_not_called()
    setting.database.retire_unused_images.return_value = 1
    setting.reaper.retire_images()
    setting.released.assert_called_once_with()


def test_one_failure_does_not_stop_a_sweep(setting):
    setting.database.dead_conductors.side_effect = (
        exception.DatabaseUnavailable(reason='away')
    )
    setting.database.builds_of.side_effect = RuntimeError('a defect')
    setting.reaper.sweep()
    setting.database.retire_unused_images.assert_called_once_with(
        thorough=True
    )
    setting.database.purge.assert_called_once()


def test_all_images_are_looked_at_once_an_hour(setting):
    for _ in range(3):
        setting.reaper.retire_images()
    assert [
        call.kwargs['thorough']
        for call in setting.database.retire_unused_images.mock_calls
    ] == [True, False, False]


def test_purging_is_done_once_an_hour(setting):
    setting.reaper.purge()
    setting.reaper.purge()
    setting.database.purge.assert_called_once()


def test_an_upload_has_the_same_id_however_often():
    build_id = '00000000-0000-4000-8000-000000000001'
    ids = {upload_rows.upload_id(build_id, '') for _ in range(3)}
    assert len(ids) == 1
    assert upload_rows.upload_id(build_id, 'edge') not in ids


def test_half_base_images_of_the_killed_go(setting, tmp_path):
    # There is none yet.
    setting.reaper.sweep_base_images()
    cache = base_images.Cache(tmp_path / 'cache')
    with cache.make('key', lambda path: path.write_bytes(b'disk')):
        kept = os.listdir(cache.directory)
    made = workspaces.Workspace(cache.directory / 'made-1.part').__enter__()
    (made.path / 'disk.raw').touch()
    setting.reaper.sweep()
    assert made.path.exists(), 'whoever makes it lives'
    # As a process that is killed lets it go.
    os.close(made._locked.give())
    setting.reaper.sweep()
    assert os.listdir(cache.directory) == kept


def test_layers_are_bounded(setting, tmp_path):
    directory = tmp_path / 'layers'
    setting.config['layers'] = {
        'enabled': True, 'directory': str(directory), 'max_age': 9,
    }  # fmt: skip
    setting.reaper.bound_layers()
    assert not directory.exists()
    store = layers.Store(directory)
    store.learn('base', {})
    os.utime(directory / 'facts' / 'base.json', (0, 0))
    setting.reaper.sweep()
    assert store.facts('base') is None
    assert metrics.LAYER_BYTES._value.get() == 0
