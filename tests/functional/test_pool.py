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
"""A pool of unlike conductors behind the real API and an in-memory bus."""

import contextlib
import hashlib
import time

import pytest

from imagebuild import db
from imagebuild.conductor import base_files
from imagebuild.conductor import capability
from imagebuild.db import migration
from imagebuild.messaging import first_answer
from tests.functional import api_service
from tests.functional import conductors
from tests.functional import notices

OPERATING_SYSTEMS = """
one: {driver: one, driver_options: {lines: 2}}
two: {driver: two, architecture: x86_64}
either: {driver: both}
mine: {driver: both}
local: {driver: wants, image: {path: BASE}}
"""
REQUESTS = 200


class Driver(conductors.FakeDriver):
    def __init__(self, name):
        self.name = name
        self.wants_base = name == 'wants'


class Pool:
    """An API, and conductors that have what the test says."""

    def __init__(self, directory, stack):
        self._directory = directory
        # Shared, as a cloud is.
        self._store = conductors.store(directory)
        self._stack = stack
        url = f'sqlite:///{directory}/imagebuild.sqlite'
        migration.upgrade(url)
        self.database = db.Database(url)
        self.notices = notices.Notices()
        self.conf = api_service.make_conf(directory)
        (directory / 'operating-systems.yaml').write_text(
            OPERATING_SYSTEMS.replace('BASE', str(directory / 'base'))
        )
        self._client = api_service.over_bus(self.conf, self.database)

    def add(self, name, *drivers, **options):
        """Start a conductor that has these drivers and no catalogue."""
        directory = self._directory / name
        directory.mkdir(exist_ok=True)
        conf = conductors.read_conf(
            conductors.write_conf(directory, name, **options)
        )
        conf.set_override(
            'folder', str(self._directory / 'images'), 'file_store'
        )
        assert not (directory / 'operating-systems.yaml').exists()
        conductor = conductors.make_conductor(
            conf,
            database=self.database,
            open_store=lambda _destination: self._store,
            notifier=self.notices,
            capability_provider=capability.CapabilityProvider(
                conf, lambda: {each: Driver(each) for each in drivers}
            ),
        )
        conductor.start()
        self._stack.callback(conductor.stop)
        conductors.wait_until(lambda: conductor._server, what='the bus')
        return conductor

    def ask(self, path='/v1/builds/plan', **body):
        return self._client.post(path, json={'name': 'x', **body})

    def change(self, build_id, **body):
        return self._client.patch(f'/v1/builds/{build_id}', json=body)


@pytest.fixture
def pool(tmp_path, monkeypatch):
    # However slow this host is, a small file is read in time.
    monkeypatch.setattr(base_files, '_SECONDS', 60)
    with contextlib.ExitStack() as stack:
        made = Pool(tmp_path, stack)
        # Last, as the conductors use it until they end.
        stack.callback(made.conf.clear)
        yield made


def test_no_false_refusal(pool):
    pool.add('c1', 'one', 'both')
    pool.add('c2', 'two', 'both', operating_systems='two,either')
    refused = []
    for number in range(REQUESTS):
        name = ('one', 'two', 'either', 'mine')[number % 4]
        answer = pool.ask(os=name)
        if answer.status_code != 200:
            refused.append(answer.json['error']['message'])
    assert refused == []


def test_builds_land_where_they_can(pool):
    pool.add('c1', 'one', 'both')
    pool.add('c2', 'two', 'both', operating_systems='two,either')
    expected = {'one': 'c1', 'two': 'c2', 'mine': 'c1'}
    for name, conductor in expected.items():
        answer = pool.ask('/v1/builds', os=name, reuse='never')
        assert answer.status_code == 202, answer.json
        build = conductors.wait_for(pool.database, answer.json['id'], 'active')
        assert build.conductor == conductor


def test_the_options_of_the_catalogue_reach_the_build(pool):
    pool.add('c1', 'one')
    answer = pool.ask('/v1/builds', os='one', driver_options={'size': 3})
    build = pool.database.get_build(answer.json['id'])
    assert build.base['driver_options'] == {'lines': 2, 'size': 3}


def test_one_that_hangs_is_passed_over(pool, monkeypatch):
    """Its heartbeat is fresh, and nobody takes its calls."""
    # The other is asked early, and has most of the time.
    monkeypatch.setattr(first_answer, '_HEDGE_AFTER', 0.04)
    pool.add('c1', 'one')
    hanging = pool.add('c2', 'one')
    hanging._server.stop()
    hanging._server.wait()
    hanging._server = None
    for _ in range(8):
        assert pool.ask(os='one').status_code == 200


