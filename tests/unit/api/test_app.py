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
"""What stands before the handlers."""

import json
from unittest import mock

import pytest
from oslo_config import cfg
from werkzeug import test as werkzeug_test

import imagebuild.conf
from imagebuild import db
from imagebuild import exception
from imagebuild.api import app
from imagebuild.api import errors
from imagebuild.api import local_token
from imagebuild.api import routes
from imagebuild.messaging import notifications
from imagebuild.messaging import rpcapi

REQUEST_ID = 'x-openstack-request-id'
VERSION = 'OpenStack-API-Version'


@pytest.fixture
def conf(tmp_path):
    conf = cfg.ConfigOpts()
    imagebuild.conf.register(conf)
    conf([], default_config_files=[])
    conf.set_override('state_path', str(tmp_path))
    conf.set_override('auth_strategy', 'noauth', 'api')
    return conf


@pytest.fixture
def database():
    return mock.create_autospec(db.Database, instance=True)


def make_client(conf, database):
    application = app.create_app(
        conf,
        database=database,
        conductor_api=mock.create_autospec(rpcapi.ConductorAPI, instance=True),
        notifier=mock.create_autospec(notifications.Notifier, instance=True),
    )

    def local(environ, start_response):
        environ.setdefault('REMOTE_ADDR', '127.0.0.1')
        if conf.api.auth_strategy == 'noauth':
            environ['HTTP_X_AUTH_TOKEN'] = local_token.read(conf)
        return application(environ, start_response)

    return werkzeug_test.Client(local)


@pytest.fixture
def client(conf, database):
    return make_client(conf, database)


def test_a_mistake_of_ours_is_a_500_without_details(client, database):
    database.page_of_builds.side_effect = RuntimeError('password 123')
    answer = client.get('/v1/builds')
    assert answer.status_code == 500
    assert answer.json['error']['code'] == 500
    assert 'password' not in answer.text
    assert answer.headers['x-openstack-request-id'].startswith('req-')


def test_an_error_of_the_service_does_not_name_its_parts(client, database):
    database.page_of_builds.side_effect = exception.DatabaseUnavailable(
        reason='cannot connect to 10.1.2.3'
    )
    answer = client.get('/v1/builds')
    assert answer.status_code == 503
    assert answer.headers['Retry-After'] == str(errors.RETRY_AFTER)
    assert '10.1.2.3' not in answer.text


def test_a_large_body_is_not_read(conf, database):
    conf.set_override('max_request_size', 2048, 'api')
    client = make_client(conf, database)
    body = json.dumps({'name': 'x' * 4096})
    headers = {'Content-Type': 'application/json'}
    answer = client.post('/v1/builds', data=body, headers=headers)
    assert answer.status_code == 413
    assert answer.json['error']['code'] == 413


KEYSTONE = """
[api]
auth_strategy = keystone
[oslo_middleware]
enable_proxy_headers_parsing = true
[keystone_authtoken]
# Nobody listens there.
www_authenticate_uri = http://127.0.0.1:9/v3
auth_url = http://127.0.0.1:9/v3
auth_type = password
username = imagebuild
password = secret
user_domain_id = default
project_name = service
project_domain_id = default
http_connect_timeout = 1
http_request_max_retries = 0
"""


@pytest.fixture
def keystone(tmp_path, database):
    path = tmp_path / 'imagebuild.conf'
    path.write_text(KEYSTONE)
    conf = cfg.ConfigOpts()
    imagebuild.conf.register(conf)
    conf([], default_config_files=[str(path)])
    return make_client(conf, database)


def test_a_token_is_needed(keystone, database):
    answer = keystone.get('/v1/builds', headers={'X-Project-Id': 'p'})
    assert answer.status_code == 401
    assert answer.json['error']['title'] == 'Unauthorized'
    assert 'WWW-Authenticate' in answer.headers
    assert not database.page_of_builds.called


def test_some_need_no_token(keystone):
    for path in ('/', '/v1', '/openapi.json'):
        assert keystone.get(path).status_code == 200


def test_identity_headers_are_keystones_alone(keystone, database):
    headers = {
        'X-Identity-Status': 'Confirmed',
        'X-Project-Id': 'p',
        'X-User-Id': 'u',
        'X-Roles': 'admin',
    }
    assert keystone.get('/v1/builds', headers=headers).status_code == 401
    assert not database.page_of_builds.called


