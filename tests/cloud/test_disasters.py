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
"""The cloud breaks while it builds: nothing is lost, nothing is doubled."""

import contextlib
import os
import pathlib
import random
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from imagebuild.client import exceptions
from tests.cloud import people
from tests.cloud import test_builds
from tools.cloud import clouds

cloud = test_builds.cloud


@pytest.fixture(autouse=True)
def whole(cloud: clouds.Cloud) -> Iterator[None]:
    """Whatever a test broke is repaired for the next."""
    yield
    cloud.up(host_is_ready=True)


def _seen(ours: Any, status: str, os: str, name: str, **more: Any) -> Any:
    """Ask for a build that ends by itself, and wait until it is like this."""
    for _ in range(3):
        build = ours.builds.create(name=name, os=os, reuse='never', **more)
        found = people.wait(
            ours,
            build.id,
            lambda each: each.status == status or people.ended(each),
        )
        if found.status == status:
            return found
        # It was over before this host came to look.
        assert found.status == 'active', found
    raise AssertionError(found)


def _sleepers(seconds: int) -> list[int]:
    """The "sleep SECONDS" on this host, those in guests too."""
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):
            if path.read_bytes() == f'sleep\0{seconds}\0'.encode():
                found.append(int(path.parent.name))
    return found


def _assert_one_image(cloud: clouds.Cloud, done: Any, attempts: int) -> None:
    assert done.status == 'active', done
    assert done.attempt <= attempts
    images = people.stamped(cloud, done.id)
    assert [image['id'] for image in images] == [done.image_id]
    assert images[0]['status'] == 'active'
    assert images[0]['os_hash_value'] == done.checksum['os_hash_value']


def test_conductor_killed_while_it_builds(cloud: clouds.Cloud) -> None:
    ours = people.client(cloud)
    # Until it is woken: nobody else's sleep is as long.
    long = random.randint(10**6, 10**7)
    build = ours.builds.create(
        name='killed',
        os='tiny',
        reuse='never',
        manifest={
            'validators': [
                {
                    'script': {
                        'sleeps': {'inline': f'echo asleep; sleep {long} || :'}
                    }
                }
            ]
        },
    )

    def asleep(times: int) -> None:
        def is_so(_: Any) -> bool:
            text = ours.builds.log(build.id).text
            said = sum(each.endswith('asleep') for each in text.splitlines())
            return said == times and bool(_sleepers(long))

        people.wait(ours, build.id, is_so)

    asleep(1)
    killed = {*_sleepers(long)}
    first = ours.builds.get(build.id).conductor
    cloud.service(first).kill()
    people.eventually(lambda: not killed & {*_sleepers(long)})
    asleep(2)
    for pid in _sleepers(long):
        os.kill(pid, signal.SIGTERM)
    done = people.wait(ours, build.id)
    # A host that fails before the script runs is a matter of its own.
    _assert_one_image(cloud, done, attempts=done.attempt)
    lines = ours.builds.log(build.id).text.splitlines()
    assert sum(line.endswith('asleep') for line in lines) == 2, lines
    assert done.conductor != first
    # It finds what its former life left when it is back.
    cloud.up(host_is_ready=True)
    people.assert_nothing_left(cloud)


def test_conductor_killed_while_it_uploads(cloud: clouds.Cloud) -> None:
    ours = people.client(cloud)
    build = _seen(
        ours, 'uploading', 'heavy', 'killed uploading', disk_format='raw'
    )
    first = ours.builds.get(build.id).conductor
    cloud.service(first).kill()
    done = people.wait(ours, build.id)
    _assert_one_image(cloud, done, attempts=2)
    cloud.up(host_is_ready=True)
    people.assert_nothing_left(cloud)


@pytest.mark.parametrize('name', ['rabbitmq', 'mariadb'])
def test_server_restarted(cloud: clouds.Cloud, name: str) -> None:
    ours = people.client(cloud)
    builds = [
        ours.builds.create(name=f'{name} {number}', os='slow', reuse='never')
        for number in range(2)
    ]
    builds.append(_seen(ours, 'building', 'slow', f'{name} 2'))
    server = getattr(cloud.site, name)
    server.kill()
    time.sleep(3)
    server.start()
    _wait_until_it_answers(ours, builds[0].id)
    for build in builds:
        _assert_one_image(cloud, people.wait(ours, build.id), attempts=3)
    # And it is not only that what was begun has ended.
    after = _create_once_conductors_answer(ours)
    _assert_one_image(cloud, people.wait(ours, after.id), attempts=1)
    people.assert_nothing_left(cloud)


def _create_once_conductors_answer(ours: Any) -> Any:
    # They may still be on the way back to the bus: 503, to be retried later.
    end = time.monotonic() + 300
    while True:
        try:
            return ours.builds.create(name='after', os='fake-1', reuse='never')
        except exceptions.ServiceUnavailable:
            assert time.monotonic() < end
            time.sleep(2)


def _wait_until_it_answers(ours: Any, build_id: str) -> None:
    end = time.monotonic() + 300
    while True:
        try:
            ours.builds.get(build_id)
            return
        except Exception:
            assert time.monotonic() < end
            time.sleep(1)


def test_glance_away_for_a_minute(cloud: clouds.Cloud) -> None:
    ours = people.client(cloud)
    build = _seen(ours, 'building', 'slow', 'patient')
    glance = cloud.service('glance')
    glance.kill()
    back = threading.Timer(60, glance.start)
    back.start()
    try:
        done = people.wait(ours, build.id)
    finally:
        back.join()
    _assert_one_image(cloud, done, attempts=1)
    people.assert_nothing_left(cloud)


def test_drained_conductor_hands_over(cloud: clouds.Cloud) -> None:
    ours = people.client(cloud)
    build = _seen(ours, 'building', 'slow', 'drained')
    name = build.conductor
    # A conductor's log goes on over its restarts, and the earlier tests took
    # its database and its bus away: what it said of them is not of here.
    log = pathlib.Path(cloud.service(name).log)
    before = log.stat().st_size
    cloud.service(name).stop()
    done = people.wait(ours, build.id)
    _assert_one_image(cloud, done, attempts=2)
    said = log.read_bytes()[before:].decode(errors='replace')
    assert said
    assert 'Traceback' not in said
