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
"""Who asks /healthcheck does not occupy the threads of the API."""

import threading
from concurrent import futures

import pytest
import werkzeug.test

from imagebuild import db
from imagebuild import exception
from tests.functional import api_service


@pytest.fixture
def service(tmp_path):
    with api_service.running(tmp_path) as found:
        yield found


def test_a_silent_bus_keeps_one_thread(service):
    """The others answer at once, with what was found before."""
    client = werkzeug.test.Client(service.wsgi)
    first = client.get('/healthcheck')
    silent, heard = threading.Event(), threading.Event()

    def read_log(*_args, **_kwargs):
        heard.set()
        silent.wait(60)
        raise exception.NoConductor(reason='silence')

    service.conductors.read_log = read_log
    with futures.ThreadPoolExecutor(5) as pool:
        try:
            slow = pool.submit(client.get, '/healthcheck')
            assert heard.wait(30)
            quick = [pool.submit(client.get, '/healthcheck') for _ in range(4)]
            done, _ = futures.wait(quick, timeout=30)
            assert len(done) == 4
            assert not slow.done()
            assert {each.result().text for each in quick} == {first.text}
        finally:
            silent.set()
        assert slow.result().status_code == 503


@pytest.mark.parametrize(
    'path, status, text',
    [
        ('/healthcheck', 503, 'database: error (not known: it is still '),
        ('/metrics', 503, 'still being read for another request'),
        ('/openapi.json', 200, '/v1/builds'),
    ],
)
def test_a_silent_database_keeps_one_thread(
    service, monkeypatch, path, status, text
):
    """However long it is silent, and also when nothing is known yet."""
    client = werkzeug.test.Client(service.wsgi)
    silent, heard = threading.Event(), threading.Event()

    def hang(*_args, **_kwargs):
        heard.set()
        silent.wait(60)
        raise exception.DatabaseUnavailable(reason='silence')

    for name in ('ping', 'count_builds', 'list_conductors'):
        monkeypatch.setattr(db.Database, name, hang)
    with futures.ThreadPoolExecutor(5) as pool:
        try:
            slow = pool.submit(client.get, path)
            assert heard.wait(30)
            quick = [pool.submit(client.get, path) for _ in range(4)]
            done, _ = futures.wait(quick, timeout=30)
            assert len(done) == 4
            assert not slow.done()
            for each in quick:
                assert each.result().status_code == status
                assert text in each.result().text
        finally:
            silent.set()
