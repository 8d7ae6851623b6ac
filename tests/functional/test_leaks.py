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
"""Images that nobody knows any more, in a Glance and in a directory."""

import datetime
import logging
import types
import uuid

import pytest

from imagebuild import db
from imagebuild.clients import glance as glance_client
from imagebuild.conductor import leaks
from imagebuild.db import migration
from imagebuild.stores import base
from imagebuild.stores import glance as glance_store
from tests import fake_glance
from tests.contract import database as contract
from tests.functional import conductors

IMAGE = base.ImageProperties(name='web', owner='project')


class Setting:
    """A finder with a Glance, and a clock that is moved by hand."""

    def __init__(self, server, url, hide=False):
        self.server = server
        # Images of the fake are made in the minute after.
        self.now = datetime.datetime(2026, 1, 1)
        self.url, self.hide = url, hide
        self.database = db.Database(url, clock=lambda: self.now)
        self.store = self.open_store()
        self.conf = types.SimpleNamespace(
            conductor=types.SimpleNamespace(leak_grace=3600)
        )
        self.finder = self.restart()

    def open_store(self, service='this-service'):
        return glance_store.GlanceStore(
            glance_client.Glance.from_config(self.server.config),
            retry_timeout=1,
            service_id=service,
        )

    def restart(self):
        """Another process of the conductor."""
        self.finder = leaks.LeakFinder(
            types.SimpleNamespace(
                conf=self.conf,
                database=self.database,
                open_store=lambda _name: self.store,
                job_config=lambda _name: {
                    'destination': {'hide_undeletable': self.hide}
                },
            )
        )
        return self.finder

    def search(self, hours=0.0):
        """Look, after so many hours."""
        self.now += datetime.timedelta(hours=hours)
        self.finder.search('')

    def add(self, store=None, **stamp):
        """An image with a mark, as an upload leaves it.

        :returns: its record in Glance.
        """
        changes = {
            name: stamp.pop(name) for name in ('created_at',) if name in stamp
        }
        stamp = {
            'build_id': str(uuid.uuid4()),
            'upload_id': str(uuid.uuid4()),
            **stamp,
        }
        path = self.path
        path.write_bytes(b'disk')
        stored = (store or self.store).upload(path, IMAGE, base.Stamp(**stamp))
        record = self.server.images[stored.image_id]
        record.update(changes)
        return record

    @property
    def left(self):
        return set(self.server.images)


@pytest.fixture
def setting(tmp_path):
    url = f'sqlite:///{tmp_path}/imagebuild.sqlite'
    migration.upgrade(url)
    with fake_glance.FakeGlance() as server:
        made = Setting(server, url)
        made.path = tmp_path / 'disk'
        made.search()
        yield made
        made.database.close()


def test_seen_twice_it_goes(setting, caplog):
    one, two = setting.add(), setting.add()
    setting.search(0.5)
    # A conductor that begins knows what others have seen, and no more.
    setting.restart()
    setting.search(0.5)
    later = setting.add()
    setting.search(0.4)
    assert setting.left == {one['id'], two['id'], later['id']}
    setting.search(0.6)
    assert setting.left == {later['id']}
    setting.search(1)
    assert setting.left == set()
    text = caplog.text
    assert text.count('with the mark of this service; to be removed') == 2
    assert text.count('no row knew it') == 3


def test_what_is_under_way_or_known_stays(setting):
    build = contract.start(setting.database)
    running = setting.add(build_id=build.id)
    kept = setting.add()
    user = contract.finish(
        setting.database,
        contract.start(setting.database),
        image={**contract.IMAGE, 'image_id': kept['id']},
    )
    for _ in range(4):
        setting.search(1)
    assert setting.left == {running['id'], kept['id']}
    # To be deleted by a job: that is not a leak.
    setting.database.delete_build(user.id)
    contract.finish(setting.database, build, 'error')
    for _ in range(3):
        setting.search(1)
    assert setting.left == {kept['id']}


def test_what_is_not_ours_stays(setting):
    ours = setting.add()
    marks = {
        name: value
        for name, value in ours.items()
        if name.startswith('imagebuild_')
    }
    stay = {
        setting.server.add(b'no mark')['id'],
        # A snapshot of a server that was made of it.
        setting.server.add(b'x', owner='tenant', **marks)['id'],
        setting.add(setting.open_store('staging'))['id'],
    }
    for _ in range(4):
        setting.search(1)
    assert setting.left == stay


