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
import contextlib
import errno
import os
import pathlib
import threading
import time

import pytest
import sqlalchemy as sa

from imagebuild import db
from imagebuild import exception
from imagebuild.db import engine
from imagebuild.db import migration
from imagebuild.db import transaction
from tests.contract.database import values


@pytest.mark.parametrize(
    'given, found',
    [
        ('mysql://u:p@h/d', 'mysql+pymysql'),
        ('mariadb://u:p@h/d', 'mysql+pymysql'),
        ('mariadb+pymysql://u:p@h/d', 'mysql+pymysql'),
        ('mysql+mysqldb://u:p@h/d', 'mysql+mysqldb'),
        ('postgresql://u:p@h/d', 'postgresql+psycopg'),
        ('postgresql+psycopg://u:p@h/d', 'postgresql+psycopg'),
        ('sqlite:////a/b', 'sqlite'),
    ],
)
def test_drivers(given, found):
    assert engine.parse(given).drivername == found


def test_parameters_of_the_operator_go_before():
    url = engine.parse('mysql+pymysql://u:p@h/d?connect_timeout=99')
    assert url.query['connect_timeout'] == '99'
    assert url.query['charset'] == 'utf8mb4'


@pytest.mark.parametrize(
    'url, message',
    [
        ('', 'cannot be read'),
        ('nonsense secret', 'cannot be read'),
        ('oracle://u:secret@h/d', 'unknown kind'),
        ('sqlite://', 'in memory'),
        ('sqlite:///:memory:', 'in memory'),
        ('sqlite:///file:x?mode=memory&uri=true', 'in memory'),
        ('mysql+nonsense://u:secret@h/d', 'cannot be used'),
    ],
)
def test_urls_that_cannot_be_used(url, message):
    with pytest.raises(exception.InvalidInput, match=message) as caught:
        db.Database(url)
    assert 'secret' not in str(caught.value)


@pytest.mark.parametrize('kind', ['mysql+pymysql', 'postgresql+psycopg'])
def test_engines_of_servers_connect_to_nothing_yet(kind):
    db.Database(f'{kind}://u:p@127.0.0.1:1/d').close()


def test_sqlite_is_set_up(url, database):
    def ask(session):
        return {
            name: session.scalar(sa.text(f'PRAGMA {name}'))
            for name in ('journal_mode', 'foreign_keys', 'busy_timeout')
        }

    assert database._read(ask) == {
        'journal_mode': 'wal',
        'foreign_keys': 1,
        'busy_timeout': engine.BUSY_TIMEOUT * 1000,
    }


def test_readers_do_not_wait_for_a_writer(database):
    writing, done = threading.Event(), threading.Event()

    def hold(session):
        writing.set()
        assert done.wait(60)

    writer = threading.Thread(target=database._write, args=(hold,))
    writer.start()
    assert writing.wait(60)
    assert database.list_builds() == []
    # It is still writing.
    assert writer.is_alive()
    done.set()
    writer.join()


def test_a_lock_that_is_never_given(url, monkeypatch):
    monkeypatch.setattr(engine, 'BUSY_TIMEOUT', 0.2)
    holder = sa.create_engine(url)
    database = db.Database(url, retries=transaction.Retries(seconds=0.5))
    with holder.connect() as connection:
        connection.exec_driver_sql('BEGIN IMMEDIATE')
        begin = time.monotonic()
        with pytest.raises(exception.DatabaseUnavailable, match='locked'):
            database.create_build(values())
        assert 0.4 < time.monotonic() - begin < 18
        connection.rollback()
    database.create_build(values())
    database.close()
    holder.dispose()


