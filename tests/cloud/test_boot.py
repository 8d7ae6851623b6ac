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
"""Servers really boot from what stacks have built.

By the commands of README's "Try it with Heat", which is where people begin,
and beside it the database server of the gallery: guests are emulated, each by
one processor.
"""

import os
import pathlib
import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from tests.cloud import installers
from tests.cloud import nova_kills
from tests.cloud import people
from tests.cloud import snapshots
from tests.cloud import stacks as stack_tools
from tests.integration import sample_agent
from tests.integration.kills import listener
from tools.cloud import clouds
from tools.cloud import venv

#: In this order: create, show outputs, show the console, delete.
_COMMAND = re.compile(
    r'^ +tools/cloud/(openstack (?:.*\\\n)*.*)$', re.MULTILINE
)

#: Seconds in which a guest has booted, emulated and beside other work.
_BOOTED_WITHIN = 600
#: Of a console: more than any guest prints.
_LINES = 100_000

_DATASTORE = venv.ROOT / 'templates' / 'heat' / 'datastore.yaml'
_KEY = (
    'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFDYWOCYXsx/YEGKrwzFq1h/QsJXCohAlanoz'
    'KzQ9lRc developer'
)
#: In the place of Trove's agent, whose package brings 300 others. What it
#: prints is on the console.
_FILES = {
    **{
        f'/srv/agent/{name}': text
        for name, text in sample_agent.SOURCES.items()
    },
    '/etc/systemd/system/guest-agent.service.d/console.conf': (
        '[Service]\nStandardOutput=journal+console\n'
    ),
}
_PARAMETERS = {
    'guest_agent': 'directory',
    'guest_agent_directory': '/srv/agent',
    'guest_agent_program': 'sample-agent',
    'developer_key': _KEY,
    'root_password': 'Qz7-geheim',
}


