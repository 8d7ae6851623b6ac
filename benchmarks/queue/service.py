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
"""The service without its API: database, bus, conductors."""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import contextlib
import json
import pathlib
import platform
import sys
import uuid
from collections.abc import Iterator
from typing import Any

from oslo_config import cfg

from benchmarks import processor
from benchmarks.queue import fates
from imagebuild import conf as imagebuild_conf
from imagebuild import db
from imagebuild.db import migration
from imagebuild.messaging import rpcapi
from imagebuild.stores import base as stores
from tools.cloud import cloud_state
from tools.cloud.servers import mariadb
from tools.cloud.servers import process
from tools.cloud.servers import rabbitmq

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_REAL = (sys.executable, '-m', 'imagebuild.cmd.conductor')
_SCRIPTED = (
    sys.executable,
    str(pathlib.Path(__file__).with_name('conductor.py')),
)
_CONF = """\
[DEFAULT]
state_path = {directory}
operating_systems_file = {directory}/operating-systems.yaml
transport_url = {bus}
default_log_levels = sqlalchemy=WARN,amqp=WARN,stevedore=WARN
[database]
connection = {database}
[conductor]
drivers = fake
store = file
work_dir = {directory}/work
max_builds = {places}
heartbeat_interval = 2
dead_after = 10
"""
_OPERATING_SYSTEMS = 'fake-1:\n  driver: fake\n'
_SENDERS = 4


class Service:
    """The parts, once they are up."""

    def __init__(
        self,
        directory: pathlib.Path,
        connection: str,
        servers: dict[str, Any],
        transport: Any,
    ) -> None:
        self._directory = directory
        self._servers = servers
        self._api = rpcapi.ConductorAPI(transport)
        self._processes = process.Processes(cloud_state.State(directory))
        self.database = db.Database(connection)

    # -- conductors ---------------------------------------------------------

    def start(self, number: int, command: tuple[str, ...]) -> None:
        """Start conductors, and wait until they have reported themselves."""
        names = [f'conductor-{each}' for each in range(1, number + 1)]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: self._start(name, command), names))

    def stop(self) -> None:
        """Stop them, in good order."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(self._processes.stop, self._processes.names()))

    def conductors(self) -> dict[str, int]:
        """The processes of those that run, by their names."""
        found = {
            name: self._processes.pid(name)
            for name in sorted(self._processes.names())
        }
        return {name: pid for name, pid in found.items() if pid}

    def _start(self, name: str, command: tuple[str, ...]) -> None:
        own = self._directory / f'{name}.conf'
        own.write_text(f'[conductor]\nname = {name}\n')
        files = [self._directory / 'imagebuild.conf', own]
        self._processes.start(
            process.Program(
                name=name,
                argv=[*command, *(f'--config-file={file}' for file in files)],
                directory=_ROOT,
                ready=lambda: self._is_up(name),
                ready_within=120,
                stop_within=90,
            )
        )

    def _is_up(self, name: str) -> bool:
        alive = self.database.list_conductors(alive_within=60)
        return name in (conductor.name for conductor in alive)

    # -- builds -------------------------------------------------------------

    def submit(self, number: int, projects: int, seconds: float) -> list[str]:
        """Ask for builds, the projects in turn, as the API does.

        :param seconds: how long each sleeps.
        :returns: their ids.
        """
        with concurrent.futures.ThreadPoolExecutor(_SENDERS) as pool:
            return list(
                pool.map(
                    lambda each: self._submit(
                        f'{each % projects:032x}', seconds
                    ),
                    range(number),
                )
            )

    def _submit(self, project: str, seconds: float) -> str:
        values = build_values(project, {'seconds': seconds})
        build = self.database.create_build(values, quotas={})
        self._api.build(build.id)
        return build.id

    def fates(self, ids: list[str]) -> list[fates.Fate]:
        """What became of them; of builds that are not there any more, too."""
        wanted, images = set(ids), self._images()
        builds = {
            build.id: build
            for build in self.database.list_builds(
                project_id=None, filters={}, sort=[], limit=None, marker=None
            )
            if build.id in wanted
        }
        if wanted - builds.keys():
            raise SystemExit(f'Not in the database: {wanted - builds.keys()}')
        return [
            fates.Fate(
                id=build.id,
                project=build.project_id,
                status=build.status,
                attempt=build.attempt,
                created=build.created_at,
                finished=build.finished_at,
                claims=self._claims(build.id),
                images=images[build.id],
            )
            for build in builds.values()
        ]

    def _claims(self, build_id: str) -> list[fates.Claim]:
        found = [
            fates.claim(event.at, event.message)
            for event in self.database.list_events(build_id)
            if event.kind == 'conductor'
        ]
        return [claim for claim in found if claim is not None]

    def _images(self) -> collections.Counter[str]:
        """How many images the store has of each build."""
        return collections.Counter(
            json.loads(path.read_text())[stores.BUILD_ID]
            for path in (self._directory / 'images').glob('*/metadata.json')
        )

    def left(self) -> list[str]:
        """Workspaces that nobody has removed."""
        return [path.name for path in (self._directory / 'work').glob('[!.]*')]

    # -- what it costs ------------------------------------------------------

    def processor(self) -> dict[str, float]:
        """Seconds of processor time so far, by what took them."""
        found = [processor.times(pid) for pid in self.conductors().values()]
        return {
            'conductors': sum(own for own, _ in found),
            'jobs': sum(children for _, children in found),
            **{
                name: processor.times(server.pid or 0)[0]
                for name, server in self._servers.items()
            },
        }


def build_values(project: str, options: dict[str, Any]) -> dict[str, Any]:
    """Columns of a build, as the API makes them.

    :param options: of the driver.
    """
    request = {
        'name': 'benchmark',
        'os': 'fake-1',
        'driver': 'fake',
        'driver_options': options,
        'disk_format': 'qcow2',
        'container_format': 'bare',
        'reuse': 'never',
    }
    base = {'kind': 'none', 'driver': 'fake', 'os': 'fake-1'}
    return {
        'project_id': project,
        'user_id': 'benchmark',
        'name': request['name'],
        'os': request['os'],
        'driver': request['driver'],
        'architecture': platform.machine(),
        'request': request,
        'base': {**base, 'identity': 'fake', 'driver_options': options},
        'content_key': uuid.uuid4().hex * 2,
        'reuse': request['reuse'],
        'timeout': 600,
        'request_id': f'req-{uuid.uuid4()}',
    }


@contextlib.contextmanager
def running(
    directory: pathlib.Path, options: argparse.Namespace
) -> Iterator[Service]:
    """A service with as many conductors as wanted."""
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(mariadb.running(directory / 'mariadb'))
        bus = stack.enter_context(rabbitmq.running(directory / 'rabbitmq'))
        connection = database.url('imagebuild')
        migration.upgrade(connection)
        (directory / 'operating-systems.yaml').write_text(_OPERATING_SYSTEMS)
        file = directory / 'imagebuild.conf'
        file.write_text(
            _CONF.format(
                directory=directory,
                bus=bus.transport_url,
                database=connection,
                places=options.places,
            )
        )
        servers = {'mariadb': database, 'rabbitmq': bus}
        transport = bus.get_transport(_read(file))
        stack.callback(transport.cleanup)
        served = Service(directory, connection, servers, transport)
        stack.callback(served.stop)
        served.start(
            options.conductors,
            _REAL if options.job == 'real' else _SCRIPTED,
        )
        yield served


def _read(file: pathlib.Path) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    imagebuild_conf.register(conf)
    conf([], project='imagebuild', default_config_files=[str(file)])
    return conf
