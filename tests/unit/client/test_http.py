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
import concurrent.futures
import logging

import pytest
import requests
import requests_mock as mocking
from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1 import session as ksa_session
from keystoneauth1.identity import generic
from keystoneauth1.identity import v3

from imagebuild import client
from imagebuild.client import exceptions

URL = 'http://images.example:9797/v1/builds'
TOKENS = 'http://keystone.example/v3/auth/tokens'


def error(code, message='No.', title='Title', errors=()):
    return {
        'status_code': code,
        'json': {
            'error': {
                'code': code,
                'title': title,
                'message': message,
                'errors': [*errors],
            }
        },
        'headers': {'x-openstack-request-id': 'req-1'},
    }


@pytest.mark.parametrize(
    'code, kind',
    [
        (400, exceptions.BadRequest),
        (401, exceptions.Unauthenticated),
        (403, exceptions.Forbidden),
        (404, exceptions.NotFound),
        (406, exceptions.HttpError),
        (409, exceptions.Conflict),
        (429, exceptions.ServiceUnavailable),
        (413, exceptions.TooLarge),
        (500, exceptions.ServerError),
        (502, exceptions.ServiceUnavailable),
        (503, exceptions.ServiceUnavailable),
        (599, exceptions.ServerError),
    ],
)
def test_each_status_has_its_exception(builder, requests_mock, code, kind):
    requests_mock.get(f'{URL}/x', **error(code))
    with pytest.raises(exceptions.ClientError) as caught:
        builder.builds.get('x')
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert caught.value.message == 'No.'
    assert caught.value.title == 'Title'
    assert caught.value.request_id == 'req-1'


def test_problems_are_shown_with_their_paths(builder, requests_mock):
    problems = [
        {'path': 'os', 'message': 'there is no "x"'},
        {'path': 'packages[1]', 'message': 'is not a name'},
    ]
    requests_mock.post(
        URL, **error(400, 'The request is not valid.', errors=problems)
    )
    with pytest.raises(exceptions.BadRequest) as caught:
        builder.builds.create(name='x')
    assert [str(problem) for problem in caught.value.errors] == [
        'os: there is no "x"',
        'packages[1]: is not a name',
    ]
    assert str(caught.value) == (
        'The request is not valid.\n'
        '  os: there is no "x"\n'
        '  packages[1]: is not a name'
    )


def test_problems_are_not_shown_twice(builder, requests_mock):
    problems = [{'path': 'os', 'message': 'there is no "x"'}]
    message = 'The request is not valid: os: there is no "x"'
    requests_mock.post(URL, **error(400, message, errors=problems))
    with pytest.raises(exceptions.BadRequest) as caught:
        builder.builds.create(name='x')
    assert str(caught.value) == message


def test_quota_is_a_kind_of_forbidden(builder, requests_mock):
    message = 'The quota of project p for queued is 1, and 1 are used.'
    requests_mock.post(URL, **error(403, message, 'Forbidden'))
    with pytest.raises(exceptions.QuotaExceeded):
        builder.builds.create(name='x')
    assert issubclass(exceptions.QuotaExceeded, exceptions.Forbidden)


@pytest.mark.parametrize(
    'answer, said',
    [
        ({'text': '<html>no</html>'}, '418'),
        ({'json': ['x']}, '418'),
        ({'json': {'error': 'x'}}, '418'),
        (
            {'text': 'go\naway', 'headers': {'Content-Type': 'text/plain'}},
            'go away',
        ),
    ],
)
def test_answers_of_others(builder, requests_mock, answer, said):
    requests_mock.get(f'{URL}/x', status_code=418, **answer)
    with pytest.raises(exceptions.HttpError, match=said) as caught:
        builder.builds.get('x')
    assert 'html' not in str(caught.value)


@pytest.mark.parametrize('text', ['<html>', '[]', '"x"'])
def test_good_status_with_a_foreign_body(builder, requests_mock, text):
    requests_mock.get(f'{URL}/x', text=text)
    with pytest.raises(exceptions.ServerError):
        builder.builds.get('x')


