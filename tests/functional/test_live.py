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
"""The API behind a real socket, as keystoneauth and our client see it."""

import threading

import pytest
from keystoneauth1 import discover
from keystoneauth1 import noauth
from keystoneauth1 import session as ksa_session
from werkzeug import serving

from imagebuild import client as imagebuild_client
from imagebuild.client import exceptions as client_exceptions
from tests.functional import api_service


@pytest.fixture
def service(tmp_path):
    with api_service.running(tmp_path) as running:
        yield running


@pytest.fixture
def url(service):
    server = serving.make_server('127.0.0.1', 0, service.wsgi, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    # at_localhost() gives links without the port of this server.
    yield f'http://localhost:{server.server_port}'
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def session():
    return ksa_session.Session(auth=noauth.NoAuth())


@pytest.fixture
def client(session, url):
    return imagebuild_client.Client(
        session, endpoint_override=url, status_code_retries=0
    )


def test_keystoneauth_discovers_the_api(session, url):
    found = discover.Discover(session, url, authenticated=False)
    [version] = found.version_data()
    assert version['version'] == (1, 0)
    assert version['min_microversion'] == (1, 0)
    assert version['max_microversion'] == (1, 0)
    assert version['status'] == 'CURRENT'


def test_a_build_through_the_client(service, client):
    build = client.builds.create(
        name='web', os='debian-12', packages=['nginx']
    )
    assert build.status == 'queued'
    service.database.append_log(build.id, 'für dich\n')
    assert client.builds.log(build.id).text == 'für dich\n'
    service.finish(build.id)
    build = client.builds.get(build.id)
    assert (build.status, build.image_id) == ('active', 'glance-1')
    assert [each.id for each in client.builds.list()] == [build.id]
    assert not client.builds.steps(build.id)
    client.builds.delete(build.id)
    assert list(client.builds.list()) == []


def test_pages_through_the_client(service, client):
    service.conf.set_override('default_limit', 2, 'api')
    for number in range(5):
        client.builds.create(name=f'b{number}', os='debian-12')
    names = [each.name for each in client.builds.list(sort='name:asc')]
    assert names == ['b0', 'b1', 'b2', 'b3', 'b4']


def test_catalogue_through_the_client(client):
    assert client.recipes.get('redis', '7').name == 'redis'
    assert next(iter(client.operating_systems.list())).name == 'debian-12'
    assert next(iter(client.conductors.list())).name == 'builder-1'


def test_mistakes_through_the_client(client):
    with pytest.raises(client_exceptions.BadRequest) as caught:
        client.builds.create(name='x', os='plan-9')
    assert 'plan-9' in str(caught.value)
