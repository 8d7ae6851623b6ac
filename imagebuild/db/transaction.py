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
"""Transactions: begun, retried, ended, and their errors translated.

A query is a function over a :class:`Session`, decorated as :func:`reader` or
:func:`writer`. It is run in one transaction, and again from the start when
the database refused it for a passing reason: a deadlock, a lock that was not
given, a connection that broke, a server that restarts. When the connection
breaks at the commit nobody knows whether the commit happened, so queries are
made to be run twice: they know their own work by the time stamp of the call,
which is the same in each run.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any
from typing import Concatenate
from typing import ParamSpec
from typing import TypeVar

import oslo_db.api
import oslo_db.exception
import sqlalchemy
from sqlalchemy import exc
from sqlalchemy import orm

from imagebuild import exception
from imagebuild.db import engine

LOG = logging.getLogger(__name__)

P = ParamSpec('P')
T = TypeVar('T')

# MySQL: no access, no such database, column or table; SQL that is wrong.
_LASTING_CODES = {1044, 1045, 1049, 1054, 1064, 1146, 1698}
# MySQL, PostgreSQL and SQLite: no such column, no such table.
_TABLE_CODES = {1054, 1146}
_TABLE_STATES = {'42P01', '42703'}
_TABLE_MESSAGES = ('no such table', 'no such column', 'has no column named')
_LASTING_MESSAGES = (
    'authentication failed',
    'does not exist',
    'no such ',
    'unable to open database file',
    'readonly database',
    'disk is full',
    'malformed',
    'not a database',
)


@dataclasses.dataclass(frozen=True)
class Retries:
    """How long and how often a call is retried.

    :ivar seconds: no further run is begun after so long.
    :ivar first: seconds before the second run; doubled each time.
    :ivar longest: seconds between two runs at most.
    """

    seconds: float = 20
    first: float = 0.1
    longest: float = 2


def new_id() -> str:
    """An id for a row: a random UUID as text."""
    return str(uuid.uuid4())


def utcnow() -> datetime.datetime:
    """The time in naive UTC."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


class Call:
    """What all runs of one call share.

    :ivar runs: how many have begun.
    :ivar notes: what a run leaves for the next one to find.
    """

    def __init__(self, clock: Callable[[], datetime.datetime]) -> None:
        self._clock = clock
        self.runs = 0
        self.notes: dict[str, Any] = {}

    # Read by the first who asks: most queries need no time at all.
    @functools.cached_property
    def now(self) -> datetime.datetime:
        return self._clock()

    @functools.cached_property
    def row_id(self) -> str:
        """The id of the row that the call makes: a retry finds it by that."""
        return new_id()


class Session(orm.Session):
    """The session of one run of a call.

    :ivar call: what it shares with the other runs.
    :ivar is_retry: the call is being run another time. Only then may what
        it finds be its own work.
    """

    def __init__(self, bind: sqlalchemy.Engine, call: Call) -> None:
        super().__init__(bind)
        self.call = call
        self.is_retry = call.runs > 0
        call.runs += 1

    @property
    def now(self) -> datetime.datetime:
        """The time of the call, in naive UTC; the same in each run."""
        return self.call.now

    def ago(self, seconds: float) -> datetime.datetime:
        """The time so many seconds before the call."""
        return self.now - datetime.timedelta(seconds=seconds)

    def change(self, statement: sqlalchemy.Update | sqlalchemy.Delete) -> int:
        """Execute an update or delete; return how many rows it changed.

        Rows that the session holds are not brought up to date: who needs one
        reads it again.
        """
        result: Any = self.execute(
            statement, execution_options={'synchronize_session': False}
        )
        return int(result.rowcount)

    def did(self, stamp: datetime.datetime | None) -> bool:
        """Whether this very call left a time stamp, in an earlier run."""
        return self.is_retry and stamp == self.now


Work = Callable[[Session], T]


