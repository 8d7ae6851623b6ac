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
"""The version of the tables, and bringing them to a newer one.

Tables only ever go forward: a new release's migrations keep what the
release before needs, so conductors and API servers can be upgraded one by
one, and going back is restoring a backup.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import alembic.command
import alembic.config
import alembic.util
import oslo_db.exception
import sqlalchemy as sa
from alembic import script
from alembic.runtime.migration import MigrationContext
from sqlalchemy import exc

from imagebuild import exception
from imagebuild.db import engine
from imagebuild.db import transaction

_DIRECTORY = pathlib.Path(__file__).parent / 'migrations'
# Seconds that a second program waits for the first one's migration.
_LOCK_TIMEOUT = 600
# Seconds that one statement of a migration may take on MySQL.
_READ_TIMEOUT = 24 * 3600
# Any number; nobody else of this database's users takes it.
_POSTGRESQL_LOCK = 7_306_351_811
_MYSQL_LOCK = 'imagebuild-db-sync'


def upgrade(connection: str, revision: str = 'head') -> None:
    """Bring the tables to a version; makes them if there are none.

    May be called by several programs at once: the others wait for the first
    and find nothing left to do.

    :param connection: an SQLAlchemy URL.
    :param revision: an alembic revision.
    :raises InvalidInput: the URL cannot be used, or there is no such
        revision.
    :raises DatabaseUnavailable: the database does not answer or refuses.
    """
    with _connected(connection, writes=True) as database:
        config = _config()
        config.attributes['connection'] = database
        try:
            alembic.command.upgrade(config, revision)
        except alembic.util.CommandError as error:
            raise exception.InvalidInput(
                f'The tables cannot be upgraded: {error}.'
            ) from error


def version(connection: str) -> str | None:
    """The version of the tables in the database, None without tables.

    :raises InvalidInput: the URL cannot be used.
    :raises DatabaseUnavailable: the database does not answer.
    """
    try:
        with _connected(connection) as database:
            return revision(database)
    except engine.DatabaseExposed:
        raise
    except exception.TablesMissing:
        # Not even the file of a SQLite database.
        return None


def revision(database: sa.Connection) -> str | None:
    """The version of the tables, None without tables."""
    return MigrationContext.configure(database).get_current_revision()


def head() -> str:
    """The version that this release of the code needs."""
    found = script.ScriptDirectory.from_config(_config()).get_current_head()
    if found is None:
        raise exception.MissingDependency(
            what='imagebuild/db/migrations', remedy='reinstall the package'
        )
    return found


def missing(found: str | None) -> str:
    """What the tables lack for this release, '' when they will do.

    Tables of a newer release will do: they keep what this one needs, and
    have a version that this one does not know.

    :param found: their version, None without tables.
    """
    if found is None:
        return 'there are none'
    needed = head()
    scripts = script.ScriptDirectory.from_config(_config())
    known = {each.revision for each in scripts.walk_revisions()}
    if found == needed or found not in known:
        return ''
    return f'they are at version {found}, and {needed} is needed'


def _config() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option(
        'script_location', str(_DIRECTORY).replace('%', '%%')
    )
    # Alembic warns of its older default otherwise.
    config.set_main_option('path_separator', 'os')
    return config


@contextlib.contextmanager
def _connected(
    connection: str, *, writes: bool = False
) -> Iterator[sa.Connection]:
    # SQLite changes a table by making another and dropping the first, which
    # foreign keys to it would forbid.
    settings = engine.PoolSettings(
        size=1, sqlite_foreign_keys=False, sqlite_creates=writes
    )
    url = engine.parse(connection)
    if 'read_timeout' in url.query:
        # Changing a large table, or waiting for another who does, is not
        # the silence of a dead server.
        url = url.update_query_dict({'read_timeout': str(_READ_TIMEOUT)})
    bind = engine.create(url, settings)
    try:
        options = {engine.WRITES: writes}
        with (
            bind.execution_options(**options).connect() as database,
            database.begin(),
        ):
            if writes:
                _lock(database)
            yield database
    except (
        exc.SQLAlchemyError,
        oslo_db.exception.DBError,
        OSError,
        bind.dialect.loaded_dbapi.Error,
    ) as error:
        raise exception.DatabaseUnavailable(
            reason=transaction.error_summary(error)
        ) from error
    finally:
        bind.dispose()


def _lock(database: sa.Connection) -> None:
    """Keep others from migrating; SQLite has one writer anyway."""
    if database.dialect.name == 'postgresql':
        lock = sa.func.pg_advisory_xact_lock(_POSTGRESQL_LOCK)
        database.execute(sa.select(lock))
    elif database.dialect.name == 'mysql':
        # Given back when the connection is closed.
        lock = sa.func.get_lock(_MYSQL_LOCK, _LOCK_TIMEOUT)
        if database.scalar(sa.select(lock)) != 1:
            raise exception.DatabaseUnavailable(
                reason='another program has been migrating it for '
                f'{_LOCK_TIMEOUT} seconds'
            )
