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
"""Validations: requested, refused, run by a conductor, cancelled.

The machines are addresses of this host where nobody is an sshd.
"""

import os
import pathlib
import socket
import subprocess
import sys

import pytest

from tests import ssh_server
from tests.functional import conductors
from tests.functional import validation_service
from tests.functional.validation_service import BINARY
from tests.functional.validation_service import PASSWORD
from tests.functional.validation_service import SECRET
from tests.functional.validation_service import SERVER

HOST_KEY = 'SHA256:' + 'A' * 43
MANIFEST = {
    'arguments': {'password': {'hidden': True, 'required': True}},
    'validators': [{'package': 'nginx'}],
}


@pytest.fixture
def cloud():
    with validation_service.cloud() as server:
        yield server


@pytest.fixture
def closed_port():
    # Bound, so that nobody else has it meanwhile.
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        yield silent.getsockname()[1]


@pytest.fixture
def service(tmp_path, cloud, closed_port):
    made = validation_service.Service(tmp_path, cloud, [22, closed_port])
    yield made
    made.database.close()


def host(**more):
    return {'address': '127.0.0.5', 'host_key': HOST_KEY, **more}


def request(**more):
    return {
        'hosts': [host()],
        'credential': {'password_secret': SECRET},
        'packages': ['nginx'],
        **more,
    }


def problems(answer):
    assert answer.status_code == 400, answer.json
    errors = answer.json['error']['errors']
    return {each['path']: each['message'] for each in errors}


def test_a_machine_that_is_down(service, cloud, closed_port, tmp_path):
    answer = service.create(
        **request(
            name='web',
            hosts=[host(port=closed_port), {'server': SERVER,
                   'host_key': HOST_KEY, 'port': closed_port}],
            manifest=MANIFEST,
            arguments={'password': 'a hidden value'},
        )
    )  # fmt: skip
    assert answer.status_code == 202, answer.json
    shown = answer.json
    assert answer.headers['Location'].endswith(shown['id'])
    assert shown['status'] == 'queued'
    assert shown['request']['arguments'] == {'password': '***'}
    assert [each['name'] for each in shown['request']['hosts']] == [
        f'127.0.0.5 port {closed_port}',
        'web (127.0.0.9)',
    ]
    # With the token of the user, and of the href only the id.
    assert {path for path, _ in cloud.asked} == {
        f'/v1/secrets/{SECRET}',
        f'/v1/secrets/{SECRET}/payload',
        f'/servers/{SERVER}',
    }
    for path in tmp_path.glob('imagebuild.sqlite*'):
        content = path.read_bytes()
        assert PASSWORD.encode() not in content
        assert b'a hidden value' not in content
    with service.conductor():
        ended = service.ended(shown['id'])
    assert ended['status'] == 'error'
    assert {each['result'] for each in ended['results']} == {'unreachable'}
    assert 'Connection refused' in ended['status_reason']
    assert service.database.get_validation(shown['id']).secrets is None
    listed = service.ask('GET', '/v1/validations?status=error').json
    assert [each['id'] for each in listed['validations']] == [shown['id']]
    path = f'/v1/validations/{shown["id"]}'
    assert service.ask('POST', f'{path}/cancel').status_code == 409
    assert service.ask('DELETE', path).status_code == 204
    assert service.ask('GET', path).status_code == 404


@pytest.mark.parametrize(
    ('more', 'path', 'said'),
    [
        ({'hosts': [host(address='10.0.0.1')]}, 'hosts[0].address',
         'in none of the networks'),
        ({'hosts': [host(address='::ffff:10.0.0.1')]}, 'hosts[0].address',
         'in none of the networks'),
        ({'hosts': [host(address='localhost')]}, 'hosts[0].address',
         'not an IP address'),
        ({'hosts': [host(address='127.1')]}, 'hosts[0].address',
         'not an IP address'),
        ({'hosts': [host(port=23)]}, 'hosts[0].address', 'no port 23'),
        ({'hosts': [{'address': '127.0.0.5'}]}, 'hosts[0]', 'host_key'),
        ({'hosts': [host(server=SERVER)]}, 'hosts[0]', 'or a "server"'),
        ({'hosts': [host(), host()]}, 'hosts', 'duplicate'),
        ({'hosts': [{'server': SERVER}] * 10_000}, 'hosts', 'than 1000'),
        ({'hosts': [{'server': SERVER}] * 51}, 'hosts', 'at most 50'),
        ({'hosts': [host(address='127.0.0.5\n')]}, 'hosts[0].address',
         'not an IP address'),
        ({'hosts': [host(address='$(reboot)')]}, 'hosts[0].address',
         'not an IP address'),
        ({'hosts': [host(user='a;b')]}, 'hosts[0].user', 'user'),
        ({'hosts': [{'server': SECRET, 'host_key': HOST_KEY}]},
         'hosts[0].server', 'there is no server'),
        ({'credential': {'secret': 'http://127.0.0.1:1/' + 'x' * 36}},
         'credential.secret', 'not the address of a secret'),
        ({'credential': {'secret': SERVER}}, 'credential.secret',
         'there is no secret'),
        ({'credential': {'secret': BINARY}}, 'credential.secret', 'not text'),
        ({'credential': {'key': 'a', 'secret': SECRET}}, 'credential',
         'no "secret"'),
        ({'packages': []}, '', ''),
        ({'timeout': 10**6}, 'timeout', '3600'),
        ({'manifest': {'validators': [{'pakage': 'x'}]}},
         'manifest.validators[0]', 'unknown validator'),
    ],
)  # fmt: skip
def test_what_is_refused(service, more, path, said):
    body = request(**more)
    if more.get('packages') == []:
        body.pop('packages')
    found = problems(service.create(**body))
    assert said in ' '.join(found.values())
    assert any(each.startswith(path) for each in found)
    assert service.database.list_validations() == []


