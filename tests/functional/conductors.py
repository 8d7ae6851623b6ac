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
"""Conductors for tests: SQLite, a bus in memory, images in a directory."""

import contextlib
import json
import os
import pathlib
import platform
import sys
import time
import uuid

from oslo_config import cfg
from oslo_log import log

from imagebuild import conf as imagebuild_conf
from imagebuild import db
from imagebuild import exception
from imagebuild import sealing
from imagebuild.conductor import capability
from imagebuild.conductor import process
from imagebuild.conductor import service
from imagebuild.messaging import bus
from imagebuild.stores import file as file_store
from tests.functional import blank_database
from tests.functional import notices

SCRIPTED_JOB = (
    sys.executable,
    str(pathlib.Path(__file__).with_name('scripted_job.py')),
)
KEY = sealing.new_key()
PROJECT = '11111111111111111111111111111111'


class FakeDriver:
    """Enough of a driver to offer it; what builds is the scripted job."""

    name = 'fake'
    by_default = True
    wants_base = False
    base_kinds = ('glance', 'url', 'path')
    takes_elements = False
    boots = False

    def combined(self, of_entry, asked):
        return {**of_entry, **asked}

    def check_asked(self, asked, options, sections):
        pass

    def missing(self, isolation='appliance'):
        return ()

    def validate(self, options):
        pass

    def disk_size(self, options):
        return 0

    def makes(self, options):
        return 'file'

    def runs_program(self, options):
        return False

    def works_in_cloud(self, sections):
        return False

    def identity(self, options):
        return f'fake:{json.dumps(options, sort_keys=True)}'


def write_conf(directory, name, **conductor):
    """Write a configuration file.

    :returns: its path.
    """
    options = {
        'name': name,
        'store': 'file',
        'heartbeat_interval': 1,
        'dead_after': 4,
        'sweep_interval': 1,
        'retry_delay': 0,
        **conductor,
    }
    lines = [
        '[DEFAULT]',
        f'state_path = {directory}',
        f'operating_systems_file = {directory}/operating-systems.yaml',
        f'encryption_keys = {KEY}',
        'transport_url = fake://',
        'logging_context_format_string = '
        '%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s',
        '[conductor]',
        *(f'{key} = {value}' for key, value in options.items()),
    ]
    path = directory / f'{name}.conf'
    path.write_text('\n'.join(lines) + '\n')
    return path


def read_conf(path):
    conf = cfg.ConfigOpts()
    imagebuild_conf.register(conf)
    log.register_options(conf)
    conf(args=[], project='imagebuild', default_config_files=[str(path)])
    return conf


def make_database(directory):
    (directory / 'operating-systems.yaml').write_text(
        'fake-os:\n  driver: fake\n'
    )
    connection = blank_database.make(f'{directory}/imagebuild.sqlite')
    return db.Database(connection)


def store(directory):
    return file_store.FileStore(directory / 'images')


def make_conductor(conf, **parts):
    """A conductor, as conductor_program.py and the tests want it."""
    images = store(pathlib.Path(conf.state_path))
    parts = {
        'job_command': SCRIPTED_JOB,
        'capability_provider': capability.CapabilityProvider(
            conf, lambda: {'fake': FakeDriver()}
        ),
        'open_store': lambda _destination: images,
        'notifier': notices.Notices(),
        **parts,
    }
    database = parts.pop('database', None) or process.database(conf)
    return service.Conductor(conf, database, bus.get_transport(conf), **parts)


class Shaky(db.Database):
    """A database that can be away."""

    away = False

    def _read(self, work):
        self._fail()
        return super()._read(work)

    def _write(self, work):
        self._fail()
        return super()._write(work)

    def _fail(self):
        if self.away:
            raise exception.DatabaseUnavailable(reason='it restarts')


@contextlib.contextmanager
def running(directory, name='c1', *, start=True, **options):
    """A conductor in this process."""
    parts = options.pop('parts', {})
    conf = read_conf(write_conf(directory, name, **options))
    conductor = make_conductor(conf, **parts)
    if start:
        conductor.start()
    try:
        yield conductor
    finally:
        conductor.stop()


def add_build(database, **values):
    """Queue a build; ``options`` are for the scripted job.

    :returns: its id.
    """
    options = values.pop('options', {})
    request = {
        'name': 'an image',
        'driver': 'fake',
        'driver_options': options,
        'disk_format': 'qcow2',
        'container_format': 'bare',
        'tags': values.pop('tags', []),
        'arguments': values.pop('arguments', {}),
    }
    build = database.create_build(
        {
            'project_id': PROJECT,
            'user_id': 'user',
            'name': 'an image',
            'os': 'fake-os',
            'driver': 'fake',
            'architecture': platform.machine(),
            'request': request,
            'base': {'kind': 'none', 'driver_options': options},
            'content_key': uuid.uuid4().hex * 2,
            'reuse': 'never',
            'timeout': 600,
            'request_id': f'req-{uuid.uuid4()}',
            **values,
        },
        quotas={},
    )
    return build.id


def wait_until(condition, seconds=60, what='it'):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f'{what} did not happen in {seconds} s')


def wait_for(database, build_id, *statuses, seconds=60):
    def look():
        build = database.get_build(build_id)
        return build if build.status in statuses else None

    try:
        return wait_until(look, seconds)
    except AssertionError:
        build = database.get_build(build_id)
        raise AssertionError(
            f'{build.status} {build.status_reason!r}, not {statuses}'
        ) from None


def images_in(directory, name='images'):
    """Metadata of every image in the store."""
    found = []
    for path in (directory / name).glob('*/metadata.json'):
        if not path.parent.name.startswith('.'):
            found.append(json.loads(path.read_text()))
    return found


def workspaces_in(directory):
    return [path.name for path in (directory / 'work').glob('*-*')]


def processes_with(text):
    """Pids whose command line, environment or directory holds a text."""
    found = []
    for name in os.listdir('/proc'):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            stat = pathlib.Path(f'/proc/{name}/stat').read_bytes()
            if stat.rpartition(b')')[2].split()[0] == b'Z':
                continue
            if text in os.readlink(f'/proc/{name}/cwd'):
                found.append(int(name))
    return found
