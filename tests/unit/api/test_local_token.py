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
"""The token of a service without Keystone."""

import concurrent.futures
import json

import pytest
from oslo_config import cfg

import imagebuild.conf
from imagebuild import exception
from imagebuild.api import auth
from imagebuild.api import errors
from imagebuild.api import local_token


@pytest.fixture
def conf(tmp_path):
    conf = cfg.ConfigOpts()
    imagebuild.conf.register(conf)
    conf([], default_config_files=[])
    conf.set_override('state_path', str(tmp_path / 'state'))
    conf.set_override('auth_strategy', 'noauth', 'api')
    return conf


def ask(application, **environ):
    said = []
    answer = application(
        {
            'REMOTE_ADDR': '127.0.0.1',
            'HTTP_HOST': 'localhost',
            'REQUEST_METHOD': 'GET',
            'PATH_INFO': '/v1/builds',
            **environ,
        },
        lambda status, headers, *_: said.append(status),
    )
    return said, b''.join(answer)


@pytest.fixture
def served(conf):
    def application(environ, start_response):
        start_response('200 OK', [])
        return [environ.get('HTTP_X_ROLES', '').encode()]

    return errors.ErrorFormatter(
        auth.wrap(application, conf, ['/healthcheck/'])
    )


@pytest.mark.parametrize('token', [None, '', 'notused', 'x' * 43, 'ü'])
def test_nobody_without_the_token(served, token):
    given = {} if token is None else {'HTTP_X_AUTH_TOKEN': token}
    said, answer = ask(served, HTTP_X_ROLES='admin', **given)
    assert said == ['401 Unauthorized']
    message = json.loads(answer)['error']['message']
    assert 'the file "token" of the state directory' in message
    assert 'IMAGEBUILD_TOKEN_FILE' in message
    said, answer = ask(served, REQUEST_METHOD='HEAD', **given)
    assert (said, answer) == (['401 Unauthorized'], b'')


def test_who_has_the_token(served, conf):
    token = local_token.read(conf)
    said, answer = ask(served, HTTP_X_AUTH_TOKEN=token)
    assert (said, answer) == (['200 OK'], b'admin,member,reader')


def test_public_addresses_need_none(served):
    said, answer = ask(served, PATH_INFO='/healthcheck', HTTP_X_ROLES='admin')
    assert (said, answer) == (['200 OK'], b'')


def test_only_its_owner_reads_it(conf):
    token = local_token.read(conf)
    path = local_token.path(conf)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(0o644)
    assert local_token.read(conf) == token
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()
    assert local_token.read(conf) != token


def test_processes_side_by_side_have_the_same(conf):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(local_token.read, [conf] * 8))
    assert len(set(tokens)) == 1
    assert [p.name for p in local_token.path(conf).parent.iterdir()] == [
        'token'
    ]


def test_a_file_without_token(conf):
    local_token.read(conf)
    local_token.path(conf).write_text('\n')
    with pytest.raises(exception.UnwritablePath, match='holds no token'):
        local_token.read(conf)


def test_no_place_for_it(conf, tmp_path):
    (tmp_path / 'state').write_text('')
    with pytest.raises(exception.UnwritablePath, match='state/token'):
        auth.wrap(lambda *_: [], conf, [])
