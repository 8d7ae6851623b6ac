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

import oslo_messaging
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
        api.check_request({}, {}, among=['c1', 'c2'])
    # The call's own time is 0.3 s, and a cast has none: it never waits.
    assert time.monotonic() - begun < 50


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
    assert done.wait(60)


class Told:
    """A conductor, as far as it is told of builds."""

    target = bus.TARGET

    def __init__(self):
        self.builds = []

    def build(self, context, build_id):
        self.builds.append((build_id, context.get(rpcapi.TURN)))


def test_a_few_or_all_are_told_of_a_build(transport):
    told = {name: Told() for name in ('c1', 'c2', 'c3')}
    servers = [
        bus.get_rpc_server(transport, name, endpoint)
        for name, endpoint in told.items()
    ]
    for each in servers:
        each.start()
    api = rpcapi.ConductorAPI(transport)
    # The last one is to all, and messages stay in their order.
    api.build('b1', to=['c1', 'c3'])
    api.build('b2')
    deadline = time.monotonic() + 60
    while any(('b2', None) not in each.builds for each in told.values()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for each in servers:
        each.stop()
        each.wait()
    found = {name: sorted(each.builds) for name, each in told.items()}
    assert found == {
        'c1': [('b1', 0), ('b2', None)],
        'c2': [('b2', None)],
        'c3': [('b1', 1), ('b2', None)],
    }


# -- conductors of other releases --------------------------------------------


class Endpoint:
    """What a conductor serves."""

    target = bus.TARGET

    def __init__(self, name='c'):
        self.name = name
        self.called = []

    def check_request(self, context, request, entry=None):
        self.called.append((request, entry))
        return {'result': {'problems': [], 'base': {'of': self.name}}}

    def verify_image(self, context, image_row_id):
        self.called.append(image_row_id)
        return {'result': True}


class Older(Endpoint):
    target = bus.OLDEST

    def check_request(self, context, request):
        return super().check_request(context, request)


@pytest.fixture
def serve(transport):
    servers = []

    def serve(endpoint):
        server = bus.get_rpc_server(transport, endpoint.name, endpoint)
        server.start()
        servers.append(server)
        return endpoint

    yield serve
    for server in servers:
        server.stop()
        server.wait()


def test_the_entry_goes_with_the_request(transport, serve):
    endpoint = serve(Endpoint())
    api = rpcapi.ConductorAPI(transport, timeout=60)
    api.check_request({'a': 1}, {'name': 'x'}, among=['c'])
    assert endpoint.called == [({'a': 1}, {'name': 'x'})]


def test_a_conductor_of_the_release_before(transport, serve):
    endpoint = serve(Older())
    api = rpcapi.ConductorAPI(transport, timeout=60)
    answer = api.check_request({'a': 1}, {'name': 'x'}, among=['c'])
    assert answer['base'] == {'of': 'c'}
    assert endpoint.called == [({'a': 1}, None)]
    assert api.verify_image('r1', among=['c'])


def test_an_api_server_of_the_release_before(transport, serve):
    """It names no conductor and sends no entry."""
    endpoint = serve(Endpoint())
    client = oslo_messaging.get_rpc_client(transport, bus.OLDEST, timeout=60)
    client.call({}, 'check_request', request={'a': 1})
    assert endpoint.called == [({'a': 1}, None)]


def test_who_was_named_is_called(transport, serve):
    one, two = serve(Endpoint('c1')), serve(Endpoint('c2'))
    api = rpcapi.ConductorAPI(transport, timeout=60)
    for _ in range(10):
        answer = api.check_request({}, {}, among=['c2'])
        assert answer['base'] == {'of': 'c2'}
    assert one.called == [] and len(two.called) == 10


def test_calls_are_spread(transport, serve):
    called = [serve(Endpoint('c1')).called, serve(Endpoint('c2')).called]
    api = rpcapi.ConductorAPI(transport, timeout=60)
    for _ in range(40):
        api.verify_image('r1', among=['c1', 'c2'])
    assert all(called)


def test_nobody_to_be_called(transport):
    api = rpcapi.ConductorAPI(transport, timeout=60)
    with pytest.raises(exception.NoConductor):
        api.verify_image('r1', among=[])


class Failing(Endpoint):
    def __init__(self, name, kind):
        super().__init__(name)
        self._error = {'error': {'kind': kind, 'message': 'its file is gone'}}

    def verify_image(self, context, image_row_id):
        self.called.append(image_row_id)
        return self._error


def test_another_one_may_be_able(transport, serve):
    serve(Failing('c1', 'unavailable'))
    serve(Endpoint('c2'))
    api = rpcapi.ConductorAPI(transport, timeout=60)
    for _ in range(10):
        assert api.verify_image('r1', among=['c1', 'c2'])
    with pytest.raises(exception.ServiceUnavailable, match='its file'):
        api.verify_image('r1', among=['c1'])


def test_what_is_not_there_is_asked_for_once(transport, serve):
    both = [serve(Failing(name, 'not_found')) for name in ('c1', 'c2')]
    api = rpcapi.ConductorAPI(transport, timeout=60)
    with pytest.raises(exception.NotFound):
        api.verify_image('r1', among=['c1', 'c2'])
    assert sum(len(each.called) for each in both) == 1


class Refusing(Endpoint):
    def __init__(self, name, *, elsewhere):
        super().__init__(name)
        self._elsewhere = elsewhere

    def check_request(self, context, request, entry=None):
        self.called.append(request)
        return {
            'result': {
                'problems': [{'path': 'driver', 'message': self.name}],
                'base': None,
                'elsewhere': self._elsewhere,
            }
        }


def test_what_is_wrong_on_one_host_only(transport, serve):
    serve(Refusing('c1', elsewhere=True))
    serve(Endpoint('c2'))
    api = rpcapi.ConductorAPI(transport, timeout=60)
    for _ in range(10):
        found = api.check_request({}, {}, among=['c1', 'c2'])
        assert found['problems'] == []
    found = api.check_request({}, {}, among=['c1'])
    assert found['problems'][0]['message'] == 'c1'


def test_what_is_wrong_everywhere_is_not_asked_twice(transport, serve):
    both = [serve(Refusing(name, elsewhere=False)) for name in ('c1', 'c2')]
    api = rpcapi.ConductorAPI(transport, timeout=60)
    assert api.check_request({}, {}, among=['c1', 'c2'])['problems']
    assert sum(len(each.called) for each in both) == 1


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
