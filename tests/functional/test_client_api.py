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
"""The client and the commands against the real API, over HTTP.

Conductors are played by the tests (api_service.py).
"""

import contextlib
import functools
import gzip
import itertools
import json
import os
import pathlib
import subprocess
import sys
import textwrap
import threading

import pytest
from keystoneauth1 import noauth
from keystoneauth1 import session as ksa_session
from werkzeug import serving

from imagebuild import client
from imagebuild import db
from imagebuild.client import exceptions
from tests.functional import api_service

HIDDEN = {
    'arguments': {
        'password': {'hidden': True, 'required': True},
        'port': {'default': '80', 'choices': ['80', '81']},
    },
    'validators': [{'script': {'setup.sh': {'env_vars': ['password']}}}],
}
RESOURCES = {'setup.sh': '#!/bin/sh\n'}


@pytest.fixture
def service(tmp_path):
    with api_service.running(tmp_path, default_limit=2, max_limit=2) as found:
        yield found
        # oslo.config keeps overrides with the options, which all ConfigOpts
        # share: the next test would have them too.
        found.conf.clear_override('default_limit', 'api')
        found.conf.clear_override('max_limit', 'api')
        found.conf.clear_override('queued', 'quota')


@pytest.fixture
def url(service):
    server = serving.make_server(
        '127.0.0.1',
        0,
        service.wsgi,
        threaded=True,
        request_handler=_Quiet,
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    thread.join()
    server.server_close()


class _Quiet(serving.WSGIRequestHandler):
    def log_request(self, *_):
        pass


@pytest.fixture
def builder(url):
    return client.Client(
        ksa_session.Session(auth=noauth.NoAuth(endpoint=url)), retry_delay=0.01
    )


def create(builder, name='web', **fields):
    return builder.builds.create(name=name, os='debian-12', **fields)


def test_life_of_a_build(builder, service):
    build = create(builder, packages=['nginx'], tags=['a'])
    assert build.status == 'queued'
    assert build.driver == 'fake'
    assert service.conductors.casts == [('build', build.id)]
    seen = []

    def look(build):
        seen.append(build.status)
        if len(seen) == 3:
            service.finish(build.id)

    build = builder.builds.wait(build.id, 60, look, interval=0.1)
    assert seen == ['queued', 'queued', 'queued', 'active']
    assert build.image_id == 'glance-1'
    assert build.images[0].image_id == 'glance-1'
    assert build.checksum['os_hash_algo'] == 'sha512'
    assert build.size == 4096
    assert build.request['tags'] == ['a']
    again = create(builder, 'other', packages=['nginx'])
    assert (again.status, again.image_id) == ('active', 'glance-1')
    assert again.reused_from == build.id
    with pytest.raises(exceptions.Conflict):
        builder.builds.cancel(build.id)
    builder.builds.delete(build.id)
    with pytest.raises(exceptions.NotFound):
        builder.builds.get(build.id)


def test_all_problems_with_their_paths(builder):
    with pytest.raises(exceptions.BadRequest) as caught:
        builder.builds.create(
            name='x',
            os='none',
            packages=[5],
            files=[{'path': 'relative', 'content': 'x'}],
            disk_format='x',
        )
    paths = {problem.path for problem in caught.value.errors}
    assert {'os', 'packages[0]', 'disk_format'} <= paths
    for problem in caught.value.errors:
        assert str(caught.value).count(problem.message) >= 1


def test_problem_that_only_a_conductor_sees(builder):
    with pytest.raises(exceptions.BadRequest) as caught:
        builder.builds.create(name='x', base_image='invisible', driver='fake')
    assert [problem.path for problem in caught.value.errors] == ['base_image']


def test_quota(builder, service):
    service.conf.set_override('queued', 1, 'quota')
    create(builder, packages=['a'])
    with pytest.raises(exceptions.QuotaExceeded):
        create(builder, packages=['b'])


def test_no_conductor(builder, service):
    service.database.unregister('builder-1')
    with pytest.raises(exceptions.ServiceUnavailable):
        create(builder)


def test_pages_and_filters(builder, service):
    made = [create(builder, f'n{n}', reuse='never') for n in range(5)]
    found = [build.id for build in builder.builds.list(sort='created_at:asc')]
    assert found == [build.id for build in made]
    assert len([*builder.builds.list(limit=3)]) == 3
    assert len([*builder.builds.list(limit=4, all_projects=True)]) == 4
    [one] = builder.builds.list(name='n3')
    assert one.id == made[3].id == builder.builds.find('n3').id
    rest = builder.builds.list(marker=made[1].id, sort='created_at:asc')
    assert [build.id for build in rest] == [build.id for build in made[2:]]
    assert [*builder.builds.list(status='active')] == []
    with pytest.raises(exceptions.BadRequest, match='sort'):
        [*builder.builds.list(sort='x')]


def test_log_and_steps(builder, service):
    build = create(builder)
    service.database.append_log(build.id, 'Grüße ✓\n')
    chunk = builder.builds.log(build.id)
    assert chunk.text == 'Grüße ✓\n'
    assert builder.builds.log(build.id, chunk.next_offset).text == ''
    follower = builder.builds.follow_log(
        build.id, chunk.next_offset, interval=0.01
    )
    service.database.append_log(build.id, 'more\n')
    assert next(follower) == 'more\n'
    fail(service, build.id)
    assert ''.join(follower) == 'last words\n'
    [step] = builder.builds.steps(build.id)
    assert (step.number, step.result, step.seconds) == (1, 'failed', 1.5)


def fail(service, build_id):
    """Play a conductor whose build fails."""
    build = service.database.claim('builder-1', job=build_id)
    service.database.append_log(build_id, 'last words\n')
    service.database.add_step(
        build_id,
        {
            'attempt': build.attempt,
            'number': 1,
            'path': 'packages[0]',
            'validator': 'package',
            'description': 'package nginx',
            'result': 'failed',
            'seconds': 1.5,
            'message': 'command failed with exit code 100',
            'output': 'E: no such package\n',
        },
    )
    service.database.finish_build(
        build_id,
        db.Outcome('error', 'A package is not there.', fault='user'),
        conductor='builder-1',
        attempt=build.attempt,
    )


def test_cancel(builder):
    build = create(builder)
    builder.builds.cancel(build.id)
    build = builder.builds.wait(build.id, 60, interval=0.1)
    assert build.status == 'cancelled'


def test_plan(builder):
    plan = builder.builds.plan(
        name='x', os='debian-12', packages=['nginx', 'curl']
    )
    assert plan.would_build
    assert len(plan.content_key) == 64
    assert list(plan.conductors) == ['builder-1']
    assert plan.steps
    assert [*builder.builds.list()] == []


def test_hidden_values_do_not_come_back(builder):
    build = create(
        builder,
        manifest=HIDDEN,
        resources=RESOURCES,
        arguments={'password': 'geheim', 'port': '81'},
    )
    build = builder.builds.get(build.id)
    assert build.request['arguments'] == {'password': '***', 'port': '81'}
    assert 'geheim' not in repr(build.raw)


def test_what_there_is(builder):
    assert {item.name for item in builder.operating_systems.list()} == {
        'debian-12',
        'debian-12-minimal',
        'far-away',
    }
    listed = {(item.name, item.version) for item in builder.recipes.list()}
    assert ('redis', '7') in listed
    recipe = builder.recipes.get('redis', '7')
    assert 'port' in recipe.arguments['properties']
    with pytest.raises(exceptions.NotFound):
        builder.recipes.get('redis', '../7')
    [conductor] = builder.conductors.list()
    assert (conductor.name, conductor.slots) == ('builder-1', 2)
    assert conductor.alive
    assert [*builder.uploads.list()] == []


def test_version_that_is_not_there(url):
    newer = client.Client(
        ksa_session.Session(auth=noauth.NoAuth(endpoint=url)),
        microversion='1.999',
    )
    with pytest.raises(exceptions.HttpError, match='not supported') as caught:
        [*newer.builds.list()]
    assert caught.value.code == 406


LISTS = {
    'tags': ['a', 'b'],
    'members': ['blue'],
    'properties': {'os_version': '12', 'purpose': 'web'},
}
EMPTY = {'tags': [], 'members': [], 'properties': {}}


@pytest.fixture
def with_lists(builder, service):
    """A build whose image has tags, members and properties."""
    build = create(builder, visibility='shared', **LISTS)
    service.finish(build.id)
    return build.id


@pytest.mark.parametrize('field', EMPTY)
def test_a_list_is_emptied(builder, service, with_lists, field):
    changed = builder.builds.update(with_lists, **{field: EMPTY[field]})
    assert changed.request[field] == EMPTY[field]
    [change] = service.conductors.updates
    for name, value in {**LISTS, field: EMPTY[field]}.items():
        assert builder.builds.get(with_lists).request[name] == value
    # What the store is told; None leaves what it has.
    properties = LISTS['properties'] if field == 'properties' else ()
    assert set(change.dropped) == set(properties)
    assert change.tags == ([] if field == 'tags' else None)
    assert change.members == ([] if field == 'members' else None)


# -- the program ------------------------------------------------------------

PROGRAM = pathlib.Path(sys.executable).parent / 'openstack'


@pytest.fixture
def openstack(url, tmp_path):
    assert PROGRAM.exists(), 'python-openstackclient is not installed'

    def call(*line):
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith('OS_')
        }
        return subprocess.run(
            [
                PROGRAM, '--os-auth-type', 'none', '--os-endpoint', url,
                'image', *line,
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**environment, 'HOME': str(tmp_path)},
            timeout=100,
            check=False,
        )  # fmt: skip

    return call


