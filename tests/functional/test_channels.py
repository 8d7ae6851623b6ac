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
"""Tags of channels in a store: they follow the database, whoever died."""

import contextlib
import json
import time
import uuid

import pytest
import sqlalchemy as sa

from imagebuild import db
from imagebuild import exception
from imagebuild.conductor import channels
from imagebuild.conductor import image_update
from imagebuild.db import channel_models
from imagebuild.stores import base
from tests.contract.database import image_row
from tests.functional import conductors

TAG = 'imagebuild_channel:prod:web'


class Killed(BaseException):
    """As if the process had ended here."""


class Store:
    """The images of a directory, with somebody who may be killed.

    :ivar calls: of change_tags, until now.
    :ivar killed_at: number of the call that is the last one; -1: none.
    :ivar after: whether that call is done before.
    :ivar error: raised by each.
    """

    def __init__(self, directory):
        self.real = conductors.store(directory)
        self.calls = 0
        self.killed_at = -1
        self.after = False
        self.error = None

    def __getattr__(self, name):
        return getattr(self.real, name)

    def change_tags(self, image_id, **changes):
        if self.error is not None:
            raise self.error
        self.calls += 1
        last = self.calls == self.killed_at
        if last and not self.after:
            raise Killed
        self.real.change_tags(image_id, **changes)
        if last:
            raise Killed


class World:
    """A database, a store, and conductors that care for channels."""

    def __init__(self, directory, database):
        self.directory = directory
        self.database = database
        self.store = Store(directory)
        #: Of further destinations.
        self.stores = {}
        self.contexts = {}

    def care(self, name='c1'):
        """A new conductor, as after a start."""
        if name not in self.contexts:
            conf = conductors.read_conf(
                conductors.write_conf(self.directory, name)
            )
            conductor = conductors.make_conductor(
                conf,
                database=self.database,
                open_store=lambda name: self.stores.get(name, self.store),
            )
            self.contexts[name] = conductor.context
        return channels.ChannelCare(self.contexts[name])

    def build(self, **values):
        """A build with an image in the store."""
        request = {'name': 'web', 'tags': ['mine']}
        values = {
            'project_id': 'p', 'user_id': 'u', 'name': 'web', 'os': '',
            'driver': 'fake', 'architecture': 'x86_64', 'request': request,
            'base': {}, 'content_key': str(uuid.uuid4()), 'timeout': 60,
            **values,
        }  # fmt: skip
        build = self.database.create_build(values)
        self.database.claim('c1', job=build.id)
        file = self.directory / 'image'
        file.write_bytes(build.id.encode())
        stored = self.store.upload(
            file,
            base.ImageProperties(name='web', owner='p', tags=['mine']),
            base.Stamp(build.id, build.id),
        )
        self.database.finish_build(
            build.id,
            db.Outcome(
                'active',
                image={
                    'image_id': stored.image_id,
                    'size': stored.size,
                    'disk_format': 'qcow2',
                },
            ),
            conductor='c1',
            attempt=1,
        )
        return self.database.get_build(build.id)

    def tags(self):
        """Image id -> its tags, of all that are in the store."""
        while True:
            # One may be deleted meanwhile.
            with contextlib.suppress(FileNotFoundError):
                return {
                    path.parent.name: set(json.loads(path.read_text())['tags'])
                    for path in self.store.real.directory.glob('*/*.json')
                }

    def tagged(self, tag=TAG):
        return {id for id, tags in self.tags().items() if tag in tags}

    def forget_hold(self):
        """Let the time go by after which others may have a channel."""
        self.database._write(
            lambda session: session.execute(
                sa.update(channel_models.Channel).values(
                    held_until=None, settled_at=None
                )
            )
        )


@pytest.fixture
def world(tmp_path):
    database = conductors.make_database(tmp_path)
    yield World(tmp_path, database)
    database.close()


