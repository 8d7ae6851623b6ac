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
import logging

from imagebuild.conductor import store_pauses


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def make():
    clock = Clock()
    return store_pauses.StorePauses(clock), clock


def test_a_store_that_is_well_never_has_all_places():
    pauses, _ = make()
    assert [pauses.slots('', number) for number in range(5)] == [0, 1, 1, 2, 3]


def test_the_pauses_grow_and_one_asks(caplog):
    caplog.set_level(logging.INFO)
    pauses, clock = make()
    waited = []
    for _ in range(12):
        pauses.failed('north', 'It does not answer.')
        # Those that had asked before know nothing new.
        pauses.failed('north', 'It does not answer.')
        began = clock.now
        while not pauses.slots('north', 4):
            clock.now += 1
        assert pauses.slots('north', 4) == 1
        waited.append(clock.now - began)
    assert waited[:4] == [2, 4, 8, 16] and waited[-1] == 300
    assert pauses.slots('', 4) == 3
    assert pauses.reason('north') == 'It does not answer.'
    assert len(caplog.records) == 1
    pauses.worked('north')
    pauses.worked('north')
    assert pauses.slots('north', 4) == 3 and not pauses.reason('north')
    assert len(caplog.records) == 2


def test_days_without_an_answer_are_a_few_lines(caplog):
    pauses, clock = make()
    for _ in range(3 * 24 * 12):
        pauses.failed('', 'away')
        clock.now += 300
    lines = [each for each in caplog.records if each.levelno > logging.DEBUG]
    assert len(lines) == 12