class Transactions:
    """Runs functions over sessions; what :class:`Database` is built on."""

    def __init__(
        self,
        bind: sqlalchemy.Engine,
        *,
        clock: Callable[[], datetime.datetime] | None = None,
        retries: Retries,
    ) -> None:
        self._engine = bind
        self._retries = retries
        self._clock = clock or utcnow
        # Two views of one engine and pool: the option says how to BEGIN.
        self._reading = bind
        self._writing = bind.execution_options(**{engine.WRITES: True})

    def now(self) -> datetime.datetime:
        """The time by which calls go, in naive UTC."""
        return self._clock()

    def _read(self, work: Work[T]) -> T:
        return self._run(work, self._reading, self._retries)

    def _write(self, work: Work[T]) -> T:
        return self._run(work, self._writing, self._retries)

    def _read_once(self, work: Work[T]) -> T:
        # For health checks: what is so now.
        return self._run(work, self._reading, Retries(seconds=0))

    def _run(
        self, work: Work[T], bind: sqlalchemy.Engine, retries: Retries
    ) -> T:
        deadline = time.monotonic() + retries.seconds
        call = Call(self._clock)

        def should_retry(error: BaseException) -> bool:
            return is_passing(error) and time.monotonic() < deadline

        @oslo_db.api.wrap_db_retry(  # type: ignore[untyped-decorator]
            retry_interval=retries.first,
            max_retry_interval=retries.longest,
            # The deadline ends it.
            max_retries=1_000_000,
            exception_checker=should_retry,
            # Those that met in a deadlock would meet again.
            jitter=True,
        )
        def run() -> T:
            with Session(bind, call) as session, session.begin():
                return work(session)

        try:
            result: T = run()
        except self._errors as error:
            LOG.warning('A database call failed: %s', error)
            if lacks_tables(error):
                raise exception.TablesMissing(
                    reason=error_summary(error)
                ) from error
            raise exception.DatabaseUnavailable(
                reason=error_summary(error)
            ) from error
        return result

    # oslo.db's filters translate what SQLAlchemy raises; the driver's own
    # errors get past both in the hooks that set up a connection.
    @property
    def _errors(self) -> tuple[type[BaseException], ...]:
        driver = self._engine.dialect.loaded_dbapi
        return (
            exc.SQLAlchemyError,
            oslo_db.exception.DBError,
            driver.Error,
            OSError,
        )


def reader(
    query: Callable[Concatenate[Session, P], T],
) -> Callable[Concatenate[Transactions | Session, P], T]:
    """Make a query a method of the database that reads.

    Called with a session by another query it is a part of that one's
    transaction.
    """
    return _method(query, writes=False)


def writer(
    query: Callable[Concatenate[Session, P], T],
) -> Callable[Concatenate[Transactions | Session, P], T]:
    """As :func:`reader`, for a query that writes.

    SQLite wants to know before the first statement; see ``engine``.
    """
    return _method(query, writes=True)


def _method(
    query: Callable[Concatenate[Session, P], T], *, writes: bool
) -> Callable[Concatenate[Transactions | Session, P], T]:
    @functools.wraps(query)
    def call(
        database: Transactions | Session, /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if isinstance(database, Session):
            return query(database, *args, **kwargs)
        run = database._write if writes else database._read
        return run(lambda session: query(session, *args, **kwargs))

    return call


def is_passing(error: BaseException) -> bool:
    """Whether the same call may well succeed a moment later."""
    if isinstance(
        error,
        oslo_db.exception.DBConnectionError
        | oslo_db.exception.DBDeadlock
        | exc.TimeoutError
        | OSError,
    ):
        return True
    # oslo.db has no class for the rest, such as a server that starts up: it
    # may pass unless the database's own error says otherwise.
    if not isinstance(
        error, exc.OperationalError | exc.InterfaceError
    ) and not getattr(error, 'connection_invalidated', False):
        return False
    cause = getattr(error, 'orig', None)
    code = next(iter(getattr(cause, 'args', ())), None)
    text = str(cause)
    return code not in _LASTING_CODES and not any(
        each in text for each in _LASTING_MESSAGES
    )


def lacks_tables(error: BaseException) -> bool:
    """Whether a table or column is missing: the tables are not made, or old.

    Every database has its own message for it; oslo.db knows tables only.
    """
    if isinstance(error, oslo_db.exception.DBNonExistentTable):
        return True
    inner = getattr(error, 'inner_exception', None) or error
    cause = getattr(inner, 'orig', None) or inner
    code = next(iter(getattr(cause, 'args', ())), None)
    return (
        code in _TABLE_CODES
        or getattr(cause, 'sqlstate', None) in _TABLE_STATES
        or any(each in str(cause) for each in _TABLE_MESSAGES)
    )


def error_summary(error: BaseException) -> str:
    """Summarize an error without the statement and its values."""
    inner = getattr(error, 'inner_exception', None) or error
    cause = getattr(inner, 'orig', None) or inner
    text = ' '.join(str(cause).split())[:300].rstrip('. ')
    return text or type(error).__name__
