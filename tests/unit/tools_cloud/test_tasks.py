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

import pytest

from tools.cloud import errors
from tools.cloud import tasks
from tools.cloud.servers import process


def test_each_comes_after_what_it_waits_for() -> None:
    order: list[str] = []
    both = threading.Barrier(2, timeout=60)

    def meet() -> None:
        both.wait()

    tasks.run(
        {
            'last': tasks.Task(lambda: None, ('left', 'right')),
            # They can only be done together.
            'left': tasks.Task(meet, ('first',)),
            'right': tasks.Task(meet, ('first',)),
            'first': tasks.Task(lambda: None),
        },
        lambda name, result: order.append(name),
    )
    assert order[0] == 'first'
    assert order[-1] == 'last'
    assert len(order) == 4


def test_a_failure_ends_the_waits_of_others() -> None:
    began: list[str] = []

    def fail() -> None:
        raise errors.CloudError('it does not work')

    with pytest.raises(errors.CloudError, match='does not work'):
        tasks.run(
            {
                'bad': tasks.Task(fail),
                'waits': tasks.Task(lambda: process.until(lambda: False, 60)),
                'never': tasks.Task(lambda: began.append('never'), ('bad',)),
            },
            lambda name, result: None,
        )
    assert began == []
    assert not process.interrupted.is_set()


def test_a_circle_is_noticed() -> None:
    with pytest.raises(ValueError, match='wait for ever'):
        tasks.run(
            {'egg': tasks.Task(lambda: None, ('egg',))},
            lambda name, result: None,
        )