def test_a_forked_process_has_its_own_connections(database):
    build = database.create_build(values())
    child = os.fork()
    if child == 0:
        try:
            done = database.claim('child', job=build.id) is not None
        finally:
            os._exit(0 if done else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert database.get_build(build.id).conductor == 'child'


def test_a_directory_that_is_not_there(tmp_path):
    database = db.Database(f'sqlite:///{tmp_path}/no/such.sqlite')
    begin = time.monotonic()
    with pytest.raises(exception.TablesMissing, match='there is no file'):
        database.list_builds()
    assert time.monotonic() - begin < 18, 'it is not tried again'
    with pytest.raises(exception.DatabaseUnavailable, match='No such file'):
        migration.upgrade(f'sqlite:///{tmp_path}/no/such.sqlite')


def test_a_path_written_wrong_makes_no_database(tmp_path):
    database = db.Database(f'sqlite:///{tmp_path}/new.sqlite')
    for call in (database.list_builds, database.ping, database.check_tables):
        with pytest.raises(exception.TablesMissing, match='db sync'):
            call()
    assert migration.version(f'sqlite:///{tmp_path}/new.sqlite') is None
    assert list(tmp_path.iterdir()) == []


def test_nobody_else_reads_the_files(blank_url):
    migration.upgrade(blank_url)
    database = db.Database(blank_url)
    database.ping()
    path = pathlib.Path(sa.make_url(blank_url).database)
    files = sorted(path.parent.glob(f'{path.name}*'))
    assert [each.name.removeprefix(path.name) for each in files] == [
        '',
        '-shm',
        '-wal',
    ]
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}


def _modes(path):
    files = sorted(path.parent.glob(f'{path.name}*'))
    return [each.stat().st_mode & 0o777 for each in files]


def test_files_that_others_could_read_are_closed_to_them(blank_url):
    migration.upgrade(blank_url)
    path = pathlib.Path(sa.make_url(blank_url).database)
    with contextlib.closing(db.Database(blank_url)) as before:
        before.ping()
        for end in ('', '-wal', '-shm'):
            pathlib.Path(f'{path}{end}').chmod(0o664)
        with contextlib.closing(db.Database(blank_url)) as database:
            database.ping()
            assert _modes(path) == [0o600] * 3
    path.chmod(0o644)
    assert migration.version(blank_url) == migration.head()
    assert _modes(path) == [0o600]


def test_a_file_that_cannot_be_closed_to_others(blank_url, monkeypatch):
    migration.upgrade(blank_url)
    path = pathlib.Path(sa.make_url(blank_url).database)
    path.chmod(0o644)

    def refuse(*_):
        raise PermissionError(errno.EPERM, 'Operation not permitted')

    monkeypatch.setattr(os, 'chmod', refuse)
    with contextlib.closing(db.Database(blank_url)) as database:
        for call in (database.ping, lambda: migration.version(blank_url)):
            with pytest.raises(engine.DatabaseExposed, match='0600, owned by'):
                call()


def test_tables_of_an_older_and_a_newer_release(url, database):
    database.check_tables()

    def stamp(revision):
        database._write(
            lambda session: session.execute(
                sa.text(f"UPDATE alembic_version SET version_num='{revision}'")
            )
        )

    stamp('9999')
    database.check_tables()
    stamp('0001')
    if migration.head() != '0001':
        with pytest.raises(exception.TablesMissing, match='0001'):
            database.check_tables()


@pytest.mark.parametrize('what', ['TABLE builds', 'TABLE alembic_version'])
def test_tables_that_are_gone(database, what):
    database._write(lambda session: session.execute(sa.text(f'DROP {what}')))
    call = database.list_builds
    if 'alembic' in what:
        call = database.check_tables
    with pytest.raises(exception.TablesMissing, match='db sync'):
        call()


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / 'x.sqlite'
    path.write_text('no database at all' * 100)
    database = db.Database(f'sqlite:///{path}')
    with pytest.raises(exception.DatabaseUnavailable, match='not a database'):
        database.ping()


def test_no_tables(tmp_path):
    (tmp_path / 'x.sqlite').touch()
    database = db.Database(f'sqlite:///{tmp_path}/x.sqlite')
    with pytest.raises(exception.DatabaseUnavailable, match='no such table'):
        database.list_builds()
    database.close()
