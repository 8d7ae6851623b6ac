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
"""The client finds the token of a service without Keystone."""

import pytest
import requests_mock
from keystoneauth1 import noauth
from keystoneauth1 import session as ksa_session
from keystoneauth1 import token_endpoint

from imagebuild import client

LOCAL = 'http://127.0.0.1:9797'


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.delenv('XDG_STATE_HOME', raising=False)
    monkeypatch.delenv('IMAGEBUILD_TOKEN_FILE', raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))
    directory = tmp_path / '.local' / 'state' / 'imagebuild'
    directory.mkdir(parents=True)
    (directory / 'token').write_text('usual\n')
    return directory


def sent(endpoint=LOCAL, auth=None):
    session = ksa_session.Session(auth=auth or noauth.NoAuth(endpoint))
    with requests_mock.Mocker() as wire:
        wire.get(f'{endpoint}/v1/builds', json={'builds': [], 'links': []})
        list(client.Client(session, endpoint_override=endpoint).builds.list())
        return wire.last_request.headers.get('X-Auth-Token')


@pytest.mark.parametrize(
    'endpoint', [LOCAL, 'http://localhost:1', 'http://[::1]:1']
)
def test_token_of_the_usual_file(endpoint):
    assert sent(endpoint) == 'usual'


def test_files_that_are_named(state, tmp_path, monkeypatch):
    (tmp_path / 'imagebuild').mkdir()
    (tmp_path / 'imagebuild' / 'token').write_text('elsewhere')
    monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path))
    assert sent() == 'elsewhere'
    (tmp_path / 'mine').write_text('mine')
    monkeypatch.setenv('IMAGEBUILD_TOKEN_FILE', str(tmp_path / 'mine'))
    assert sent() == 'mine'


def test_nothing_for_other_hosts():
    assert sent('http://images.example:9797') != 'usual'


def test_nothing_in_place_of_keystones():
    assert sent(auth=token_endpoint.Token(LOCAL, 'keystones')) == 'keystones'


@pytest.mark.parametrize('content', [b'', b'\xff', b'a\nb', None])
def test_files_that_hold_none(state, content):
    if content is None:
        (state / 'token').unlink()
    else:
        (state / 'token').write_bytes(content)
    assert sent() == 'notused'