def test_what_may_be_asked_twice_is(builder, requests_mock, body):
    requests_mock.get(
        f'{URL}/x',
        [
            {'exc': requests.exceptions.ConnectionError('broken')},
            error(503),
            {'exc': requests.exceptions.ConnectTimeout()},
            {'json': body()},
        ],
    )
    assert builder.builds.get('x').name == 'web'
    requests_mock.delete(f'{URL}/x', [error(503), {'status_code': 204}])
    builder.builds.delete('x')
    requests_mock.post(f'{URL}/x/cancel', [error(503), {'status_code': 202}])
    builder.builds.cancel('x')


@pytest.mark.parametrize(
    'answer, kind',
    [
        (
            {'exc': requests.exceptions.ConnectionError('broken')},
            exceptions.ConnectionFailed,
        ),
        (error(503), exceptions.ServiceUnavailable),
    ],
)
def test_a_build_is_asked_for_once(builder, requests_mock, answer, kind):
    # It may have begun: a second request would be a second build.
    requests_mock.post(URL, [answer])
    with pytest.raises(kind):
        builder.builds.create(name='x')
    assert requests_mock.call_count == 1


def test_retries_end(builder, requests_mock):
    requests_mock.get(f'{URL}/x', **error(503, 'Not now.'))
    with pytest.raises(exceptions.ServiceUnavailable, match='Not now'):
        builder.builds.get('x')
    assert requests_mock.call_count == 4


def test_failures_are_one_line(session):
    builder = client.Client(
        session, endpoint_override='http://127.0.0.1:1', connect_retries=0
    )
    with pytest.raises(exceptions.ConnectionFailed) as caught:
        builder.builds.get('x')
    assert str(caught.value) == (
        'Unable to establish connection to http://127.0.0.1:1/v1/builds/x: '
        'Connection refused.'
    )


def test_other_failures_are_the_clients_own(builder, monkeypatch):
    def fail(*_, **__):
        raise ksa_exceptions.MissingRequiredOptions([])

    monkeypatch.setattr(ksa_session.Session, 'request', fail)
    with pytest.raises(exceptions.ClientError):
        builder.builds.get('x')


def test_headers_and_time_limit(builder, requests_mock, body):
    requests_mock.get(f'{URL}/x', json=body())
    builder.builds.get('x')
    request = requests_mock.last_request
    assert request.headers['OpenStack-API-Version'] == 'image-build 1.0'
    assert request.headers['User-Agent'].startswith('imagebuild.client/')
    assert request.timeout == 60


@pytest.mark.parametrize(
    'endpoint',
    [
        'http://images.example:9797',
        'http://images.example:9797/',
        'http://images.example:9797/v1',
        'http://images.example:9797/v1/',
    ],
)
def test_endpoint_with_and_without_version(
    session, requests_mock, body, endpoint
):
    requests_mock.get(f'{URL}/x', json=body())
    builder = client.Client(session, endpoint_override=endpoint)
    assert builder.builds.get('x')


@pytest.fixture
def keystone(requests_mock):
    endpoints = [
        {
            'interface': interface,
            'region_id': 'one',
            'region': 'one',
            'url': url,
        }
        for interface, url in (
            ('public', 'http://images.example:9797'),
            ('internal', 'http://inside.example/image-build'),
        )
    ]
    token = {
        'methods': ['password'],
        'expires_at': '2999-01-01T00:00:00.000000Z',
        'issued_at': '2026-01-01T00:00:00.000000Z',
        'catalog': [{'type': 'image-build', 'endpoints': endpoints}],
        'project': {'id': 'p', 'name': 'p', 'domain': {'id': 'default'}},
        'user': {'id': 'u', 'name': 'u', 'domain': {'id': 'default'}},
    }
    requests_mock.get(
        'http://keystone.example/v3', json={'version': {'id': 'v3.0'}}
    )
    requests_mock.post(
        TOKENS,
        json={'token': token},
        headers={'X-Subject-Token': 'secret'},
    )
    auth = v3.Password(
        'http://keystone.example/v3',
        username='u',
        password='p',
        project_name='p',
        user_domain_id='default',
        project_domain_id='default',
    )
    return ksa_session.Session(auth=auth)