def test_nobody_can_by_default(service):
    service.conf.clear_override('allowed_networks', 'validation')
    found = problems(service.create(**request()))
    assert 'allows no machines' in found['hosts[0].address']


def test_a_conductor_looks_at_its_own_file(service):
    """The API's may be another one, or have been."""
    service.conf.set_override(
        'allowed_networks', ['192.0.2.0/24'], 'validation'
    )
    answer = service.create(**request(hosts=[host(address='192.0.2.1')]))
    with service.conductor():
        ended = service.ended(answer.json['id'])
    assert ended['status'] == 'error'
    assert 'in none of the networks' in ended['status_reason']
    assert ended['results'] == []


def test_a_key_of_the_operator_that_is_not_there(service):
    answer = service.create(**request(credential={'key': 'fleet'}))
    with service.conductor():
        ended = service.ended(answer.json['id'])
    assert ended['status'] == 'error'
    assert 'has no key "fleet"' in ended['status_reason']


def test_cancelled_while_a_machine_says_nothing(service):
    with socket.create_server(('127.0.0.1', 0)) as silent:
        port = silent.getsockname()[1]
        allow(service, port)
        answer = service.create(**request(hosts=[host(port=port)]))
        id = answer.json['id']
        with service.conductor() as running:
            conductors.wait_until(
                lambda: service.database.get_validation(id).status
                == 'running',
                what='its start',
            )  # fmt: skip
            path = f'/v1/validations/{id}'
            assert service.ask('DELETE', path).status_code == 409
            assert service.ask('POST', f'{path}/cancel').status_code == 202
            assert service.ended(id)['status'] == 'cancelled'
            conductors.wait_until(lambda: running.is_idle, what='its end')


def allow(service, port):
    """Let the API and the conductor connect to a port."""
    service.conf.set_override('allowed_ports', [port], 'validation')
    lines = [
        f'allowed_ports = {port}' if 'allowed_ports' in line else line
        for line in service.path.read_text().splitlines()
    ]
    service.path.write_text('\n'.join(lines))


def test_cancelled_before_anybody_has_begun(service):
    id = service.create(**request()).json['id']
    path = f'/v1/validations/{id}'
    assert service.ask('POST', f'{path}/cancel').status_code == 202
    assert service.ended(id)['status'] == 'cancelled'
    assert service.database.get_validation(id).secrets is None
    assert service.ask('POST', f'{path}/cancel').status_code == 409
    # And nobody does.
    with service.conductor() as running:
        conductors.wait_until(lambda: running.is_idle, what='its idleness')
        assert service.ask('GET', path).json['results'] == []
    assert service.ask('DELETE', path).status_code == 204


#: Of this run alone.
NAP = f'sleep 17{os.getpid()}'


def naps():
    """Processes of a step that sleeps."""
    return [
        path
        for path in pathlib.Path('/proc').glob('[0-9]*/cmdline')
        if contents(path) == NAP.replace(' ', '\0').encode() + b'\0'
    ]


def nap(service, machine, **more):
    """Have a machine sleep; returns the id of the validation."""
    allow(service, machine.port)
    service.cloud.password = ssh_server.PASSWORD
    there = host(
        address='127.0.0.1',
        port=machine.port,
        host_key=machine.fingerprint,
    )
    body = request(
        hosts=[there, *more.get('hosts', [])],
        manifest={'validators': [{'script': {'nap': {'inline': NAP}}}]},
    )
    body.pop('packages')
    return service.create(**body).json['id']


def test_cancelled_in_the_middle_of_a_step(service):
    """What runs on the machine ends; what is known of others stays."""
    with ssh_server.SshServer() as machine:
        down = host(address='127.0.0.2', port=machine.port)
        id = nap(service, machine, hosts=[down])
        with service.conductor() as running:
            path = f'/v1/validations/{id}'
            conductors.wait_until(naps, 60, what='the step')
            conductors.wait_until(
                lambda: service.ask('GET', path).json['results'],
                what='the other machine',
            )
            assert service.ask('POST', f'{path}/cancel').status_code == 202
            ended = service.ended(id)
            assert ended['status'] == 'cancelled'
            conductors.wait_until(lambda: running.is_idle, what='its end')
            conductors.wait_until(lambda: not naps(), what='the end of it')
        [other] = service.ask('GET', path).json['results']
        assert other['result'] == 'unreachable'
        assert len(machine.connections) == 1


def test_its_conductor_is_killed(service):
    """What runs on the machine ends, and another conductor begins again."""
    with ssh_server.SshServer() as machine:
        id = nap(service, machine)
        with subprocess.Popen(
            [
                *(sys.executable, '-W', 'ignore', '-m'),
                'imagebuild.cmd.conductor',
                *('--config-file', service.path),
            ],
            stderr=subprocess.DEVNULL,
        ) as killed:
            conductors.wait_until(naps, 60, what='the step')
            killed.kill()
            killed.wait()
        conductors.wait_until(lambda: not naps(), what='the end of it')
        assert service.database.get_validation(id).status == 'running'
        with service.conductor() as running:
            conductors.wait_until(naps, 60, what='another attempt')
            service.ask('POST', f'/v1/validations/{id}/cancel')
            assert service.ended(id)['status'] == 'cancelled'
            conductors.wait_until(lambda: running.is_idle, what='its end')
        assert len(machine.connections) == 2


def contents(path):
    try:
        return path.read_bytes()
    except OSError:
        return b''


def test_a_project_has_so_many(service):
    service.conf.set_override('max_per_project', 1, 'validation')
    assert service.create(**request()).status_code == 202
    answer = service.create(**request())
    assert answer.status_code == 403
    assert 'validations' in answer.json['error']['message']
