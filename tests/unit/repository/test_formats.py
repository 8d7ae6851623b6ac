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
"""Conversions."""

import concurrent.futures
import threading
import time

import pytest

from imagebuild import exception
from imagebuild import repository as kit
from imagebuild.repository import formats
from tests.unit.repository.conftest import facts
from tests.unit.repository.conftest import file_of


def convert(source, target):
    target.write_bytes(b'raw ' + source.read_bytes())


def never(_source, _target):
    raise AssertionError('it is there')


def add_format(repository, id, disk_format, make, **more):
    def room(source):
        return source.stat().st_size

    return kit.add_format(
        repository, id, disk_format, make, **{'room': room} | more
    )


def test_a_conversion_is_an_artifact(make, image):
    repository = make()
    source = repository.put(image(), facts())
    made = add_format(repository, source.id, 'raw', convert)
    assert made.facts.disk_format == 'raw'
    assert made.facts.source == source.id
    assert made.facts.build_id == source.facts.build_id
    assert made.checksum != source.checksum
    with repository.hold(made.id) as held:
        assert held.path.read_bytes().startswith(b'raw ')
    assert add_format(make(), source.id, 'raw', never) == made
    assert not list(repository.incoming.iterdir())


def test_its_own_format_is_the_artifact(make, image):
    repository = make()
    source = repository.put(image(), facts())
    assert add_format(repository, source.id, 'qcow2', never) == source


def test_however_many_want_it_it_is_made_once(make, image):
    source = make().put(image(), facts())
    begun = []
    together = threading.Barrier(6)

    def slow(path, target):
        begun.append(1)
        time.sleep(0.3)
        convert(path, target)

    def want(_number):
        repository = make()
        together.wait()
        return add_format(repository, source.id, 'raw', slow)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        found = list(pool.map(want, range(6)))
    assert begun == [1]
    assert len({each.id for each in found}) == 1


def test_when_one_fails_the_next_one_makes_it(make, image):
    repository = make()
    source = repository.put(image(), facts())
    entered, fails = threading.Event(), threading.Event()

    def broken(_path, target):
        target.write_bytes(b'half')
        entered.set()
        fails.wait()
        raise exception.DiskFull(path=target)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(add_format, repository, source.id, 'raw', broken)
        entered.wait()
        second = pool.submit(
            add_format, repository, source.id, 'raw', convert,
            while_waiting=fails.set,
        )  # fmt: skip
        with pytest.raises(exception.DiskFull):
            first.result()
        assert second.result().status == kit.PRESENT


def test_who_waits_may_give_up(make, image):
    repository = make()
    source = repository.put(image(), facts())
    id = formats.id_of(source.id, 'raw')

    def give_up():
        raise InterruptedError

    with formats._turn(make(), id), pytest.raises(InterruptedError):
        add_format(repository, source.id, 'raw', never, while_waiting=give_up)


def test_a_conversion_that_is_lost_is_made_again(make, image):
    repository = make()
    source = repository.put(image(), facts())
    made = add_format(repository, source.id, 'raw', convert)
    file_of(repository, made.id).unlink()
    again = add_format(repository, source.id, 'raw', convert)
    assert (again.id, again.status) == (made.id, kit.PRESENT)


def test_a_conversion_stays_without_its_source(make, image):
    repository = make()
    source = repository.put(image(), facts())
    made = add_format(repository, source.id, 'raw', convert)
    assert repository.remove(source.id)
    assert add_format(repository, source.id, 'raw', never) == made
    with pytest.raises(exception.ArtifactUnusable):
        add_format(repository, source.id, 'vmdk', never)


def test_the_source_is_not_removed_meanwhile(make, image):
    repository = make()
    source = repository.put(image(), facts())

    def slow(path, target):
        assert not make().remove(source.id)
        convert(path, target)

    assert add_format(repository, source.id, 'raw', slow)


def test_a_conversion_needs_room(make, image):
    source = make().put(image(), facts())
    repository = make(reserve=2**62)
    with pytest.raises(exception.NoSpace):
        add_format(repository, source.id, 'raw', never)
    with pytest.raises(exception.NoSpace):
        # However little it takes itself.
        add_format(make(), source.id, 'raw', never, room=lambda _: 2**62)
    assert not list(repository.incoming.iterdir())


def test_a_conversion_that_writes_nothing(make, image):
    repository = make()
    source = repository.put(image(), facts())
    with pytest.raises(exception.EnvironmentFault):
        add_format(repository, source.id, 'raw', lambda *_: None)
    assert not list(repository.incoming.iterdir())
