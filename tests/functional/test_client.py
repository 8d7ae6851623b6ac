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
"""The client over a real connection.

Against a small stand-in for the service (client_stand_in.py): it can be told
to fail, which the real one cannot.
"""

import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
from keystoneauth1 import noauth
from keystoneauth1 import session as ksa_session

from imagebuild import client
from imagebuild.client import exceptions
from tests.functional import client_stand_in


@pytest.fixture
def service():
    with client_stand_in.StandIn() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def builder(service):
    return client.Client(
        ksa_session.Session(auth=noauth.NoAuth(endpoint=service.url)),
        retry_delay=0.01,
    )


def test_life_of_a_build(builder):
    build = builder.builds.create(name='web', os='debian-12')
    done = []
    build = builder.builds.wait(
        build.id,
        60,
        lambda build: done.append(build.progress.done),
        interval=0,
    )
    assert build.status == 'active'
    assert build.image_id
    assert done == [0, 1, 2, 3, 3]
    builder.builds.delete(build.id)
    with pytest.raises(exceptions.NotFound):
        builder.builds.get(build.id)


def test_log(builder):
    build = builder.builds.create(name='web')
    text = ''.join(builder.builds.follow_log(build.id, interval=0))
    assert text.splitlines()[0] == 'building, Grüße ✓'
    assert text.splitlines()[-1] == 'uploaded'


def test_connections_that_break(builder, service):
    service.failures = [0, 503, 0]
    build = builder.builds.create
    with pytest.raises(exceptions.ConnectionFailed):
        build(name='web')
    assert service.builds == {}
    assert [item.name for item in builder.conductors.list()] == ['builder-1']
    assert service.failures == []


def test_service_that_restarts_while_waited_for(service):
    builder = client.Client(
        ksa_session.Session(auth=noauth.NoAuth(endpoint=service.url)),
        connect_retries=0,
        status_code_retries=0,
    )
    build = builder.builds.create(name='web')
    service.failures = [0, 503, 502, 0]
    assert builder.builds.wait(build.id, interval=0.01).status == 'active'


def test_many_threads(builder):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ids = [
            build.id
            for build in pool.map(
                lambda n: builder.builds.create(name=f'n{n}'), range(40)
            )
        ]
        found = [*pool.map(builder.builds.get, ids)]
    assert [build.name for build in found] == [f'n{n}' for n in range(40)]
    assert len([*builder.builds.list()]) == 40


# -- the program ------------------------------------------------------------

PROGRAM = pathlib.Path(sys.executable).parent / 'openstack'


@pytest.fixture
def openstack(service, tmp_path):
    """Run the program; returns the process when it has ended."""
    assert PROGRAM.exists(), 'python-openstackclient is not installed'

    def call(*line, start=False):
        command = [
            PROGRAM, '--os-auth-type', 'none', '--os-endpoint', service.url,
            *line,
        ]  # fmt: skip
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith('OS_')
        }
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            # What is left in a buffer is part of what is tried.
            env={
                **environment,
                'HOME': str(tmp_path),
                'PYTHONUNBUFFERED': '',
            },
        )
        if start:
            return process
        process.out, process.err = process.communicate(timeout=60)
        return process

    return call


