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
"""Engines: one way to open each kind of database.

SQLite gets what many threads and processes need: a write-ahead log, so
that readers never wait; a writer waits 30 seconds for the one before it; and
``BEGIN IMMEDIATE`` for transactions that will write, because one that began
as a reader cannot wait for its turn. MySQL, MariaDB and PostgreSQL run at
READ COMMITTED: what has to be exclusive is locked by the queries.

The PostgreSQL driver is psycopg 3: it is the one that is developed further,
SQLAlchemy 2.1 takes it by default, and its waits release the GIL and answer
to signals. The MySQL driver is PyMySQL, as in every OpenStack service.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import stat
import weakref
from typing import Any

import sqlalchemy
from oslo_db.sqlalchemy import engines
from oslo_db.sqlalchemy import exc_filters
from sqlalchemy import event
from sqlalchemy import exc
from sqlalchemy import pool

from imagebuild import exception
from imagebuild.common import release

LOG = logging.getLogger(__name__)

#: Execution option: the transaction will write.
WRITES = 'imagebuild_writes'
#: Seconds that SQLite waits for another writer.
BUSY_TIMEOUT = 30

#: Ends of the names of the files that SQLite keeps beside a database.
_SIDE_FILES = ('-wal', '-shm', '-journal')
_OF_OTHERS = 0o077

_DRIVERS = {
    'mariadb': 'mysql+pymysql',
    'mariadb+pymysql': 'mysql+pymysql',
    'mysql': 'mysql+pymysql',
    'postgresql': 'postgresql+psycopg',
    'postgres': 'postgresql+psycopg',
}
# A server that does not answer is noticed in seconds, not hours. What the
# operator writes into the URL goes before.
_PARAMETERS = {
    'mysql+pymysql': {
        'charset': 'utf8mb4',
        'connect_timeout': '5',
        'read_timeout': '60',
        'write_timeout': '60',
    },
    'postgresql+psycopg': {
        'connect_timeout': '5',
        'keepalives_idle': '30',
        'keepalives_interval': '10',
        'keepalives_count': '3',
        'tcp_user_timeout': '60000',
    },
}
# MySQL's default, REPEATABLE READ, reads from a snapshot of the first
# statement: who has waited for a lock would count rows as they were before
# the wait, and two would pass a quota of one.
_READ_COMMITTED = {
    'mysql': 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
    'postgresql': 'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION '
    'LEVEL READ COMMITTED',
}


class DatabaseExposed(exception.TablesMissing):
    """Waiting does not help: the file of the database is another user's."""

    msg_fmt = (
        'The database %(path)s holds what users asked for, others can read '
        'it, and its mode cannot be changed (%(reason)s): make it 0600, '
        'owned by the user of this service.'
    )


@dataclasses.dataclass(frozen=True)
class PoolSettings:
    """The connections that a program keeps.

    :ivar size: kept open between calls.
    :ivar overflow: opened beyond that when all are busy.
    :ivar timeout: seconds that a call waits for one of them.
    :ivar recycle: seconds after which a connection is replaced.
    :ivar mysql_sql_mode: strictness of MySQL; None for the server's.
    :ivar mysql_wsrep_sync_wait: Galera only: causality checks.
    :ivar sqlite_creates: make the file if it is not there; for migrations
        only: a path that was written wrong must not become an empty database.
    :ivar sqlite_foreign_keys: off for migrations only, which replace tables.
    """

    size: int = 10
    overflow: int = 20
    timeout: int = 30
    recycle: int = 3600
    mysql_sql_mode: str | None = 'TRADITIONAL'
    mysql_wsrep_sync_wait: int | None = None
    sqlite_creates: bool = False
    sqlite_foreign_keys: bool = True


def create(
    connection: str | sqlalchemy.URL, settings: PoolSettings
) -> sqlalchemy.Engine:
    """Make an engine; nothing is connected to yet.

    :param connection: an SQLAlchemy URL.
    :raises InvalidInput: the URL cannot be used.
    """
    url = parse(connection)
    try:
        if url.get_backend_name() == 'sqlite':
            engine = _sqlite(url, settings)
        else:
            engine = _server(url, settings)
    except ImportError as error:
        extra = url.get_backend_name()
        raise exception.InvalidInput(
            f'The database {_shown(url)} cannot be used: {error}. Install '
            f'"{release.DISTRIBUTION}[{extra}]".'
        ) from error
    except exc.ArgumentError as error:
        raise exception.InvalidInput(
            f'The database {_shown(url)} cannot be used: {error}.'
        ) from error
    _engines.add(engine)
    return engine


