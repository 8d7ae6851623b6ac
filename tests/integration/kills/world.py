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
"""A whole service: database, bus, API, conductors, each a process.

The store is a directory, the driver is ``fake``; jobs are real ones.
"""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from imagebuild import db
from imagebuild import sealing
from imagebuild.db import migration
from imagebuild.db import transaction
from tests.functional import conductors as kit
from tests.integration.kills import traces
from tools.cloud.servers import mariadb
from tools.cloud.servers import rabbitmq

_ROOT = pathlib.Path(__file__).parents[3]
_CONF = """\
[DEFAULT]
state_path = {directory}
operating_systems_file = {directory}/operating-systems.yaml
transport_url = {bus}
encryption_keys = {key}
default_log_levels = sqlalchemy=WARN,amqp=WARN,stevedore=WARN
[database]
connection = {database}
[api]
auth_strategy = noauth
[conductor]
drivers = fake
store = file
max_builds = 1
max_uploads = 1
heartbeat_interval = 1
dead_after = 4
sweep_interval = 1
retry_delay = 0
max_attempts = 5
[destination:{second}]
store = file
folder = {directory}/{second}
attempts = 30
"""
#: A destination besides this cloud.
SECOND = 'second'
#: What rows say of work that is not done, in whatever table.
_OPEN = (
    'queued', 'waiting', 'claimed', 'building', 'running', 'uploading',
    'deleting',
)  # fmt: skip
_START = 90