def test_create_and_wait(openstack, service, tmp_path):
    (tmp_path / 'manifest').mkdir()
    (tmp_path / 'manifest' / 'manifest.yaml').write_text(
        'arguments: {password: {hidden: true, required: true}}\n'
        'validators: [{script: setup.sh}]\n'
    )
    (tmp_path / 'manifest' / 'setup.sh').write_text('#!/bin/sh\n')
    (tmp_path / 'motd').write_text('Hello\n')
    (tmp_path / 'arguments').write_text('password: geheim\n')
    done = openstack(
        'image', 'build', 'create', 'web', '--os', 'debian-12',
        '--package', 'nginx', '--file', '/etc/motd=motd,mode=0644',
        '--manifest', 'manifest/manifest.yaml',
        '--arguments-file', 'arguments', '--tag', 'a', '--wait', '-f', 'json',
    )  # fmt: skip
    assert done.returncode == 0, done.err
    shown = json.loads(done.out)
    assert shown['status'] == 'active'
    assert done.err.splitlines()[-1] == 'active [3/3]'
    method, path, body = service.requests[0]
    assert (method, path) == ('POST', '/v1/builds')
    assert body == {
        'name': 'web',
        'os': 'debian-12',
        'packages': ['nginx'],
        'tags': ['a'],
        'files': [{'path': '/etc/motd', 'content': 'Hello\n', 'mode': '0644'}],
        'manifest': {
            'arguments': {'password': {'hidden': True, 'required': True}},
            'validators': [{'script': 'setup.sh'}],
        },
        'resources': {'setup.sh': '#!/bin/sh\n'},
        'arguments': {'password': 'geheim'},
    }
    assert 'geheim' not in done.out + done.err


def test_failure(openstack):
    done = openstack('image', 'build', 'create', 'broken', '--wait')
    assert done.returncode == 1
    assert done.out == ''
    assert '(fault: user): A script failed.' in done.err
    assert '    no such port' in done.err


def test_all_problems_are_told(openstack):
    done = openstack(
        'image', 'build', 'create', 'x', '--os', 'none', '--argument', 'port=x'
    )
    assert done.returncode == 1
    assert done.err.splitlines() == [
        'The request is not valid.',
        '  os: there is none of this name',
        '  arguments.port: is not a port',
    ]


def test_values_are_in_no_log(openstack, tmp_path):
    done = openstack(
        '--debug', '--log-file', 'log', 'image', 'build', 'create', 'x',
        '--argument', 'password=geheim', '--argument', 'a=x --y geheim',
        '-f', 'json',
    )  # fmt: skip
    assert done.returncode == 0
    written = done.err + (tmp_path / 'log').read_text()
    assert 'START with options' in written
    assert 'geheim' not in written
    # What is shown is what the service shows: not those that are hidden.
    assert json.loads(done.out)['request']['arguments'] == {
        'password': '***',
        'a': 'x --y geheim',
    }
    assert done.out.count('geheim') == 1


def test_interrupt(openstack, service, monkeypatch):
    # It is not done before it is interrupted.
    monkeypatch.setattr(service, 'advance', lambda build: None)
    process = openstack('image', 'build', 'create', 'x', '--wait', start=True)
    end = time.monotonic() + 60
    while len(service.requests) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert 'goes on' in err
    assert 'Traceback' not in err


def test_pipe_that_closes(openstack, service):
    service.create({'name': 'x'}).update(status='active', log='x\n' * 99)
    process = openstack('image', 'build', 'log', '--follow', 'x', start=True)
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(60) in (0, 141)
    assert 'Traceback' not in err
    process.stderr.close()


@pytest.mark.parametrize(
    'line',
    [
        ['build', 'list', '--long'],
        ['build', 'show', 'x'],
        ['build', 'log', 'x'],
        ['build', 'log', '--follow', 'x'],
        ['build', 'plan', 'y', '--os', 'debian-12'],
        ['build', 'delete', 'x'],
        ['build', 'create', 'y', '--follow'],
        ['recipe', 'list'],
        ['recipe', 'show', 'redis'],
        ['os', 'list'],
        ['builder', 'list'],
    ],
    ids=' '.join,
)
def test_commands(openstack, service, line):
    service.create({'name': 'x'})
    done = openstack('image', *line)
    assert done.returncode == 0, done.err
    assert 'Traceback' not in done.err


def test_service_that_is_not_there(openstack, service):
    service.shutdown()
    service.server_close()
    done = openstack('image', 'build', 'create', 'x')
    assert done.returncode == 1
    assert done.err.strip().endswith('Connection refused.')
