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
"""imagebuild-validate over five machines, one of which is broken."""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from imagebuild.cmd import validate
from tests.functional import validation_service
from tests.integration import machines

_SECRET = 'correct battery'
#: Makes four machines conform, and one but for one step.
_MANIFEST = {
    'arguments': {'secret': {'required': True, 'hidden': True}},
    'validators': [
        {'package': 'sudo'},
        {
            'file': {
                '/etc/app.conf': {
                    'content': 'port = 80\n',
                    'owner': 'daemon',
                    'mode': '0640',
                }
            }
        },
        {'script': {'check.sh': {'env_vars': ['secret']}}},
    ],
}
_SCRIPT = """#!/bin/sh
echo "asked with $secret"
test -e /etc/made && exit 0
test "$test_only" = 1 && exit 1
printf %s "$secret" | sha256sum >/etc/made
"""

_SERVICE = {
    'arguments': {'secret': {'required': True, 'hidden': True}},
    'validators': [
        {'file': {'/etc/wanted': {'content': 'yes\n'}}},
        {'script': {'look.sh': {'env_vars': ['secret']}}},
    ],
}
_LOOK = '#!/bin/sh\necho "$secret"\n'


@pytest.fixture(scope='module')
def five(
    machine_tree: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[machines.Machine]]:
    directory = tmp_path_factory.mktemp('five')
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                machines.Machine(machine_tree, directory / str(number))
            )
            for number in range(5)
        ]


def run(
    capsys: pytest.CaptureFixture[str], *argv: str
) -> tuple[int, dict[str, dict[str, object]], str]:
    code = validate.main([*argv, '--json'])
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert _SECRET not in out + err
    assert machines.PASSWORD not in out + err
    return code, {each['host']: each for each in document['hosts']}, err


def test_five_machines(
    five: list[machines.Machine],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / 'password').write_text(f'{machines.PASSWORD}\n')
    (tmp_path / 'check.sh').write_text(_SCRIPT)
    (tmp_path / 'm.yaml').write_text(yaml.safe_dump(_MANIFEST))
    hosts: list[dict[str, object]] = [
        {
            'name': f'm{number}',
            'host': '127.0.0.1',
            'port': machine.port,
            'user': 'free' if number % 2 else 'root',
            'arguments': {'secret': _SECRET},
        }
        for number, machine in enumerate(five)
    ]
    inventory = tmp_path / 'inventory.yaml'
    document = {'defaults': {'password_file': 'password'}, 'hosts': hosts}
    inventory.write_text(yaml.safe_dump(document))
    known = tmp_path / 'known_hosts'
    options = [
        *('--inventory', str(inventory), '--known-hosts', str(known)),
        *('--manifest', str(tmp_path / 'm.yaml'), '--parallel', '3'),
    ]
    # Nobody knows the machines yet.
    code, _, err = run(capsys, *options)
    assert code == 3
    assert err.count('--accept-new') == 5

    code, found, err = run(capsys, *options, '--accept-new', '--reconcile')
    assert code == 0, err
    assert {each['result'] for each in found.values()} == {'reconciled'}
    machine = five[3]
    machine.run('chmod', '0666', '/etc/app.conf')

    code, found, err = run(capsys, *options)
    assert code == 1
    assert found['m3']['result'] == 'does-not-conform'
    assert found['m3']['error'] == (
        'validators[1].file: /etc/app.conf has mode 0666, not 0640'
    )
    others = [each for name, each in found.items() if name != 'm3']
    assert {each['result'] for each in others} == {'conforms'}

    code, found, err = run(capsys, *options, '--reconcile')
    assert code == 0, err
    assert found['m3']['changed'] is True

    # One is down: the others are looked at, and one is down.
    hosts.append({'host': '127.0.0.1:1', 'arguments': {'secret': 'x'}})
    inventory.write_text(yaml.safe_dump(document))
    code, found, err = run(capsys, *options)
    assert code == 3
    assert found.pop('127.0.0.1:1')['result'] == 'unreachable'
    assert {each['result'] for each in found.values()} == {'conforms'}
    assert 'cannot be used: Connection refused.' in err


def test_the_service(
    five: list[machines.Machine], tmp_path: pathlib.Path
) -> None:
    """API, conductor and job; the password comes from Barbican."""
    machine, other = five[:2]
    secrets = {'password_secret': validation_service.SECRET}
    hosts = [
        {'address': '127.0.0.1', 'port': each.port, 'user': user}
        | {'host_key': each.fingerprint}
        for each, user in ((machine, 'plain'), (other, 'root'))
    ]
    machine.run('rm', '-f', '/etc/wanted')
    other.run('sh', '-c', 'echo yes >/etc/wanted')
    ports = [each.port for each in five]
    with contextlib.ExitStack() as stack:
        cloud = stack.enter_context(
            validation_service.cloud(machines.PASSWORD)
        )
        service = validation_service.Service(tmp_path, cloud, ports)
        stack.callback(service.database.close)
        stack.enter_context(service.conductor())

        def run(**more: object) -> dict[str, Any]:
            body = {
                'hosts': hosts,
                'credential': secrets,
                'manifest': _SERVICE,
                'resources': {'look.sh': _LOOK},
                'arguments': {'secret': _SECRET},
                **more,
            }
            answer = service.create(**body)
            assert answer.status_code == 202, answer.json
            ended: dict[str, Any] = service.ended(answer.json['id'])
            assert _SECRET not in str(ended)
            return ended

        failed = run()
        assert failed['status'] == 'failed'
        assert failed['status_reason'] == (
            f'127.0.0.1 port {machine.port}: '
            'manifest.validators[0].file: /etc/wanted is missing'
        )
        assert run(reconcile=True)['status'] == 'passed'
        passed = run()
        assert passed['status'] == 'passed'
        assert [each['distro'] for each in passed['results']] == [
            'debian',
            'debian',
        ]
        # All machines of one tree have the same key.
        wrong = [{**hosts[0], 'host_key': 'SHA256:' + 'A' * 43}]
        refused = run(hosts=wrong)
        assert refused['status'] == 'error'
        assert 'is not the expected' in refused['status_reason']
    for path in tmp_path.rglob('*'):
        if path.is_file():
            content = path.read_bytes()
            assert _SECRET.encode() not in content
            assert machines.PASSWORD.encode() not in content
