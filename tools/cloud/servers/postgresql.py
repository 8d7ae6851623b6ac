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
"""PostgreSQL."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

from tools.cloud import errors
from tools.cloud.servers import base
from tools.cloud.servers import process

_USER = 'imagebuild'
_VERSIONS = pathlib.Path('/usr/lib/postgresql')


class PostgreSQL(base.Server):
    """One database server; 2 s to make and start."""

    name = 'postgresql'

    def url(self, database: str, *, driver: str = 'psycopg') -> str:
        """SQLAlchemy's address of a database, which is made when missing."""
        self.create(database)
        password = self.state.secret(self.name)
        return (
            f'postgresql+{driver}://{_USER}:{password}'
            f'@{self.host}:{self.port}/{database}'
        )

    def create(self, database: str) -> None:
        """Make a database; nothing when it is there."""
        _check(database)
        there = self.query(
            f"SELECT 1 FROM pg_database WHERE datname = '{database}'"  # noqa: S608
        )
        if not there:
            self.query(f'CREATE DATABASE "{database}"')

    def drop(self, database: str) -> None:
        """Remove a database and what is in it."""
        _check(database)
        self.query(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def query(self, sql: str, *, database: str = 'postgres') -> str:
        """The answer to an SQL statement: lines of columns."""
        done = subprocess.run(
            [
                str(_program('psql')),
                '--no-psqlrc',
                '--no-align',
                '--tuples-only',
                '--quiet',
                f'--host={self.host}',
                f'--port={self.port}',
                f'--username={_USER}',
                f'--dbname={database}',
                f'--command={sql}',
            ],
            env={**os.environ, 'PGPASSWORD': self.state.secret(self.name)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise errors.CloudError(
                f'PostgreSQL refused: {done.stderr.strip()}', self.log
            )
        return done.stdout.strip()

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.state.done(self.name):
            return
        data = self.directory / 'data'
        # Half of an earlier try cannot be continued.
        shutil.rmtree(data, ignore_errors=True)
        password = self.directory / 'password'
        password.touch(mode=0o600)
        password.write_text(self.state.secret(self.name))
        self.processes.run(
            'initdb',
            [
                *_not_as_root(),
                str(_program('initdb')),
                f'--pgdata={data}',
                f'--username={_USER}',
                f'--pwfile={password}',
                '--auth=scram-sha-256',
                '--encoding=UTF8',
                '--locale=C.UTF-8',
                '--no-sync',
            ],
        )
        password.unlink()
        self.state.mark_done(self.name)

    def program(self) -> process.Program:
        settings = {
            'listen_addresses': self.host,
            'port': self.port,
            # The path of a socket must be short; nobody needs one.
            'unix_socket_directories': '',
            'max_connections': 300,
            'shared_buffers': '64MB',
            # What was committed outlives the server, not the machine.
            'fsync': 'off',
        }
        options = [f'-c{name}={value}' for name, value in settings.items()]
        data = self.directory / 'data'
        server = str(_program('postgres'))
        return process.Program(
            name=self.name,
            argv=[*_not_as_root(), server, '-D', str(data), *options],
            ready=lambda: bool(self.query('SELECT 1')),
            # Does not wait for clients to leave, as it does after SIGTERM.
            stop_signal=signal.SIGINT,
        )

    def kill(self) -> None:
        super().kill()
        # It would not start over what it takes for a server that runs.
        (self.directory / 'data/postmaster.pid').unlink(missing_ok=True)


def _not_as_root() -> list[str]:
    """PostgreSQL refuses to run as root.

    In a user namespace it is somebody else and still the owner of its files,
    wherever they are. A system user would need a way into root's directories.
    """
    if os.geteuid():
        return []
    return ['unshare', '--user', '--map-user=1000', '--map-group=1000', '--']


def _program(name: str) -> pathlib.Path:
    """The newest that is installed; Debian keeps them off PATH."""
    found = sorted(
        _VERSIONS.glob(f'*/bin/{name}'), key=lambda p: int(p.parts[-3])
    )
    if found:
        return found[-1]
    on_path = shutil.which(name)
    if on_path is None:
        raise errors.CloudError('postgresql is not installed.')
    return pathlib.Path(on_path)


def _check(database: str) -> None:
    if not re.fullmatch(r'\w+', database):
        raise ValueError(f'not the name of a database: {database!r}')


running = PostgreSQL.running
