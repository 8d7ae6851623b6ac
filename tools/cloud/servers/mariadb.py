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
"""MariaDB."""

import os
import pathlib
import re
import shutil
import subprocess
from typing import IO

from tools.cloud import errors
from tools.cloud.servers import base
from tools.cloud.servers import process

_USER = 'imagebuild'

#: Made at every start, so that nothing has to be asked before it listens.
_INIT = """\
CREATE USER IF NOT EXISTS {user}@'%' IDENTIFIED BY '{password}';
GRANT ALL ON *.* TO {user}@'%';
"""


class MariaDB(base.Server):
    """One database server; 3 s to make and start."""

    name = 'mariadb'

    def url(self, database: str, *, options: str = 'charset=utf8mb4') -> str:
        """SQLAlchemy's address of a database, which is made when missing."""
        self.create(database)
        password = self.state.secret(self.name)
        return (
            f'mysql+pymysql://{_USER}:{password}@{self.host}:{self.port}'
            f'/{database}?{options}'
        )

    def create(self, database: str, *, charset: str = 'utf8mb4') -> None:
        """Make a database; nothing when it is there."""
        _check(database)
        self.query(
            f'CREATE DATABASE IF NOT EXISTS `{database}` '
            f'CHARACTER SET {charset}'
        )

    def drop(self, database: str) -> None:
        """Remove a database and what is in it."""
        _check(database)
        self.query(f'DROP DATABASE IF EXISTS `{database}`')

    def query(self, sql: str, *, database: str = '') -> str:
        """The answer to an SQL statement: lines of tabbed columns."""
        return self._run(
            'mariadb',
            *('--batch', '--skip-column-names', f'--execute={sql}'),
            *([database] if database else []),
        )

    def is_empty(self, database: str) -> bool:
        """Whether a database has no tables."""
        _check(database)
        return not self.query('SHOW TABLES', database=database)

    def dump(self, database: str, file: pathlib.Path) -> None:
        """Write what is in a database to a file."""
        _check(database)
        self._run(
            'mariadb-dump',
            *('--single-transaction', f'--result-file={file}', database),
        )

    def load(self, database: str, file: pathlib.Path) -> None:
        """Read what dump() has written; the database is there."""
        _check(database)
        with file.open('rb') as stream:
            self._run('mariadb', database, stdin=stream)

    def _run(
        self, program: str, *arguments: str, stdin: IO[bytes] | None = None
    ) -> str:
        done = subprocess.run(
            [
                program,
                '--no-defaults',
                '--protocol=tcp',
                f'--host={self.host}',
                f'--port={self.port}',
                f'--user={_USER}',
                *arguments,
            ],
            env={**os.environ, 'MYSQL_PWD': self.state.secret(self.name)},
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise errors.CloudError(
                f'MariaDB refused: {done.stderr.strip()}', self.log
            )
        return done.stdout

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        init = self.directory / 'init.sql'
        init.touch(mode=0o600)
        init.write_text(
            _INIT.format(user=_USER, password=self.state.secret(self.name))
        )
        if self.state.done(self.name):
            return
        if shutil.which('mariadb-install-db') is None:
            raise errors.CloudError('mariadb-server is not installed.')
        # Half of an earlier try cannot be continued.
        shutil.rmtree(self.directory / 'data', ignore_errors=True)
        self.processes.run(
            'mariadb-install-db',
            [
                'mariadb-install-db',
                '--no-defaults',
                f'--datadir={self.directory / "data"}',
                '--auth-root-authentication-method=normal',
                '--skip-test-db',
                '--innodb-flush-method=nosync',
                '--innodb-log-file-size=32M',
                *_as_root(),
            ],
        )
        self.state.mark_done(self.name)

    def program(self) -> process.Program:
        server = shutil.which('mariadbd', path=f'{os.defpath}:/usr/sbin')
        if server is None:
            raise errors.CloudError('mariadb-server is not installed.')
        return process.Program(
            name=self.name,
            argv=[
                server,
                '--no-defaults',
                f'--datadir={self.directory / "data"}',
                f'--init-file={self.directory / "init.sql"}',
                # Relative to its data: the path of a socket must be short.
                '--socket=mariadb.sock',
                '--pid-file=mariadb.pid',
                f'--bind-address={self.host}',
                f'--port={self.port}',
                '--skip-name-resolve',
                '--character-set-server=utf8mb4',
                '--max-connections=500',
                '--innodb-buffer-pool-size=128M',
                '--innodb-log-file-size=32M',
                # What was committed outlives the server, not the machine.
                '--innodb-flush-log-at-trx-commit=2',
                '--innodb-flush-method=nosync',
                *_as_root(),
            ],
            ready=lambda: bool(self.query('SELECT 1')),
            files=[self.directory / 'init.sql'],
        )


def _as_root() -> list[str]:
    return ['--user=root'] if os.geteuid() == 0 else []


def _check(database: str) -> None:
    if not re.fullmatch(r'\w+', database):
        raise ValueError(f'not the name of a database: {database!r}')


running = MariaDB.running