def test_tags_move_with_the_channel(world):
    care = world.care()
    first, second = world.build(), world.build()
    channel = world.database.promote_build(first.id, 'prod', tags=['amphora'])
    care.sweep()
    assert world.tags()[first.image_id] == {'mine', TAG, 'amphora'}
    assert world.database.get_channel(channel.id).is_settled
    world.database.promote_build(second.id, 'prod')
    care.sweep()
    assert world.tagged() == world.tagged('amphora') == {second.image_id}
    world.database.roll_back(second.id, 'prod')
    care.sweep()
    assert world.tagged() == world.tagged('amphora') == {first.image_id}
    # Other tags, of the same image.
    world.database.promote_build(first.id, 'prod', tags=['trove'])
    care.sweep()
    assert world.tags()[first.image_id] == {'mine', TAG, 'trove'}
    world.database.delete_channel(channel.id)
    care.sweep()
    assert set(map(frozenset, world.tags().values())) == {frozenset({'mine'})}
    assert world.database.channels_to_attend('c1', 0) == []


@pytest.mark.parametrize('after', [False, True])
@pytest.mark.parametrize('killed_at', [1, 2, 3])
def test_whoever_dies_the_database_knows_one(world, killed_at, after):
    first, second = world.build(), world.build()
    channel = world.database.promote_build(first.id, 'prod', tags=['t'])
    world.care().sweep()
    world.database.promote_build(second.id, 'prod', tags=['u'])
    world.store.calls = 0
    world.store.killed_at, world.store.after = killed_at, after
    with pytest.raises(Killed):
        world.care().sweep()
    # One answers for it at this very moment, and at least one has the tag.
    found = world.database.find_channel('p', 'web', 'prod')
    assert found.current_image_id == second.image_id
    assert world.tagged()
    # Others wait for it, but not who begins again; nor a new promotion.
    world.care('c2').sweep()
    assert not world.database.get_channel(channel.id).is_settled
    world.store.killed_at = -1
    world.care().sweep()
    assert world.tags() == {
        first.image_id: {'mine'},
        second.image_id: {'mine', TAG, 'u'},
    }


def test_a_promotion_amid_a_move(world):
    first, second, third = (world.build() for _ in range(3))
    world.database.promote_build(first.id, 'prod')
    world.care().sweep()
    world.database.promote_build(second.id, 'prod')
    world.store.calls, world.store.killed_at = 0, 1
    world.store.after = True
    with pytest.raises(Killed):
        world.care().sweep()
    world.database.promote_build(third.id, 'prod')
    world.store.killed_at = -1
    world.care('c2').sweep()
    assert world.tagged() == {third.image_id}


def test_a_slow_conductor_undoes_nothing(world, monkeypatch):
    first, second, third = (world.build() for _ in range(3))
    channel = world.database.promote_build(first.id, 'prod')
    real = world.store.change_tags

    def slow(image_id, **changes):
        # While it was asleep, all the others have gone on.
        monkeypatch.setattr(world.store, 'change_tags', real)
        for build in (second, third):
            world.database.promote_build(build.id, 'prod')
            world.forget_hold()
            world.care('c2').sweep()
        real(image_id, **changes)

    monkeypatch.setattr(world.store, 'change_tags', slow)
    world.care().sweep()
    world.forget_hold()
    world.care().sweep()
    assert world.tagged() == {third.image_id}
    assert world.database.get_channel(channel.id).is_settled


def test_what_somebody_changed_by_hand_is_repaired(world):
    first, second = world.build(), world.build()
    world.database.promote_build(first.id, 'prod')
    world.database.promote_build(second.id, 'prod')
    care = world.care()
    care.sweep()
    world.store.change_tags(second.image_id, remove=[TAG])
    world.store.change_tags(first.image_id, add=[TAG])
    calls = world.store.calls
    care.sweep()
    # Not at once.
    assert world.store.calls == calls
    world.forget_hold()
    care.sweep()
    assert world.tagged() == {second.image_id}


