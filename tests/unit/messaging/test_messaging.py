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
import time
from unittest import mock

import pytest
from oslo_config import cfg

from imagebuild import exception
from imagebuild.messaging import bus
from imagebuild.messaging import notifications
from imagebuild.messaging import rpcapi
from tests.unit.conductor import test_parts


@pytest.fixture
def conf():
    conf = cfg.ConfigOpts()
    conf(args=[], default_config_files=[])
    return conf


@pytest.fixture
def transport(conf):
    return bus.get_transport(conf, 'fake://')


def test_no_conductor_answers(transport):
    api = rpcapi.ConductorAPI(transport, timeout=0.2)
    with pytest.raises(exception.NoConductor):
        api.read_log('b1', 0, 1)


def test_a_broker_that_is_away_holds_nobody(conf):
    broken = bus.get_transport(conf, 'rabbit://u:p@127.0.0.1:1/')
    begun = time.monotonic()
    caster = rpcapi.ConductorAPI(broken, timeout=60)
    caster.build('b1')
    caster.cancel('b1')
    api = rpcapi.ConductorAPI(broken, timeout=0.3)
    with pytest.raises(exception.EnvironmentFault):
        api.check_request({})
    assert time.monotonic() - begun < 20


def test_too_many_calls_fail_at_once(transport):
    api = rpcapi.ConductorAPI(transport, timeout=1)
    for _ in range(rpcapi._MAX_CALLS):
        api._calling.acquire()
    with pytest.raises(exception.ServiceUnavailable):
        api.read_log('b1', 0, 1)


def test_a_sendersurvives_what_fails():
    sender, done = bus.Sender(), threading.Event()
    sender.send('one', mock.Mock(side_effect=OSError('away')))
    sender.send('two', done.set)
    assert done.wait(5)


# -- notifications ----------------------------------------------------------


@pytest.fixture
def sent(conf, monkeypatch):
    found = []

    class Recorder:
        def info(self, context, event, payload):
            found.append(('INFO', event, payload))

        def error(self, context, event, payload):
            found.append(('ERROR', event, payload))

    monkeypatch.setattr(bus, 'get_notifier', lambda *_: Recorder())
    monkeypatch.setattr(bus.Sender, 'send', lambda self, what, act: act())
    return found


@pytest.mark.parametrize(
    'status, priority, event',
    [
        ('active', 'INFO', 'image_build.build.end'),
        ('cancelled', 'INFO', 'image_build.build.end'),
        ('error', 'ERROR', 'image_build.build.error'),
    ],
)
def test_notifications(conf, sent, status, priority, event):
    build = test_parts.make_build(
        status=status,
        secrets='sealed',
        request={'arguments': {'p': 'horse'}},
        base={'location': 'http://user:horse@host'},
    )
    notifier = notifications.Notifier(conf, 'c1')
    notifier.started(build)
    notifier.ended(build)
    assert sent[0][1] == 'image_build.build.start'
    assert sent[1][:2] == (priority, event)
    assert 'horse' not in repr(sent) and 'sealed' not in repr(sent)
    assert sent[1][2]['created_at'] == '2026-01-02T03:04:05Z'
    assert sent[1][2]['build_id'] == 'b1'
