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
import subprocess
import sys
import threading
import time
from unittest import mock

import pytest
from cryptography import fernet
from oslo_config import cfg

from imagebuild import exception
from imagebuild import notifications
from imagebuild import sealing
from imagebuild.conductor import manager
from imagebuild.conductor import rpcapi
from tests.unit.conductor import test_parts

KEYS = [sealing.new_key(), sealing.new_key()]


# -- sealing ----------------------------------------------------------------


def test_sealed_values_come_back():
    values = {'password': 'ħorse', 'port': 22, 'list': [1]}
    token = sealing.seal(KEYS, values)
    assert 'orse' not in token
    assert sealing.unseal(KEYS, token) == values


def test_a_key_is_replaced():
    token = sealing.seal([KEYS[1]], {'a': 1})
    assert sealing.unseal(KEYS, token) == {'a': 1}
    newer = sealing.seal(KEYS, {'a': 1})
    assert sealing.unseal([KEYS[0]], newer) == {'a': 1}


@pytest.mark.parametrize(
    'keys, match',
    [
        ([], 'names no key'),
        (['short'], '32 bytes'),
        ([fernet.Fernet.generate_key().decode()], 'fits'),
    ],
)
def test_wrong_keys(keys, match):
    token = sealing.seal(KEYS, {'a': 1})
    with pytest.raises(sealing.SealingFailed, match=match):
        sealing.unseal(keys, token)


def test_a_digest_needs_the_key():
    one, other = sealing.new_key(), sealing.new_key()
    digest = sealing.digest([one, other], 'text')
    assert len(digest) == 64
    assert digest == sealing.digest([one], 'text')
    assert digest != sealing.digest([other, one], 'text')
    assert digest != sealing.digest([one], 'texts')
    with pytest.raises(sealing.SealingFailed, match='digested.*no key'):
        sealing.digest([], 'text')


def test_a_key_is_printed():
    done = subprocess.run(
        [sys.executable, '-m', 'imagebuild.sealing'],
        capture_output=True,
        text=True,
        check=True,
    )
    key = done.stdout.strip()
    assert sealing.unseal([key], sealing.seal([key], {'a': 1})) == {'a': 1}


# -- the bus ----------------------------------------------------------------


@pytest.fixture
def conf():
    conf = cfg.ConfigOpts()
    conf(args=[], default_config_files=[])
    return conf


@pytest.fixture
def transport(conf):
    return rpcapi.get_transport(conf, 'fake://')


def test_no_conductor_answers(transport):
    api = rpcapi.ConductorAPI(transport, timeout=0.2)
    with pytest.raises(exception.NoConductor):
        api.read_log('b1', 0, 1)


def test_a_broker_that_is_away_holds_nobody(conf):
    bus = rpcapi.get_transport(conf, 'rabbit://u:p@127.0.0.1:1/')
    api = rpcapi.ConductorAPI(bus, timeout=0.3)
    begun = time.monotonic()
    api.build('b1')
    api.cancel('b1')
    assert time.monotonic() - begun < 0.3
    with pytest.raises(exception.EnvironmentFault):
        api.check_request({}, {})
    assert time.monotonic() - begun < 5


def test_too_many_calls_fail_at_once(transport):
    api = rpcapi.ConductorAPI(transport, timeout=1)
    for _ in range(rpcapi._MAX_CALLS):
        api._calling.acquire()
    with pytest.raises(exception.ServiceUnavailable):
        api.read_log('b1', 0, 1)


def test_a_sender_survives_what_fails():
    sender, done = rpcapi.Sender(), threading.Event()
    sender.send('one', mock.Mock(side_effect=OSError('away')))
    sender.send('two', done.set)
    assert done.wait(5)


@pytest.mark.parametrize(
    'error, kind',
    [
        (exception.NotFound(what='build', id='b'), 'not_found'),
        (exception.DatabaseUnavailable(reason='away'), 'unavailable'),
        (RuntimeError('secret'), 'unavailable'),
    ],
)
def test_errors_travel_by_name(error, kind):
    answer = manager._answer(mock.Mock(side_effect=error))
    assert answer['error']['kind'] == kind
    assert 'secret' not in answer['error']['message']


# -- notifications ----------------------------------------------------------


@pytest.fixture
def sent(conf, monkeypatch):
    found = []

    class Recorder:
        def info(self, context, event, payload):
            found.append(('INFO', event, payload))

        def error(self, context, event, payload):
            found.append(('ERROR', event, payload))

    monkeypatch.setattr(rpcapi, 'get_notifier', lambda *_: Recorder())
    monkeypatch.setattr(rpcapi.Sender, 'send', lambda self, what, act: act())
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