def test_a_body_is_not_read_without_a_token(keystone):
    answer = keystone.post('/v1/builds', data='{', content_type='text/plain')
    assert answer.status_code == 401


def test_keystone_that_is_away_is_a_503_of_our_shape(keystone):
    answer = keystone.get('/v1/builds', headers={'X-Auth-Token': 'made-up'})
    assert answer.status_code == 503
    assert answer.json['error']['code'] == 503
    assert answer.headers['Retry-After']
    assert '127.0.0.1' not in answer.text


def test_links_are_those_of_the_proxy(keystone):
    answer = keystone.get(
        '/v1',
        headers={
            'X-Forwarded-Proto': 'https',
            'X-Forwarded-Host': 'cloud.example',
            'X-Forwarded-Prefix': '/image-build',
        },
    )
    [link] = answer.json['version']['links']
    assert link['href'] == 'https://cloud.example/image-build/v1'


@pytest.mark.parametrize('status', ['401 No', '403 No', '503 No', '400 No'])
def test_errors_of_middleware_have_our_format(status):
    def middleware(_environ, start_response):
        start_response(status, [('Content-Type', 'text/html')])
        return [b'<h1>No</h1>']

    answer = werkzeug_test.Client(errors.ErrorFormatter(middleware)).get('/')
    assert answer.status_code == int(status[:3])
    assert answer.json['error']['code'] == answer.status_code
    assert answer.content_type == 'application/json'


def test_middleware_that_breaks_is_a_500():
    def middleware(_environ, _start_response):
        raise RuntimeError('details')

    answer = werkzeug_test.Client(errors.ErrorFormatter(middleware)).get('/')
    assert answer.status_code == 500
    assert 'details' not in answer.text


def test_browsers_may_be_let_in(conf, database):
    make_client(conf, database)  # registers the options
    conf.set_override('allowed_origin', ['http://horizon.example'], 'cors')
    client = make_client(conf, database)
    answer = client.options(
        '/v1/builds',
        headers={
            'Origin': 'http://horizon.example',
            'Access-Control-Request-Method': 'POST',
            'Access-Control-Request-Headers': 'X-Auth-Token',
        },
    )
    assert answer.status_code == 200
    assert answer.headers['Access-Control-Allow-Origin'] == (
        'http://horizon.example'
    )


def test_a_proxy_cannot_make_a_stranger_local(conf, database):
    make_client(conf, database)
    conf.set_override('enable_proxy_headers_parsing', True, 'oslo_middleware')
    client = make_client(conf, database)
    headers = {'X-Forwarded-For': '127.0.0.1'}
    stranger = {'REMOTE_ADDR': '10.0.0.1'}
    answer = client.get('/v1', headers=headers, environ_overrides=stranger)
    assert answer.status_code == 403
    answer = client.get('/v1', headers={'X-Forwarded-For': '10.0.0.1'})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    'status, method, path, more',
    [
        (400, 'POST', '/v1/builds', {'json': {}}),
        (
            403,
            'GET',
            '/v1',
            {'environ_overrides': {'REMOTE_ADDR': '10.0.0.1'}},
        ),
        (404, 'GET', '/nothing', {}),
        (405, 'PUT', '/v1', {}),
        (406, 'GET', '/v1', {'headers': {VERSION: 'image-build 99.0'}}),
        (413, 'POST', '/v1/builds', {'json': {'name': 'x' * 2**24}}),
        (415, 'POST', '/v1/builds', {'data': b'{}'}),
    ],
)
def test_refusals_carry_their_own_request_id(
    client, status, method, path, more
):
    more.setdefault('headers', {})['X-Openstack-Request-Id'] = 'req-theirs'
    answers = [client.open(path, method=method, **more) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {status}
    ids = [answer.headers.getlist(REQUEST_ID) for answer in answers]
    assert all(len(each) == 1 for each in ids)
    assert len({each[0] for each in ids} - {'req-theirs'}) == 2


def test_nothing_is_a_redirect(client):
    for path in ('/v1/', '/v1/builds/', '//v1//builds'):
        assert client.get(path).status_code in (200, 404, 500)


def test_head_has_no_body(client):
    assert client.head('/v1').data == b''


def test_every_route_has_its_own_address():
    addresses = {(route.method, route.path) for route in routes.ROUTES}
    assert len(addresses) == len(routes.ROUTES)
