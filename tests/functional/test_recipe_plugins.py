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
"""A recipe plugin of another package, in the service and on its command line.

The service is imagebuild-standalone with the driver that has no guest; what
a plugin does to a real disk is in tests/integration.
"""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

import asyncssh
import pytest

from tests import installed_package
from tests import recipe_plugin
from tests import ssh_server

CONF = """
[conductor]
drivers = fake
sweep_interval = 1
cancel_grace = 1
[validation]
allowed_networks = 127.0.0.0/8
allowed_ports = {port}
private_keys = fleet:{key}
"""
CATALOGUE = 'fake-os:\n  driver: fake\n'
SECRET = 'token-of-acme-4711'


@pytest.fixture(scope='module')
def environment(tmp_path_factory):
    return installed_package.install(
        tmp_path_factory.mktemp('acme'),
        setup=recipe_plugin.SETUP,
        acme_appliance=recipe_plugin.MODULE,
    )


class Service:
    """The API of the service."""

    def __init__(self, url, token):
        self.url = url
        self.token = token

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            f'{self.url}/v1/{path}',
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                'Content-Type': 'application/json',
                'X-Auth-Token': self.token,
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = answer.read()
                code = answer.status
        except urllib.error.HTTPError as error:
            content, code = error.read(), error.code
        try:
            return code, json.loads(content)
        except ValueError:
            return code, content.decode()

    def build(self, **arguments):
        body = {
            'name': 'acme',
            'os': 'fake-os',
            'recipe': 'acme_appliance',
            'recipe_version': '1',
            'arguments': {'site': 'here', **arguments.pop('arguments', {})},
            **arguments,
        }
        code, found = self.ask('POST', 'builds', body)
        assert code == 202, found
        return found.get('build', found)

    def wait(self, build, *statuses, kind='builds'):
        end = time.monotonic() + 90
        while time.monotonic() < end:
            _, found = self.ask('GET', f'{kind}/{build["id"]}')
            found = found.get('build', found)
            if found['status'] in statuses:
                return found
            time.sleep(0.2)
        raise AssertionError(found)

    def log(self, build):
        return self.ask('GET', f'builds/{build["id"]}/log')[1]


@pytest.fixture(scope='module')
def key(tmp_path_factory):
    """A private key, and the file that it is in."""
    made = asyncssh.generate_private_key('ssh-ed25519')
    path = tmp_path_factory.mktemp('key') / 'key'
    made.write_private_key(str(path))
    return made, path


@pytest.fixture(scope='module')
def machine(key):
    with ssh_server.SshServer(users=[key[0].convert_to_public()]) as running:
        yield running