def parse(connection: str | sqlalchemy.URL) -> sqlalchemy.URL:
    """Read a database URL and fill in the driver and its parameters.

    :raises InvalidInput: it is not one, or not of a supported database.
    """
    try:
        url = sqlalchemy.make_url(connection)
    except (exc.ArgumentError, ValueError) as error:
        # The URL is not repeated: there may be a password in it.
        raise exception.InvalidInput(
            'The database URL ([database] connection) cannot be read; it '
            'looks like mysql+pymysql://user:password@host/imagebuild.'
        ) from error
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if url.get_backend_name() not in ('sqlite', 'mysql', 'postgresql'):
        raise exception.InvalidInput(
            f'The database {_shown(url)} is of an unknown kind; known are '
            'sqlite, mysql (MariaDB too) and postgresql.'
        )
    if url.get_backend_name() == 'sqlite' and _in_memory(url):
        raise exception.InvalidInput(
            'A SQLite database in memory cannot be shared by threads; name '
            'a file.'
        )
    missing = {
        name: value
        for name, value in _PARAMETERS.get(url.drivername, {}).items()
        if name not in url.query
    }
    return url.update_query_dict(missing)


def _in_memory(url: sqlalchemy.URL) -> bool:
    return url.database in (None, '', ':memory:') or (
        'memory' in url.query.get('mode', '')
    )


def _shown(url: sqlalchemy.URL) -> str:
    return url.set(query={}).render_as_string(hide_password=True)


def _server(url: sqlalchemy.URL, settings: PoolSettings) -> sqlalchemy.Engine:
    engine: sqlalchemy.Engine = engines.create_engine(
        url,
        mysql_sql_mode=settings.mysql_sql_mode,
        mysql_wsrep_sync_wait=settings.mysql_wsrep_sync_wait,
        connection_recycle_time=settings.recycle,
        max_pool_size=settings.size,
        max_overflow=settings.overflow,
        pool_timeout=settings.timeout,
        # Connected to by the first call, with that call's retries.
        max_retries=0,
        # For eventlet, which this service does not run under.
        thread_checkin=False,
    )
    statement = _READ_COMMITTED[engine.dialect.name]

    @event.listens_for(engine, 'connect')
    def _connected(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        # PostgreSQL would take it back with the transaction it is in.
        connection.commit()

    return engine


def _sqlite(url: sqlalchemy.URL, settings: PoolSettings) -> sqlalchemy.Engine:
    # oslo.db would close the file after every transaction, and the last one
    # to close it removes the write-ahead log: a checkpoint for each call.
    engine = sqlalchemy.create_engine(
        url,
        poolclass=pool.QueuePool,
        pool_size=settings.size,
        max_overflow=settings.overflow,
        pool_timeout=settings.timeout,
        connect_args={'timeout': BUSY_TIMEOUT, 'check_same_thread': False},
    )
    exc_filters.register_engine(engine)

    # SQLite creates whatever file it is told to open.
    @event.listens_for(engine, 'do_connect')
    def _opens(
        _dialect: object,
        _record: object,
        arguments: list[Any],
        _parameters: object,
    ) -> None:
        _ensure_file(str(arguments[0]), creates=settings.sqlite_creates)

    @event.listens_for(engine, 'connect')
    def _connected(connection: Any, _record: object) -> None:
        # BEGIN is ours, below.
        connection.isolation_level = None
        connection.execute('PRAGMA journal_mode = WAL')
        # With the log a power failure costs the last commits at most, and
        # never the file; FULL would sync the disk at each commit.
        connection.execute('PRAGMA synchronous = NORMAL')
        if settings.sqlite_foreign_keys:
            connection.execute('PRAGMA foreign_keys = ON')

    @event.listens_for(engine, 'begin')
    def _begun(connection: sqlalchemy.Connection) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql('BEGIN IMMEDIATE' if writes else 'BEGIN')

    return engine


def _ensure_file(path: str, *, creates: bool) -> None:
    """Create the file of a database, or require that it exists.

    It holds tenants' requests and logs, so nobody else reads it; SQLite gives
    the files beside it (-wal, -shm) the same mode. Files of an earlier
    release, or made by hand, are given it here.

    :raises TablesMissing: it is not there and must be.
    :raises OSError: it cannot be made.
    :raises DatabaseExposed: others can read it, and that cannot be changed.
    """
    if creates:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    elif not os.path.exists(path):
        raise exception.TablesMissing(reason=f'there is no file {path}')
    for each in (path, *(path + end for end in _SIDE_FILES)):
        _restrict_mode(each)


def _restrict_mode(path: str) -> None:
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if mode & _OF_OTHERS:
            os.chmod(path, mode & ~_OF_OTHERS)
            LOG.warning(
                'Other users could read %s; changed its mode to 0600', path
            )
    except FileNotFoundError:
        # Beside a database that nobody uses there is none.
        return
    except OSError as error:
        raise DatabaseExposed(path=path, reason=error.strerror) from error


# -- forks ------------------------------------------------------------------

_engines: weakref.WeakSet[sqlalchemy.Engine] = weakref.WeakSet()


def _forget_connections() -> None:
    # They belong to the parent, which goes on using them.
    for engine in list(_engines):
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_connections)
