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
import pytest

from heat_plugin import watch as watches
from imagebuild import client
from imagebuild.client import exceptions

AWAY = exceptions.ConnectionFailed('Connection refused.')


def raising(error):
    def question():
        raise error

    return question


def test_looks_grow_apart():
    watch = watches.Watch()
    delays = [watch.delay() for _ in range(18)]
    assert delays == [*range(1, 15), 15, 15, 15, 15]


def test_half_an_hour_takes_few_looks():
    watch = watches.Watch()
    seconds = looks = 0
    while seconds < 1800:
        seconds += watch.delay()
        looks += 1
    assert looks < 130


def test_answer():
    assert watches.Watch().ask(lambda: 5) == 5


@pytest.mark.parametrize(
    'error, lost',
    [(AWAY, True), (exceptions.ServiceUnavailable('Later.'), False)],
)
def test_absence(error, lost):
    watch = watches.Watch(clock=lambda: 0)
    assert watch.ask(raising(error)) is None
    assert watch.lost is lost


def test_absence_that_is_too_long():
    times = iter([0, watches.PATIENCE - 1, watches.PATIENCE])
    watch = watches.Watch(clock=lambda: next(times))
    assert watch.ask(raising(AWAY)) is None
    assert watch.ask(raising(AWAY)) is None
    with pytest.raises(exceptions.ConnectionFailed):
        watch.ask(raising(AWAY))


def test_patience_begins_anew_with_every_answer():
    times = iter([0, 1000])
    watch = watches.Watch(clock=lambda: next(times))
    assert watch.ask(raising(AWAY)) is None
    assert watch.ask(lambda: client.Build(id='b')).id == 'b'
    assert watch.ask(raising(AWAY)) is None


@pytest.mark.parametrize(
    'error',
    [
        exceptions.NotFound('x'),
        exceptions.BadRequest('x'),
        exceptions.ServerError('x'),
        exceptions.EndpointNotFound('x'),
        exceptions.Unauthenticated('x'),
    ],
)
def test_other_errors_are_no_absence(error):
    with pytest.raises(type(error)):
        watches.Watch().ask(raising(error))