@pytest.fixture(scope='module')
def datastore(
    libvirt_cloud: clouds.Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator['subprocess.Popen[str]']:
    """The command that makes the stack "db", which is at work."""
    template = yaml.safe_load(_DATASTORE.read_text())
    files = template['resources']['image']['properties']['files']
    files += [{'path': path, 'content': _FILES[path]} for path in _FILES]
    path = tmp_path_factory.mktemp('datastore') / 'datastore.yaml'
    path.write_text(yaml.safe_dump(template))
    options = [f'--parameter={key}={_PARAMETERS[key]}' for key in _PARAMETERS]
    with subprocess.Popen(
        [
            *('tools/cloud/openstack', 'stack', 'create', '--wait'),
            *('--timeout', '40', '--template', str(path), *options, 'db'),
        ],
        env={**os.environ, 'STATE': str(libvirt_cloud.directory)},
        cwd=venv.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as creating:
        yield creating
        creating.kill()


@pytest.fixture
def stacks(libvirt_cloud: clouds.Cloud) -> Iterator[stack_tools.Stacks]:
    yield from stack_tools.using(libvirt_cloud)


def commands() -> list[list[str]]:
    """What README has people type."""
    text = (venv.ROOT / 'README.rst').read_text()
    return [
        found.replace('\\\n', '').split() for found in _COMMAND.findall(text)
    ]


def run(
    directory: pathlib.Path, command: list[str]
) -> 'subprocess.CompletedProcess[str]':
    return subprocess.run(
        # As people type it: with what follows in a pipe.
        [
            '/bin/sh',
            '-c',
            ' '.join(['tools/cloud/' + command[0], *command[1:]]),
        ],
        env={**os.environ, 'STATE': str(directory)},
        cwd=venv.ROOT,
        capture_output=True,
        text=True,
    )


def succeed(directory: pathlib.Path, command: list[str]) -> str:
    done = run(directory, command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for(cloud: clouds.Cloud, server_id: str, *lines: str) -> None:
    """Wait until a server has printed all of these."""

    nova = people.nova(cloud, 'demo')

    def is_there() -> bool:
        text = nova.console(server_id, lines=_LINES)
        return all(line in text for line in lines)

    def end() -> str:
        return nova.console(server_id, lines=_LINES)[-4000:]

    people.eventually(is_there, _BOOTED_WITHIN, end)


def server_named(cloud: clouds.Cloud, name: str) -> str:
    """The id of the one server of "demo" with this name."""
    [found] = people.nova(cloud, 'demo').servers(name)
    return str(found['id'])


# The base image is made from packages first: the cloud is new.
@pytest.mark.timeout(3600)
def test_web_server(
    libvirt_cloud: clouds.Cloud,
    datastore: 'subprocess.Popen[str]',
    stacks: stack_tools.Stacks,
) -> None:
    directory = libvirt_cloud.directory
    create, show, console, delete = commands()
    stacks.names.append(create[-1])
    succeed(directory, create)
    outputs = stacks.outputs(create[-1])
    image = stack_tools.image_of(libvirt_cloud, outputs['image_id'])
    assert image['imagebuild_content_key'] == outputs['content_key']
    assert outputs['image_id'] in succeed(directory, show)

    # A file of the image's says so, once the server has booted from it.
    up = 'imagebuild: nginx is up'
    server = server_named(libvirt_cloud, create[-1])
    wait_for(libvirt_cloud, server, up, ' login: ')
    assert up in succeed(directory, console)

    succeed(directory, delete)
    servers = succeed(
        directory,
        ['openstack', 'server', 'list', '-f', 'value', '-c', 'Name'],
    )
    assert create[-1] not in servers.split()


@pytest.mark.timeout(3600)
def test_database_server(
    libvirt_cloud: clouds.Cloud,
    datastore: 'subprocess.Popen[str]',
    stacks: stack_tools.Stacks,
) -> None:
    """As a database service boots one; it was begun before."""
    stacks.names.append('db')
    printed, _ = datastore.communicate(timeout=3000)
    assert datastore.returncode == 0, printed + stacks.failures('db')
    assert _PARAMETERS['root_password'] not in printed
    wait_for(
        libvirt_cloud,
        server_named(libvirt_cloud, 'db'),
        'imagebuild: MariaDB says 42\t/srv/mariadb/',
        'the guest agent is up',
    )


@pytest.mark.timeout(3600)
def test_a_conductor_is_killed(libvirt_cloud: clouds.Cloud) -> None:
    """Nothing is left: one stage of those of the program nova_kills."""
    with nova_kills.rounds_of(libvirt_cloud) as rounds:
        aim = listener.Aim('image asked for', 'conductor, job')
        done = rounds.run(aim)
    assert done.hit and not done.faults, done
    assert (done.ended, done.attempts) == ('active', 2), done


@pytest.mark.timeout(3600)
def test_what_nova_made(
    libvirt_cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    """A server becomes an image, which Nova boots."""
    snapshots.offer(libvirt_cloud)
    ours, nova = people.client(libvirt_cloud), people.nova(libvirt_cloud)
    with snapshots.plugged(libvirt_cloud, nova):
        template = snapshots.template()
        name = stacks.create(template, wait=False, timeout_mins=50)
        snapshots.until(lambda: [*nova.servers('imagebuild-')])
        [build] = ours.builds.list(status='building', name='snapshot')
        over_disk = snapshots.by_guestfs(ours, build.request['base_image'])
        stacks.expect(name, 'CREATE_COMPLETE', 2 * snapshots.WITHIN)
    outputs = stacks.outputs(name)
    build = ours.builds.get(outputs['build_id'])
    assert build.attempt == 1
    results = [step.result for step in ours.builds.steps(build.id)]
    assert results == ['changed', 'ran', 'ran', 'ran']
    assert build.boot_test['passed']
    [finding] = build.boot_test['findings']
    assert finding['what'] == '"tree --version" succeeds'
    # Nothing is left of the attempt, and the image is the project's.
    snapshots.until(lambda: not [*nova.servers('imagebuild-')])
    image = stack_tools.image_of(libvirt_cloud, outputs['image_id'])
    assert image['owner'] == build.project_id
    assert not {'base_image_ref', 'instance_uuid', 'boot_roles'} & set(image)
    # The same manifest over a disk comes to the same packages.
    same = snapshots.listed_by(ours, over_disk)
    assert {each for each in same if each.startswith('tree=')}
    listed = ours.builds.sbom(build.id)['packages']
    assert same <= {
        f'{each["name"]}={each["versionInfo"]}' for each in listed[1:]
    }
    # And so says the server of Nova's that has booted the image.
    log = ours.builds.log(build.id).text
    assert snapshots.says_the_same(log, same), log[-4000:]


@pytest.mark.timeout(3600)
def test_what_an_installer_made(
    libvirt_cloud: clouds.Cloud,
    stacks: stack_tools.Stacks,
    image_cache: pathlib.Path,
) -> None:
    """From the installer's first stage to a server's login prompt."""
    installers.offer(libvirt_cloud, image_cache)
    outputs = stacks.create_of(
        'installed', size=installers.SIZE, flavor='m1.tiny'
    )
    ours = people.client(libvirt_cloud)
    build = ours.builds.get(outputs['build_id'])
    assert (build.driver, build.attempt) == ('installer', 1)
    installers.check_log(ours.builds.log(build.id).text)
    server = stack_tools.server_of(libvirt_cloud, outputs['server_id'])
    assert outputs['image_id'] in str(server['image'])
    wait_for(libvirt_cloud, server['id'], installers.PROMPT)
    people.assert_nothing_left(libvirt_cloud)


def test_no_cloud(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, ['openstack', 'stack', 'list'])
    assert done.returncode == 3
    assert f'There is no cloud in {tmp_path}' in done.stderr