@pytest.fixture
def played(service, monkeypatch):
    """Conductors that answer a cast by doing what a test says."""

    def play(act):
        cast = service.conductors.build

        def build(build_id, **to):
            cast(build_id, **to)
            threading.Timer(1, act, [build_id]).start()

        monkeypatch.setattr(service.conductors, 'build', build)

    return play


PAGE = pathlib.Path('doc/source/cli/image-build.rst').resolve()
API_PAGE = PAGE.parents[1] / 'api' / 'python-client.rst'


def code(page, caption):
    """A block of a page."""
    text = page.read_text().partition(f':caption: {caption}\n\n')[2]
    lines = itertools.takewhile(
        lambda line: not line or line.startswith(' '), text.splitlines()
    )
    return textwrap.dedent('\n'.join(lines))


@pytest.mark.timeout(600)
def test_documented_commands(url, service, played, builder, tmp_path, request):
    """Every command of the page is run, in order."""
    sbom = gzip.compress(b'{"spdxVersion": "SPDX-2.3"}')
    played(functools.partial(service.finish, sbom=sbom))
    machines = {
        'allowed_networks': ['203.0.113.0/24'],
        'private_keys': {'deploy': '/etc/imagebuild/deploy'},
    }
    for name, value in machines.items():
        service.conf.set_override(name, value, 'validation')
        request.addfinalizer(
            functools.partial(service.conf.clear_override, name, 'validation')
        )
    (tmp_path / 'motd.txt').write_text('Hello\n')
    (tmp_path / 'arguments.yaml').write_text('password: geheim\n')
    (tmp_path / 'site').mkdir()
    (tmp_path / 'site' / 'manifest.yaml').write_text(json.dumps(HIDDEN))
    (tmp_path / 'site' / 'setup.sh').write_text(RESOURCES['setup.sh'])
    standalone = 'http://127.0.0.1:9797'
    (tmp_path / 'clouds.yaml').write_text(
        code(PAGE, 'clouds.yaml').replace(standalone, url)
    )
    lines = [
        line.strip().removeprefix('$ ')
        for line in PAGE.read_text().replace('\\\n', ' ').splitlines()
        if line.startswith('    $ ')
    ]
    assert len(lines) > 15
    script = 'set -e\n' + '\n'.join(lines).replace(standalone, url)
    # What is cancelled in it.
    played_build = service.conductors.build
    service.conductors.build = lambda *_, **__: None
    create(builder, 'slow', reuse='never')
    service.conductors.build = played_build
    with heartbeats(service):
        done = subprocess.run(
            ['bash', '-x', '-c', script],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={
                'HOME': str(tmp_path),
                'LANG': 'C.UTF-8',
                'PATH': f'{PROGRAM.parent}:{os.environ["PATH"]}',
            },
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count('+ openstack') == len(lines) - 1
    assert {build.name for build in builder.builds.list()} == {'web', 'site'}


@contextlib.contextmanager
def heartbeats(service):
    stop = threading.Event()

    def send():
        while not stop.wait(5):
            service.up()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_documented_program(url, service, played, tmp_path):
    played(service.finish)
    text = code(API_PAGE, 'build.py').replace('http://127.0.0.1:9797', url)
    done = subprocess.run(
        [sys.executable, '-c', text],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == 'glance-1'


def test_create_with_everything(openstack, service, played, tmp_path):
    played(service.finish)
    directory = tmp_path / 'manifest'
    directory.mkdir()
    (directory / 'manifest.yaml').write_text(json.dumps(HIDDEN))
    (directory / 'setup.sh').write_text(RESOURCES['setup.sh'])
    (tmp_path / 'motd').write_text('Hello\n')
    (tmp_path / 'binary').write_bytes(b'\xff')
    (tmp_path / 'arguments.yaml').write_text('password: geheim\n')
    done = openstack(
        'build', 'create', 'web', '--os', 'debian-12', '--package', 'nginx',
        '--package', 'curl=7.88', '--pip-package', 'requests>=2',
        '--file', '/etc/motd=motd,mode=0644,owner=root,group=root',
        '--file', '/etc/binary=binary',
        '--manifest', 'manifest/manifest.yaml',
        '--arguments-file', 'arguments.yaml', '--argument', 'port=81',
        '--driver', 'fake', '--driver-option', 'output_lines=3',
        '--disk-format', 'raw', '--container-format', 'bare',
        '--min-disk', '5', '--min-ram', '512', '--shared', '--protected',
        '--tag', 'a', '--member', 'p', '--property', 'hw_disk_bus=virtio',
        '--reuse', 'always', '--max-age', '60', '--timeout', '600',
        '--wait', '-f', 'json',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'geheim' not in done.stdout + done.stderr
    shown = json.loads(done.stdout)
    assert (shown['status'], shown['image_id']) == ('active', 'glance-1')
    assert shown['request']['arguments'] == {'password': '***', 'port': '81'}
    request = service.database.get_build(shown['id']).request
    assert request['packages'] == ['nginx', {'curl': {'version': '7.88'}}]
    assert request['driver_options'] == {'output_lines': 3}
    assert request['properties'] == {'hw_disk_bus': 'virtio'}
    assert request['protected'] is True


def test_create_that_fails(openstack, service, played):
    played(lambda build_id: fail(service, build_id))
    done = openstack('build', 'create', 'web', '--os', 'debian-12', '--wait')
    assert done.returncode == 1
    assert done.stdout == ''
    said = done.stderr.splitlines()
    assert said[-5:-2] == [
        'The end of what step 1 printed:',
        '    E: no such package',
        'Step 1, packages[0] (package), failed: command failed with exit '
        'code 100',
    ]
    assert said[-2].endswith('(fault: user): A package is not there.')
    assert said[-1].startswith('The whole log: ')


def test_create_that_is_refused(openstack):
    done = openstack(
        'build', 'create', 'web', '--os', 'none', '--recipe', 'redis',
        '--recipe-version', '7', '--argument', 'port=x',
    )  # fmt: skip
    assert done.returncode == 1
    assert 'os: ' in done.stderr
    assert 'arguments.port: ' in done.stderr


def test_set_empties(openstack, service, builder, with_lists):
    done = openstack(
        *('build', 'set', with_lists, '--no-member', '--no-property'),
        *('--no-tag', '--tag', 'new', '-f', 'json'),
    )
    assert done.returncode == 0, done.stderr
    left = {'tags': ['new'], 'members': [], 'properties': {}}
    request = json.loads(done.stdout)['request']
    assert {name: request[name] for name in left} == left
    kept = builder.builds.get(with_lists).request
    assert {name: kept[name] for name in left} == left
    [image] = service.conductors.updates
    assert list(image.tags) == ['new']
    assert not image.members
    assert not image.properties


def test_the_other_commands(openstack, service, builder):
    build = create(builder)
    service.finish(build.id)
    service.database.append_log(build.id, 'one\ntwo\n')
    expected = {
        ('build', 'list', '--long', '--all-projects'): build.id,
        ('build', 'show', 'web'): 'glance-1',
        ('build', 'log', '--follow', 'web'): 'one\ntwo\n',
        ('build', 'plan', 'x', '--os', 'debian-12'): 'False',
        ('recipe', 'show', 'redis'): 'port',
        ('recipe', 'list'): 'redis',
        ('os', 'list'): 'far-away',
        ('builder', 'list'): 'builder-1',
        ('build', 'delete', 'web'): '',
    }
    for line, text in expected.items():
        service.up()  # again: each command takes its time
        done = openstack(*line)
        assert done.returncode == 0, done.stderr
        assert text in done.stdout, line
    assert [*builder.builds.list()] == []
