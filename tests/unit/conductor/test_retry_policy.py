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
import threading
from unittest import mock

import pytest

from imagebuild import exception
from imagebuild.conductor import retry_policy

AWAY = exception.DatabaseUnavailable(reason='it restarts')


@pytest.fixture
def shutting_down():
    made = mock.create_autospec(threading.Event(), instance=True)
    made.is_set.return_value = False
    return made


@pytest.fixture
def retry(shutting_down):
    return retry_policy.RetryPolicy(shutting_down)


def pauses(shutting_down):
    return [
        call.kwargs['timeout'] for call in shutting_down.wait.call_args_list
    ]


def test_the_database_is_asked_until_it_answers(retry, shutting_down, caplog):
    call = mock.Mock(side_effect=[AWAY] * 7 + ['answer'])
    assert retry.until_available('a look', call) == 'answer'
    assert pauses(shutting_down) == [0.5, 1, 2, 4, 8, 10, 10]
    assert caplog.messages[1] == (
        f'a look: database unavailable, retrying in 1.0 s: {AWAY}'
    )


def test_other_errors_of_the_database_are_not_repeated(retry):
    call = mock.Mock(side_effect=exception.NotFound(what='build', id='b1'))
    with pytest.raises(exception.NotFound):
        retry.until_available('a look', call)
    call.assert_called_once_with()


def test_a_store_is_asked_again(retry):
    call = mock.Mock(side_effect=[OSError('a'), OSError('b'), 'answer'])
    sleep = mock.Mock()
    answer = retry.while_store_unavailable(
        call, is_retryable=lambda _: True, attempts=3, sleep=sleep
    )
    assert answer == 'answer'
    assert sleep.call_args_list == [mock.call(2), mock.call(4)]


@pytest.mark.parametrize('is_retryable, calls', [(True, 2), (False, 1)])
def test_the_last_error_of_a_store_is_raised(retry, is_retryable, calls):
    call = mock.Mock(side_effect=[OSError(str(n)) for n in range(1, 9)])
    with pytest.raises(OSError, match=str(calls)):
        retry.while_store_unavailable(
            call,
            is_retryable=lambda _: is_retryable,
            attempts=2,
            sleep=mock.Mock(),
        )
    assert call.call_count == calls


def test_an_interruption_ends_the_retries(retry):
    call = mock.Mock(side_effect=OSError)
    with pytest.raises(KeyError):
        retry.while_store_unavailable(
            call,
            is_retryable=lambda _: True,
            attempts=3,
            sleep=mock.Mock(side_effect=KeyError),
        )
    call.assert_called_once_with()


def test_what_is_never_done_is_given_up(retry, shutting_down):
    call = mock.Mock(return_value=False)
    retry.until_done(call, 3)
    assert call.call_count == 3
    assert pauses(shutting_down) == [2, 4]
    shutting_down.is_set.return_value = True
    retry.until_done(call, 3)
    assert call.call_count == 4


def test_what_takes_long_is_given_up(retry):
    call = mock.Mock(return_value=False)
    retry.until_done(call, 3, seconds=1)
    assert call.call_count == 1


def test_what_is_done_is_not_done_again(retry):
    call = mock.Mock(side_effect=[False, True])
    retry.until_done(call, 3)
    assert call.call_count == 2
