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

from heat_plugin import poll_state
from imagebuild import client
from imagebuild.client import exceptions

UNAVAILABLE = exceptions.ConnectionFailed('Connection refused.')


def raising(error):
    def request():
        raise error

    return request


def test_polls_grow_apart():
    state = poll_state.PollState()
    delays = [state.delay() for _ in range(18)]
    assert delays == [*range(1, 15), 15, 15, 15, 15]


def test_half_an_hour_takes_few_polls():
    state = poll_state.PollState()
    seconds = polls = 0
    while seconds < 1800:
        seconds += state.delay()
        polls += 1
    assert polls < 130


def test_response():
    assert poll_state.PollState().call(lambda: 5) == 5


@pytest.mark.parametrize(
    'error, lost',
    [(UNAVAILABLE, True), (exceptions.ServiceUnavailable('Later.'), False)],
)
def test_retry(error, lost):
    state = poll_state.PollState(clock=lambda: 0)
    assert state.call(raising(error)) is None
    assert state.response_lost is lost


def test_retries_end():
    times = iter([0, poll_state.RETRY_TIMEOUT - 1, poll_state.RETRY_TIMEOUT])
    state = poll_state.PollState(clock=lambda: next(times))
    assert state.call(raising(UNAVAILABLE)) is None
    assert state.call(raising(UNAVAILABLE)) is None
    with pytest.raises(exceptions.ConnectionFailed):
        state.call(raising(UNAVAILABLE))


def test_the_time_for_retries_begins_again_with_every_response():
    times = iter([0, 1000])
    state = poll_state.PollState(clock=lambda: next(times))
    assert state.call(raising(UNAVAILABLE)) is None
    assert state.call(lambda: client.Build(id='b')).id == 'b'
    assert state.call(raising(UNAVAILABLE)) is None


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
def test_other_errors_are_not_retried(error):
    with pytest.raises(type(error)):
        poll_state.PollState().call(raising(error))
