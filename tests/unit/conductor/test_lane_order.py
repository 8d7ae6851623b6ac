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
"""Which lane a conductor turns to."""

import datetime

from imagebuild.conductor import lane_order
from imagebuild.db import records

NOW = datetime.datetime(2026, 1, 1, 12)


def make(**values):
    known = {
        'id': '',
        'kind': 'build',
        'project_id': 'p',
        'priority': 0,
        'needs': {'driver': 'fake'},
        'since': NOW,
        'running': 0,
        'limit': -1,
    }
    return records.Lane(**{**known, **values})


def order(*lanes, aging=0, **others):
    found = lane_order.in_order(lanes, now=NOW, aging=aging, **others)
    return ''.join(lane.id for lane in found)


def ago(seconds):
    return NOW - datetime.timedelta(seconds=seconds)


def test_priority_then_few_running_then_age():
    assert (
        order(
            make(id='d', since=ago(5), running=1),
            make(id='c', since=ago(5)),
            make(id='b', since=ago(9)),
            make(id='a', priority=1, running=7),
        )
        == 'abcd'
    )


def test_who_is_prepared_comes_before_who_has_waited():
    lanes = [make(id='a', since=ago(9)), make(id='b'), make(id='c', running=1)]
    prepared = {'a': 0, 'b': 2, 'c': 2}
    assert order(*lanes, preference=lambda lane: prepared[lane.id]) == 'bac'


def test_nothing_waits_for_ever():
    lanes = [make(id='h', priority=5), make(id='l', since=ago(2999))]
    assert order(*lanes) == 'hl'
    assert order(*lanes, aging=600) == 'hl'
    late = make(id='l', since=ago(3601))
    assert order(make(id='h', priority=5), late, aging=600) == 'lh'
    # A clock that was set back is no reason to wait longer.
    assert order(make(id='f', since=ago(-9999)), lanes[1], aging=600) == 'lf'


def test_no_more_than_a_project_may_have():
    assert (
        order(make(id='a', running=2, limit=2), make(id='b', limit=1)) == 'b'
    )
    assert order(make(id='a', limit=0)) == ''