def test_a_tenant_who_copies_the_mark_loses_only_his_own(setting):
    """Whatever else has that mark is judged by itself."""
    kept = setting.add()
    contract.finish(
        setting.database,
        contract.start(setting.database),
        image={**contract.IMAGE, 'image_id': kept['id']},
    )
    marks = {
        name: value
        for name, value in kept.items()
        if name.startswith('imagebuild_')
    }
    id = str(uuid.uuid4())
    setting.server.add(
        b'x', owner='tenant', **{**marks, 'id': id, 'imagebuild_image_id': id}
    )
    odd = str(uuid.uuid4())
    setting.server.add(
        b'x',
        owner='tenant',
        id=odd,
        imagebuild_image_id=odd,
        imagebuild_service='this-service',
        imagebuild_upload_id="'\n; --" * 300,
    )
    assert setting.left == {kept['id'], id, odd}
    for _ in range(4):
        setting.search(1)
    assert setting.left == {kept['id']}


def test_what_is_older_than_the_first_look_stays(setting, tmp_path):
    """The database was lost, and a new one was made."""
    image = setting.add()
    url = f'sqlite:///{tmp_path}/new.sqlite'
    migration.upgrade(url)
    new = Setting(setting.server, url)
    new.now = setting.now + datetime.timedelta(hours=1)
    for _ in range(5):
        new.search(1)
    new.database.close()
    assert setting.left == {image['id']}


def test_what_was_made_since_a_backup_stays(setting):
    image = setting.add()
    for hours in (0, 3, 1, 1, 1):
        setting.search(hours)
    assert setting.left == {image['id']}
    new = setting.add(created_at='2026-01-01T06:00:00Z')
    for _ in range(3):
        setting.search(1)
    assert new['id'] not in setting.left


def test_most_of_what_is_there_is_no_leak(setting, caplog):
    """Another service has the same mark, or the database is an old one."""
    many = {setting.add()['id'] for _ in range(12)}
    for _ in range(4):
        setting.search(1)
    assert setting.left == many
    assert 'Is it the right database?' in caplog.text


@pytest.mark.parametrize('hide', [True, False])
def test_what_is_protected_is_told_once(setting, caplog, hide):
    image = setting.add()
    image['protected'] = True
    setting.hide = hide
    for _ in range(6):
        setting.search(1)
    assert setting.left == {image['id']}
    assert image['os_hidden'] is hide
    told = [each for each in caplog.records if 'is left' in each.getMessage()]
    assert len(told) == 1
    image['protected'] = False
    setting.search(1)
    assert setting.left == set()


def test_one_that_is_in_use_keeps_no_other(setting, caplog):
    used, _ = setting.add(), setting.add()
    setting.server.fail('DELETE', used['id'], 409, 'In use.', times=3)
    for _ in range(4):
        setting.search(1)
    assert setting.left == {used['id']}
    assert caplog.text.count('is left') == 1
    for _ in range(3):
        setting.search(1)
    assert setting.left == set()


def test_a_store_that_is_away_is_told_once(setting, caplog, monkeypatch):
    monkeypatch.setattr(
        leaks.destination_section, 'names', lambda _conf: ['', 'north']
    )
    searched = []

    def open_store(name):
        searched.append(name)
        return setting.open_store()

    setting.server.fail('GET', '/v2/images', 503, times=1000)
    setting.finder._context.open_store = open_store
    for _ in range(5):
        setting.now += datetime.timedelta(hours=1)
        setting.finder._work()
    assert searched.count('north') == searched.count('') == 5
    told = [e for e in caplog.records if e.levelno == logging.WARNING
            and 'are not looked for now' in e.getMessage()]  # fmt: skip
    assert len(told) == 2


def test_switched_off(setting):
    setting.conf.conductor.leak_grace = 0
    setting.finder._work()
    image = setting.add()
    assert setting.left == {image['id']}


def test_a_conductor_does_it(tmp_path):
    database = conductors.make_database(tmp_path)
    store = conductors.store(tmp_path)
    path = tmp_path / 'disk'
    path.write_bytes(b'disk')
    with conductors.running(tmp_path, leak_grace=2):
        build = conductors.add_build(database)
        conductors.wait_for(database, build, 'active')
        stamp = base.Stamp(str(uuid.uuid4()), str(uuid.uuid4()))
        left = store.upload(path, IMAGE, stamp)
        conductors.wait_until(lambda: not store.exists(left.image_id))
        assert len(conductors.images_in(tmp_path)) == 1
    database.close()