def test_a_change_of_the_image_leaves_its_tags(world):
    build = world.build()
    world.database.promote_build(build.id, 'prod', tags=['t'])
    world.care().sweep()
    image_update.update_image(
        world.database, lambda _name: world.store, build.id, {'tags': ['new']}
    )
    assert world.tags()[build.image_id] == {'new', TAG, 't'}
    image_update.change_tags(
        world.database, lambda _name: world.store, build.id, remove=['t']
    )
    assert world.tags()[build.image_id] == {'new', TAG, 't'}


def test_a_store_that_is_away(world):
    build = world.build()
    channel = world.database.promote_build(build.id, 'prod')
    world.store.error = exception.ServiceUnavailable(
        service='glance', reason='it restarts'
    )
    care = world.care()
    care.sweep()
    found = world.database.get_channel(channel.id)
    assert (found.is_settled, found.current_build_id) == (False, build.id)
    world.store.error = None
    care.sweep()
    assert not world.tagged(), 'it is left alone for a while'
    world.forget_hold()
    care.sweep()
    assert world.tagged() == {build.image_id}


def test_what_the_store_refuses_is_said(world):
    first, second = world.build(), world.build()
    channel = world.database.promote_build(first.id, 'prod')
    care = world.care()
    care.sweep()
    world.database.promote_build(second.id, 'prod')
    world.store.error = exception.InvalidInput('Too many tags.')
    care.sweep()
    found = world.database.get_channel(channel.id)
    assert 'cannot be changed: Too many tags.' in found.status_reason
    # The old one has them as long as the new one can not.
    assert world.tagged() == {first.image_id}
    world.store.error = None
    world.forget_hold()
    care.sweep()
    assert world.database.get_channel(channel.id).status_reason == ''


@pytest.mark.parametrize(
    'error',
    [
        exception.InvalidInput('There is no such destination.'),
        exception.ServiceUnavailable(service='glance', reason='no route'),
    ],
)
def test_another_cloud_does_not_keep_the_tags_here(world, error):
    first, second = world.build(), world.build()
    care = world.care()
    channel = world.database.promote_build(first.id, 'prod', tags=['old'])
    care.sweep()
    image_row(world.database, second, 'north')
    world.stores['north'] = Store(world.directory)
    world.stores['north'].error = error
    world.database.promote_build(second.id, 'prod', tags=['new'])
    care.sweep()
    assert world.tagged() == world.tagged('new') == {second.image_id}
    assert not world.tagged('old')
    found = world.database.get_channel(channel.id)
    assert found.status_reason or not found.is_settled


def test_what_was_refused_is_not_forgotten(world):
    first, second, third = (world.build() for _ in range(3))
    channel = world.database.promote_build(first.id, 'prod', tags=['old'])
    care = world.care()
    care.sweep()
    world.database.promote_build(second.id, 'prod', tags=['new'])
    world.store.error = exception.InvalidInput('Too many tags.')
    care.sweep()
    world.store.error = None
    # The first is not even the one before any more.
    world.database.promote_build(third.id, 'prod')
    care.sweep()
    assert world.tagged() == world.tagged('new') == {third.image_id}
    assert not world.tagged('old')
    assert world.database.get_channel(channel.id).dropped_tags == []


def test_an_image_that_is_gone(world):
    first, second = world.build(), world.build()
    world.database.promote_build(first.id, 'prod')
    channel = world.database.promote_build(second.id, 'prod')
    for build in (first, second):
        world.store.delete(build.image_id)
    world.care().sweep()
    found = world.database.get_channel(channel.id)
    assert found.is_settled
    assert found.status_reason == f'The image of build {second.id} is gone.'


def test_a_running_conductor_is_told(world, tmp_path):
    build = world.build()
    with conductors.running(tmp_path) as conductor:
        channel = world.database.promote_build(build.id, 'prod')
        conductor.channels.wake()
        deadline = time.monotonic() + 60
        while not world.database.get_channel(channel.id).is_settled:
            assert time.monotonic() < deadline, 'nobody cared'
            time.sleep(0.05)
    assert world.tagged() == {build.image_id}
