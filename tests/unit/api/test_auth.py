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
import pytest
from oslo_config import cfg

import imagebuild.conf
from imagebuild import context
from imagebuild import exception
from imagebuild.api import auth


@pytest.fixture
def conf():
    conf = cfg.ConfigOpts()
    imagebuild.conf.register(conf)
    conf([], default_config_files=[])
    return conf


@pytest.mark.parametrize(
    'host, is_local',
    [
        ('127.0.0.1', True),
        ('127.8.9.10', True),
        ('::1', True),
        ('[::1]', True),
        ('::ffff:127.0.0.1', True),
        ('localhost', True),
        ('LocalHost', True),
        ('api.localhost', True),
        ('', False),
        ('0.0.0.0', False),
        ('::', False),
        ('10.0.0.1', False),
        ('::ffff:10.0.0.1', False),
        ('localhost.example.org', False),
        ('127.0.0.1.example.org', False),
        ('example.org', False),
    ],
)
def test_loopback(host, is_local):
    assert auth.is_loopback(host) is is_local


def test_noauth_is_not_for_others(conf):
    conf.set_override('auth_strategy', 'noauth', 'api')
    auth.check_binding(conf)
    conf.set_override('bind_host', '0.0.0.0', 'api')
    with pytest.raises(auth.UnsafeBinding, match='bind_host to 127.0.0.1'):
        auth.wrap(lambda *_: [], conf, [])
    conf.set_override('auth_strategy', 'keystone', 'api')
    auth.check_binding(conf)


@pytest.mark.parametrize(
    'environ, is_let_in',
    [
        ({'REMOTE_ADDR': '127.0.0.1', 'HTTP_HOST': 'localhost:9797'}, True),
        ({'REMOTE_ADDR': '::1', 'HTTP_HOST': '[::1]:9797'}, True),
        ({'REMOTE_ADDR': '127.0.0.1', 'SERVER_NAME': '127.0.0.1'}, True),
        ({'REMOTE_ADDR': '10.0.0.1', 'HTTP_HOST': 'localhost'}, False),
        ({'HTTP_HOST': 'localhost'}, False),
        ({'REMOTE_ADDR': '127.0.0.1', 'HTTP_HOST': 'evil.example'}, False),
        ({'REMOTE_ADDR': '127.0.0.1', 'HTTP_HOST': 'evil.example:1'}, False),
    ],
)
def test_only_this_host_is_served(environ, is_let_in):
    said = []
    application = auth.LocalOnly(lambda *_: [b'in'])
    answer = application(environ, lambda status, _: said.append(status))
    if is_let_in:
        assert answer == [b'in']
    else:
        assert said == ['403 Forbidden']


def test_noauth_believes_headers_and_has_defaults():
    environ = {'HTTP_X_PROJECT_ID': 'red'}
    auth.NoAuth(lambda *_: [])(environ, None)
    assert environ['HTTP_X_PROJECT_ID'] == 'red'
    assert environ['HTTP_X_USER_ID'] == 'default'
    assert 'admin' in environ['HTTP_X_ROLES']


def check(project_id='p', user_id='u', status='Confirmed'):
    who = context.RequestContext(project_id=project_id, user_id=user_id)
    auth.check_identity({'HTTP_X_IDENTITY_STATUS': status}, who)


def test_identity():
    check()
    with pytest.raises(exception.Unauthenticated):
        check(status='Invalid')
    with pytest.raises(exception.Forbidden, match='for a project'):
        check(project_id=None)
    with pytest.raises(exception.InvalidInput, match='X-Project-Id'):
        check(project_id='x' * 65)
    with pytest.raises(exception.InvalidInput, match='X-User-Id'):
        check(user_id='a b')


@pytest.mark.parametrize(
    'path, is_public',
    [('/', True), ('', True), ('/v1/', True), ('/v1', True), ('/v1/x', False)],
)
def test_what_is_public(path, is_public):
    application = auth.Public(
        lambda environ, _: sorted(environ),
        lambda environ, _: ['protected'],
        ['', '/v1'],
    )
    environ = {'PATH_INFO': path, 'HTTP_X_ROLES': 'admin'}
    answer = application(environ, None)
    assert answer == (['PATH_INFO'] if is_public else ['protected'])