def test_catalogue(keystone, requests_mock, body):
    requests_mock.get(
        'http://inside.example/image-build/v1/builds/x', json=body()
    )
    builder = client.Client(keystone, region_name='one', interface='internal')
    assert builder.builds.get('x')
    assert requests_mock.last_request.headers['X-Auth-Token'] == 'secret'


def test_no_endpoint(keystone):
    builder = client.Client(keystone, region_name='two')
    with pytest.raises(exceptions.EndpointNotFound) as caught:
        builder.builds.get('x')
    assert 'image-build' in str(caught.value)
    assert 'two' in str(caught.value)


def test_keystone_refuses(keystone, requests_mock):
    requests_mock.post(TOKENS, status_code=401)
    with pytest.raises(exceptions.Unauthenticated):
        client.Client(keystone).builds.get('x')


@pytest.mark.parametrize('code', [400, 403, 404, 409])
def test_keystone_gives_no_token(keystone, requests_mock, code):
    """That passes with no time, and says nothing of a build."""
    requests_mock.post(
        TOKENS,
        status_code=code,
        json={'error': {'message': 'The project is disabled.', 'code': code}},
        headers={'Content-Type': 'application/json'},
    )
    with pytest.raises(exceptions.IdentityRefused) as caught:
        client.Client(keystone).builds.get('x')
    assert caught.value.code == code
    assert str(caught.value).startswith(
        'The identity service refused: The project is disabled. (HTTP '
    )
    assert not isinstance(
        caught.value, exceptions.ServerError | exceptions.NotFound
    )


@pytest.mark.parametrize('code', [429, 500, 502, 503])
def test_keystone_is_away(keystone, requests_mock, code):
    requests_mock.post(TOKENS, status_code=code)
    with pytest.raises(exceptions.ServiceUnavailable) as caught:
        client.Client(keystone).builds.get('x')
    assert caught.value.code == code


@pytest.mark.parametrize(
    'answer, kind',
    [
        ({'exc': requests.ConnectionError}, exceptions.ConnectionFailed),
        ({'status_code': 503}, exceptions.ServiceUnavailable),
        ({'status_code': 404}, exceptions.ClientError),
    ],
)
def test_keystone_at_an_address_without_version(requests_mock, answer, kind):
    """It is looked for there first, which fails in a way of its own."""
    requests_mock.register_uri(mocking.ANY, mocking.ANY, **answer)
    auth = generic.Password(
        'http://keystone.example',
        username='u',
        password='p',
        project_name='p',
        user_domain_id='default',
        project_domain_id='default',
    )
    builder = client.Client(
        ksa_session.Session(auth=auth),
        connect_retries=0,
        status_code_retries=0,
    )
    with pytest.raises(exceptions.ClientError) as caught:
        builder.builds.get('x')
    assert type(caught.value) is kind


def test_bodies_are_not_logged(builder, requests_mock, body, caplog):
    caplog.set_level(logging.DEBUG)
    requests_mock.post(URL, json=body(request={'arguments': {'p': 'geheim'}}))
    builder.builds.create(name='x', arguments={'password': 'geheim'})
    assert 'POST /builds' in caplog.text
    assert 'geheim' not in caplog.text


def test_threads_share_a_client(builder, requests_mock, body):
    for number in range(50):
        requests_mock.get(f'{URL}/{number}', json=body(name=str(number)))
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        found = pool.map(
            lambda number: builder.builds.get(str(number)).name, range(50)
        )
    assert [*found] == [str(number) for number in range(50)]