@pytest.fixture(scope='module')
def service(environment, machine, key, tmp_path_factory):
    directory = tmp_path_factory.mktemp('service')
    (directory / 'operating-systems.yaml').write_text(CATALOGUE)
    (directory / 'acme.conf').write_text(
        CONF.format(port=machine.port, key=key[1])
    )
    with (directory / 'output').open('w') as output:
        process = subprocess.Popen(
            [
                sys.executable, '-m', 'imagebuild.cmd.standalone', '--port',
                '0', '--state-dir', directory, '--config-file',
                directory / 'acme.conf',
            ],
            env=environment,
            cwd=directory,
            stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        end = time.monotonic() + 120
        url = None
        while url is None:
            text = (directory / 'output').read_text()
            assert process.poll() is None, text
            assert time.monotonic() < end, text
            url = re.search(r'http://127\.0\.0\.1:[0-9]+', text)
            time.sleep(0.1)
        token = (directory / 'token').read_text().strip()
        yield Service(url[0], token)
        text = (directory / 'output').read_text()
        assert SECRET not in text
    finally:
        process.terminate()
        process.wait(60)


def test_the_api_lists_it(service):
    _, found = service.ask('GET', 'recipes')
    listed = {
        (each['name'], each['version']): each['description']
        for each in found['recipes']
    }
    assert listed['acme_appliance', '1'] == 'The appliance of Acme.'
    assert listed['acme_appliance', '2'] == 'The appliance of Acme.'
    # One that is broken says so, and one that ends the program is not there.
    assert 'RuntimeError: I do not describe' in listed['acme_wild', '1']
    assert not [name for name, _ in listed if name == 'acme_bad']


def test_its_arguments_are_a_json_schema(service):
    code, found = service.ask('GET', 'recipes/acme_appliance/1')
    assert code == 200
    schema = found.get('recipe', found)['arguments']
    assert schema['required'] == ['site']
    assert schema['properties']['mode']['enum'] == [
        'usual', 'slow', 'exit', 'leak', 'down',
    ]  # fmt: skip
    assert schema['additionalProperties'] is False
    code, found = service.ask('GET', 'recipes/acme_wild/1')
    assert code == 409
    assert 'get_image_arguments()' in found['error']['message']


def test_wrong_arguments_are_refused(service):
    code, found = service.ask(
        'POST',
        'builds',
        {
            'name': 'x',
            'os': 'fake-os',
            'recipe': 'acme_appliance',
            'recipe_version': '1',
            'arguments': {'mode': 'odd', 'ports': 'many', 'colour': 'red'},
        },
    )
    assert code == 400
    assert sorted(each['path'] for each in found['error']['errors']) == [
        'arguments.colour',
        'arguments.mode',
        'arguments.ports',
        'arguments.site',
    ]


def test_a_build_has_its_output_and_no_secret(service):
    build = service.build(
        arguments={'token': SECRET}, packages=['nano'], reuse='never'
    )
    done = service.wait(build, 'active', 'error')
    assert done['status'] == 'active', done
    log = service.log(build)
    assert 'configuring here' in log
    assert 'the token is ***' in log
    assert SECRET not in log + json.dumps(done)
    _, steps = service.ask('GET', f'builds/{build["id"]}/steps')
    assert SECRET not in json.dumps(steps)
    assert [each['validator'] for each in steps['steps']] == [
        'package', 'plugin',
    ]  # fmt: skip


def test_the_same_content_is_made_once(service):
    first = service.build(arguments={'site': 'once'})
    first = service.wait(first, 'active', 'error')
    again = service.wait(
        service.build(arguments={'site': 'once'}), 'active', 'error'
    )
    other = service.wait(
        service.build(arguments={'site': 'twice'}), 'active', 'error'
    )
    newer = service.wait(
        service.build(arguments={'site': 'once'}, recipe_version='2'),
        'active', 'error',
    )  # fmt: skip
    assert again['reused_from'] == first['id']
    keys = {each['content_key'] for each in (first, again, other, newer)}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ('mode', 'reason'),
    [
        ('exit', 'pack_image() of the plugin failed: SystemExit: 0'),
        ('leak', 'RuntimeError: refused: ***'),
    ],
)
def test_a_plugin_that_fails(service, mode, reason):
    build = service.build(arguments={'mode': mode, 'token': SECRET})
    done = service.wait(build, 'active', 'error')
    assert done['status'] == 'error'
    assert reason in done['status_reason']
    assert done['fault'] == 'user'
    assert SECRET not in json.dumps(done) + service.log(build)


def test_a_plugin_that_does_not_end(service):
    late = service.build(arguments={'mode': 'slow'}, timeout=5)
    build = service.build(arguments={'mode': 'slow', 'site': 'there'})
    service.wait(build, 'building')
    end = time.monotonic() + 60
    while 'never ends' not in service.log(build):
        assert time.monotonic() < end
        time.sleep(0.2)
    code, _ = service.ask('POST', f'builds/{build["id"]}/cancel')
    assert code == 202
    assert service.wait(build, 'cancelled', 'error')['status'] == 'cancelled'
    done = service.wait(late, 'active', 'error')
    assert done['status_reason'] == (
        'The build was stopped: its limit of 5 seconds was up during: recipe '
        '(acme_appliance 1).'
    )
    assert done['fault'] == 'user'