@pytest.mark.parametrize('left', ['c1', 'c2'])
def test_an_image_is_looked_for_by_whoever_is_up(pool, left):
    """Whether it could have built it or not."""
    running = {'c1': pool.add('c1', 'one'), 'c2': pool.add('c2', 'two')}
    build = pool.ask('/v1/builds', os='one').json['id']
    image = conductors.wait_for(pool.database, build, 'active').image_id
    if left == 'c1':
        running['c2'].drain()
        assert pool.ask(os='one').json['reuse']['image_id'] == image
    else:
        running['c1'].stop()
    answer = pool.change(build, name='another')
    assert answer.status_code == 200, answer.json
    assert answer.json['name'] == 'another'


def test_a_base_image_that_is_a_file(pool, tmp_path):
    (tmp_path / 'base').write_bytes(b'base')
    pool.add('c1', 'wants')
    build = pool.ask('/v1/builds', os='local').json['id']
    conductors.wait_for(pool.database, build, 'active')
    digest = f'sha256:{hashlib.sha256(b"base").hexdigest()}'
    assert pool.database.get_build(build).base['identity'] == digest

    def seen():
        [found] = pool.database.list_conductors()
        return found.capability.base_files

    # With its next heartbeat.
    conductors.wait_until(seen)
    assert seen() == {str(tmp_path / 'base'): digest}


def test_another_file_of_that_path_is_not_taken(pool, tmp_path):
    (tmp_path / 'base').write_bytes(b'base')
    conductor = pool.add('c1', 'wants', max_builds=0)
    build = pool.ask('/v1/builds', os='local').json['id']
    (tmp_path / 'base').write_bytes(b'newer')
    conductor.context.conf.set_override('max_builds', 1, 'conductor')
    conductor.reload()
    key, digest = str(tmp_path / 'base'), hashlib.sha256(b'newer').hexdigest()
    conductors.wait_until(
        lambda: (
            conductor.capability_provider.capability.base_files.get(key)
            == f'sha256:{digest}'
        )
    )
    conductors.wait_until(
        lambda: (
            pool.database.get_build(build).status_reason
            == 'Waits for a conductor that can build it: c1 has another file '
            'in the place of the base image.'
        )
    )
    assert pool.database.get_build(build).status == 'queued'
    # As it was again.
    (tmp_path / 'base').write_bytes(b'base')
    conductor.reload()
    conductors.wait_for(pool.database, build, 'active')


# -- conductors that are down -------------------------------------------------


@pytest.fixture
def waiting(pool):
    """c1 builds "one" and is down; c2 has its driver and does not offer it.

    :returns: id of a build that only c1 can build.
    """
    pool.add('c1', 'one').stop()
    pool.add('c2', 'one', 'two', drivers='two')
    plan = pool.ask(os='one').json
    assert (plan['conductors'], plan['waits_for']) == ([], ['c1'])
    answer = pool.ask('/v1/builds', os='one')
    assert answer.status_code == 202
    assert answer.json['status'] == 'queued'
    assert answer.json['status_reason'] == (
        'Waits for a conductor: c1 could, and is down.'
    )
    return answer.json['id']


def test_a_build_waits_for_a_conductor(pool, waiting):
    time.sleep(2)
    assert pool.database.get_build(waiting).status == 'queued'
    pool.add('c1', 'one')
    build = conductors.wait_for(pool.database, waiting, 'active')
    assert build.conductor == 'c1'
    assert build.status_reason == ''


def test_it_does_not_wait_for_ever(pool, waiting):
    pool.add('c3', 'two', wait_for_conductor=2)
    build = conductors.wait_for(pool.database, waiting, 'error')
    assert build.fault == 'service'
    assert build.status_reason == (
        'Waited in vain for 2 seconds. Waits for a conductor: c1 could, and '
        'is down.'
    )


def test_only_who_is_down_knows_the_driver(pool):
    pool.add('c1', 'one').stop()
    pool.add('c2', 'two')
    answer = pool.ask(os='one')
    assert answer.status_code == 503
    assert 'only c1 could, and is down' in answer.json['error']['message']
    assert answer.headers['Retry-After']


def test_one_that_is_down_for_long_is_not_waited_for(pool):
    pool.add('c1', 'one').stop()
    pool.add('c2', 'one', 'two', drivers='two')
    pool.conf.set_override('wait_for_conductor', 1, 'conductor')
    time.sleep(1.1)
    answer = pool.ask(os='one')
    assert answer.status_code == 400
    assert 'has the driver "one"' in answer.json['error']['message']
