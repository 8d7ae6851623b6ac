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
"""Whom a conductor takes for dead depends on its own heartbeats."""

import types
from unittest import mock

import pytest

from imagebuild import db
from imagebuild import exception
from imagebuild.common import placement
from imagebuild.conductor import heartbeat


@pytest.fixture
def clock(monkeypatch):
    found = types.SimpleNamespace(now=1000.0)
    monkeypatch.setattr(
        heartbeat, 'time', types.SimpleNamespace(monotonic=lambda: found.now)
    )
    return found


@pytest.fixture
def sender():
    """It has an interval of 5 seconds."""
    database = mock.create_autospec(db.Database, instance=True)
    return heartbeat.Heartbeat(
        database,
        'c1',
        '1',
        get_capability=lambda: placement.Capability(name='c1'),
        running=lambda: 0,
        interval=5,
    )


def send(sender, clock, *pauses):
    for seconds in pauses:
        clock.now += seconds
        sender.send()


def test_it_is_stable_while_they_come_in_time(sender, clock):
    assert sender.database_stable_for == 0
    send(sender, clock, 0, 5, 5.1, 9)
    clock.now += 1
    assert sender.database_stable_for == pytest.approx(20.1)


def test_one_that_hangs_is_as_one_that_fails(sender, clock):
    """Those of all others are late as well, and they look dead."""
    send(sender, clock, 0, 5, 5)
    clock.now += 40
    assert sender.database_stable_for == 0
    sender.send()
    # Others have had no time for theirs.
    assert sender.database_stable_for == 0
    send(sender, clock, 5, 5)
    assert sender.database_stable_for == 10


def test_after_a_failure_it_counts_again(sender, clock):
    send(sender, clock, 0, 5)
    failure = exception.DatabaseUnavailable(reason='it restarts')
    sender._database.heartbeat.side_effect = failure
    clock.now += 5
    assert sender._work() == 5
    assert sender.database_stable_for == 0
    sender._database.heartbeat.side_effect = None
    send(sender, clock, 5, 3)
    assert sender.database_stable_for == 3
