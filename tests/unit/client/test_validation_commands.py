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
"""The commands for validations, with a service that is made up."""

import types

import pytest
from osc_lib import exceptions as osc_exceptions

from imagebuild.client import exceptions
from imagebuild.client.osc import validations

URL = 'http://images.example:9797/v1/validations'
ID = '9b0c7a52-3f6e-4d43-8a61-0c1de2a7b5f4'
QUEUED = {'id': ID, 'name': None, 'status': 'queued', 'results': []}
KEY = 'SHA256:' + 'A' * 43
HOST = f'address=203.0.113.7,user=debian,port=2222,host_key={KEY}'


@pytest.fixture
def made(builder):
    def make(command):
        app = types.SimpleNamespace(
            client_manager=types.SimpleNamespace(image_build=builder),
            options=types.SimpleNamespace(),
        )
        return command(app, None)

    return make


@pytest.fixture
def run(made):
    def call(command, *line):
        command = made(command)
        return command.take_action(command.get_parser('x').parse_args(line))

    return call


def test_what_is_sent(run, requests_mock, tmp_path):
    requests_mock.post(URL, json=QUEUED, status_code=202)
    (tmp_path / 'look.sh').write_text('#!/bin/sh\n')
    manifest = tmp_path / 'm.yaml'
    manifest.write_text('validators: [script: look.sh]\n')
    _, shown = run(
        validations.ValidateMachines,
        *('--host', HOST, '--host', f'server={ID}', '--secret', 'href'),
        *('--package', 'nginx=1.2', '--manifest', str(manifest)),
        *('--argument', 'a=b', '--reconcile', '--timeout', '60'),
    )
    assert shown[0] == ID
    assert requests_mock.last_request.json() == {
        'hosts': [
            {
                'address': '203.0.113.7',
                'user': 'debian',
                'port': 2222,
                'host_key': KEY,
            },
            {'server': ID},
        ],
        'credential': {'secret': 'href'},
        'packages': [{'nginx': {'version': '1.2'}}],
        'manifest': {'validators': [{'script': 'look.sh'}]},
        'resources': {'look.sh': '#!/bin/sh\n'},
        'arguments': {'a': 'b'},
        'reconcile': True,
        'timeout': 60,
    }


@pytest.mark.parametrize(
    ('status', 'code'),
    [('passed', 0), ('failed', 1), ('error', 3), ('cancelled', 1)],
)
def test_waiting(made, requests_mock, capsys, monkeypatch, status, code):
    monkeypatch.setattr('time.sleep', lambda _: None)
    ended = {**QUEUED, 'status': status, 'status_reason': 'web: bad'}
    requests_mock.post(URL, json=QUEUED, status_code=202)
    hosts = {'hosts': [{'address': '203.0.113.7'}, {'server': ID}]}
    looks = [
        {**QUEUED, 'status': 'running', 'request': hosts, 'results': [{}]},
        {**QUEUED, 'status': 'running', 'request': hosts, 'results': [{}]},
        ended,
    ]
    requests_mock.get(f'{URL}/{ID}', [{'json': look} for look in looks])
    command = made(validations.ValidateMachines)
    line = ['--host', HOST, '--key', 'fleet', '--package', 'a', '--wait']
    args = command.get_parser('x').parse_args(line)
    command.take_action(args)
    assert command._exit_code == code
    error = capsys.readouterr().err
    assert ('web: ' in error) == bool(code)
    # Once, where it is no live line.
    assert error.count('running (machines done: 1 of 2)\n') == 1


@pytest.mark.parametrize('host', ['203.0.113.7', 'adress=x', 'port=many'])
def test_a_host_that_is_none(run, host, capsys):
    with pytest.raises(SystemExit):
        run(validations.ValidateMachines, '--host', host, '--key', 'x')
    assert '--host' in capsys.readouterr().err


def test_without_a_credential(run):
    with pytest.raises(osc_exceptions.CommandError, match='--key'):
        run(validations.ValidateMachines, '--host', HOST)


def test_the_others(run, requests_mock):
    requests_mock.get(f'{URL}?status=failed', json={'validations': [QUEUED]})
    requests_mock.get(f'{URL}/{ID}', json=QUEUED)
    requests_mock.post(f'{URL}/{ID}/cancel', json=QUEUED, status_code=202)
    requests_mock.delete(f'{URL}/{ID}', status_code=204)
    names, rows = run(validations.ListValidation, '--status', 'failed')
    assert names[0] == 'ID'
    assert [row[0] for row in rows] == [ID]
    for command in (validations.ShowValidation, validations.CancelValidation):
        assert run(command, ID)[1][0] == ID
    run(validations.DeleteValidation, ID)
    assert requests_mock.last_request.method == 'DELETE'


def test_a_wait_has_its_time(builder, requests_mock):
    requests_mock.get(f'{URL}/{ID}', json=QUEUED)
    with pytest.raises(exceptions.WaitTimeout, match='is still queued'):
        builder.validations.wait(ID, timeout=0)