class Refused(Exception):
    """The API answered with an error, or not at all.

    :ivar code: the answer's; 0 for none.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f'{code} {text}')
        self.code = code


class World:
    """The processes and what they share.

    :param directory: for everything.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        server: mariadb.MariaDB,
        bus: rabbitmq.RabbitMQ,
        conductors: int,
    ) -> None:
        self.directory = directory
        self.server = server
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.conductors = [f'c{each}' for each in range(1, conductors + 1)]
        url = server.url('imagebuild')
        migration.upgrade(url)
        self.database = db.Database(
            url, retries=transaction.Retries(seconds=60)
        )
        self._engine = sa.create_engine(url, pool_pre_ping=True)
        with socket.socket() as found:
            found.bind(('127.0.0.1', 0))
            self._port = found.getsockname()[1]
        (directory / 'operating-systems.yaml').write_text(
            'fake-1:\n  driver: fake\n'
        )
        (directory / 'imagebuild.conf').write_text(
            _CONF.format(
                directory=directory,
                bus=bus.transport_url,
                key=sealing.new_key(),
                database=url,
                second=SECOND,
            )
        )
        for name in self.conductors:
            (directory / f'{name}.conf').write_text(
                f'[conductor]\nname = {name}\n'
            )

    # -- processes ----------------------------------------------------------

    def start(self, name: str) -> None:
        """Start the API or a conductor; does not wait for it."""
        argv = [sys.executable, '-W', 'ignore', '-m']
        if name == 'api':
            argv += ['waitress', f'--listen=127.0.0.1:{self._port}']
            argv += ['--threads=4', 'imagebuild.wsgi.api:application']
        else:
            argv += ['imagebuild.cmd.conductor']
            argv += ['--config-file', str(self.directory / 'imagebuild.conf')]
            argv += ['--config-file', str(self.directory / f'{name}.conf')]
        conf = str(self.directory / 'imagebuild.conf')
        with (self.directory / f'{name}.log').open('ab') as log:
            self._running[name] = subprocess.Popen(
                argv,
                cwd=_ROOT,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    'IMAGEBUILD_CONFIG': conf,
                    'TMPDIR': str(self.directory / 'tmp'),
                },
            )

    def kill(self, name: str) -> None:
        """Kill it, and nothing but it."""
        if name == 'database':
            self.server.kill()
            return
        process = self._running[name]
        process.send_signal(signal.SIGKILL)
        process.wait()

    def restart(self, name: str) -> None:
        """Start again what was killed."""
        if name == 'database':
            self.server.start()
        else:
            self.start(name)

    def is_alive(self, name: str) -> bool:
        """Whether a process runs."""
        return name in self._running and self._running[name].poll() is None

    def until_up(self) -> None:
        """Wait until all are up.

        :raises AssertionError: one does not come up.
        """
        kit.wait_until(self._is_api_up, _START, 'the start of the API')
        for name in self.conductors:
            kit.wait_until(
                lambda name=name: self._is_conductor_up(name),
                _START,
                f'the start of {name}',
            )

    def _is_api_up(self) -> bool:
        with contextlib.suppress(Refused):
            self.ask('GET', '/v1/builds?limit=1')
            return True
        return False

    def _is_conductor_up(self, name: str) -> bool:
        assert self.is_alive(name), f'{name} has ended'
        alive = self.database.list_conductors(alive_within=3)
        return name in {each.name for each in alive if each.status == 'up'}

    def close(self) -> None:
        """Kill what runs."""
        for process in self._running.values():
            process.kill()
            process.wait()
        self.database.close()
        self._engine.dispose()

    # -- the API ------------------------------------------------------------

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API once.

        :raises Refused: it does not answer, or with an error.
        """
        request = urllib.request.Request(
            f'http://127.0.0.1:{self._port}{path}',
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                'Content-Type': 'application/json',
                'X-Auth-Token': self._token(),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode()[:300]) from error
        except (OSError, ValueError) as error:
            raise Refused(0, str(error)) from error
        return json.loads(text) if text else None

    def _token(self) -> str:
        with contextlib.suppress(OSError):
            return (self.directory / 'token').read_text().strip()
        return ''

    # -- what there is ------------------------------------------------------

    def images(self) -> list[dict[str, Any]]:
        """Metadata of every image in the store."""
        return kit.images_in(self.directory)

    def second_images(self) -> list[dict[str, Any]]:
        """Metadata of every image in the second destination."""
        return kit.images_in(self.directory, SECOND)

    @contextlib.contextmanager
    def second_full(self) -> Iterator[None]:
        """Nothing can be written to the second destination meanwhile."""
        place = self.directory / SECOND
        place.mkdir(exist_ok=True)
        moved = place.rename(self.directory / f'{SECOND}.away')
        place.touch()
        try:
            yield
        finally:
            place.unlink()
            moved.rename(place)

    def jobs(self, id: str = '') -> list[int]:
        """Processes of jobs, all or of one build or upload."""
        return kit.processes_with(str(self.directory / 'work' / id))

    def unregistered(self) -> list[str]:
        """Files in the repository that the database does not know."""
        known = {
            each.id for each in self.database.list_artifacts(status='present')
        }
        return [
            f'the file {each["id"]} of build {each["facts"]["build_id"]}'
            for each in self.artifacts()
            if each['id'] not in known
        ]

    def artifacts(self) -> list[dict[str, Any]]:
        """Descriptions of every file in the repository."""
        found = []
        place = self.directory / 'repository' / 'artifacts'
        for path in place.glob('*/artifact.json'):
            with contextlib.suppress(OSError, ValueError):
                found.append(json.loads(path.read_text()))
        return found

    def left(self) -> list[str]:
        """What must not be there when nothing is to be done."""
        return [
            *(f'workspace {name}' for name in self._workspaces()),
            *(
                f'process {pid} {" ".join(traces.command_line(pid))[:80]}'
                for pid in self.jobs()
            ),
            *self._half_files(),
            *self._open_rows(),
        ]

    def _workspaces(self) -> list[str]:
        return kit.workspaces_in(self.directory)

    def _half_files(self) -> Iterator[str]:
        for name in ('images', SECOND):
            store = self.directory / name
            if store.is_dir():
                for path in store.iterdir():
                    if not (path / 'metadata.json').exists():
                        yield f'file {path.name} in the store "{name}"'
        incoming = self.directory / 'repository' / 'incoming'
        if incoming.is_dir():
            for path in incoming.iterdir():
                yield f'file {path.name} in the repository'
        if (self.directory / 'tmp').is_dir():
            for path in (self.directory / 'tmp').iterdir():
                yield f'temporary file {path.name}'

    def _open_rows(self) -> Iterator[str]:
        """Rows that say that something is still to be done."""
        tables = sa.MetaData()
        tables.reflect(self._engine)
        with self._engine.connect() as connection:
            for table in tables.sorted_tables:
                yield from _open_in(connection, table)


def _open_in(connection: sa.Connection, table: sa.Table) -> Iterator[str]:
    for name in ('status', 'state'):
        if name not in table.columns:
            continue
        query = sa.select(table).where(table.columns[name].in_(_OPEN))
        if 'deleted_at' in table.columns and table.name == 'builds':
            query = query.where(table.columns['deleted_at'].is_(None))
        for row in connection.execute(query).mappings():
            yield f'row of {table.name} {row.get("id")}: {row[name]}'
    if (
        table.name == 'flights'
        and connection.execute(sa.select(table)).first()
    ):
        yield 'row of flights'


@contextlib.contextmanager
def running(directory: pathlib.Path, conductors: int = 3) -> Iterator[World]:
    """A service that is up."""
    (directory / 'tmp').mkdir()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(mariadb.running(directory / 'mariadb'))
        bus = stack.enter_context(rabbitmq.running(directory / 'rabbitmq'))
        made = World(directory, server, bus, conductors)
        stack.callback(made.close)
        for name in ('api', *made.conductors):
            made.start(name)
        made.until_up()
        yield made