@pytest.mark.parametrize(
    ('more', 'status', 'reason'),
    [
        ({}, 'failed', ' is not as wanted'),
        ({'reconcile': True}, 'passed', ''),
        ({'mode': 'down'}, 'failed', 'the appliance does not answer'),
    ],
)
def test_a_machine_that_runs(service, machine, tmp_path, more, status, reason):
    """It is asked by validate_images()."""
    file = tmp_path / 'acme'
    more = dict(more)
    arguments = {'site': 'here', 'file': str(file), 'token': SECRET}
    if 'mode' in more:
        arguments['mode'] = more.pop('mode')
    body = {
        'hosts': [
            {
                'address': '127.0.0.1',
                'port': machine.port,
                'host_key': machine.fingerprint,
            }
        ],
        'credential': {'key': 'fleet'},
        'recipe': 'acme_appliance',
        'recipe_version': '1',
        'arguments': arguments,
        **more,
    }
    code, made = service.ask('POST', 'validations', body)
    assert code == 202, made
    done = service.wait(made, 'passed', 'failed', 'error', kind='validations')
    assert done['status'] == status, done
    assert reason in (done['status_reason'] or '')
    assert SECRET not in json.dumps(done)
    assert file.exists() == bool(more)


def test_several_machines_at_a_time(environment, machine, key, tmp_path):
    """Each one's output is its own, and the report is whole."""
    known = tmp_path / 'known_hosts'
    names = ('127.0.0.1', 'localhost')
    known.write_text(machine.known + machine.known.replace(*names))
    inventory = {
        'defaults': {'port': machine.port, 'identity': str(key[1])},
        'hosts': [
            {
                'host': name,
                'user': 'root',
                'arguments': {
                    'token': f'{SECRET}-{number}',
                    'file': str(tmp_path / name),
                },
            }
            for number, name in enumerate(names)
        ],
    }
    path = tmp_path / 'inventory.yaml'
    path.write_text(json.dumps(inventory))

    def validate(*options):
        done = program(
            environment, tmp_path, 'validate', '--inventory', path, '--json',
            '--known-hosts', known, '--verbose', *options,
            'acme_appliance', '1', '--site', 'here',
        )  # fmt: skip
        assert SECRET not in done.stdout + done.stderr
        document = json.loads(done.stdout)
        return done.returncode, document['result'], done.stderr

    code, result, shown = validate('--reconcile')
    assert (code, result) == (0, 'reconciled'), shown
    for name in names:
        assert (tmp_path / name).read_text() == '1 here\n'
        [mine] = [
            line
            for line in shown.splitlines()
            if 'asking 1 that runs' in line and name in line
        ]
    assert shown.count('the token is ***') == 2
    assert shown.count('from inside: ***') == 2
    assert validate()[:2] == (0, 'conforms')


# -- the command line -------------------------------------------------------


def pack(environment, directory, *arguments):
    return program(environment, directory, 'pack', *arguments)


def program(environment, directory, name, *arguments):
    return subprocess.run(
        [sys.executable, '-m', f'imagebuild.cmd.{name}', *arguments],
        capture_output=True,
        text=True,
        cwd=directory,
        env=environment,
        check=False,
    )


def test_help(environment, tmp_path):
    done = pack(environment, tmp_path, 'acme_appliance', '1', '--help')
    assert done.returncode == 0, done.stderr
    assert 'The appliance of Acme.' in done.stdout
    assert '--site' in done.stdout
    assert '--token' not in done.stdout


def test_a_wrong_value_is_refused_before_the_image_is_opened(
    environment, tmp_path
):
    done = pack(
        environment, tmp_path, '--image', 'missing.qcow2', '--json',
        'acme_appliance', '1', '--mode', 'odd',
    )  # fmt: skip
    assert done.returncode == 2
    assert 'mode: "odd" is not one of' in json.loads(done.stdout)['error']


def test_a_broken_one_says_why(environment, tmp_path):
    done = pack(
        environment, tmp_path, '--image', 'missing.qcow2', 'acme_wild', '1'
    )
    assert done.returncode == 2
    assert 'get_image_arguments()' in done.stderr
    assert 'Traceback' not in done.stderr
