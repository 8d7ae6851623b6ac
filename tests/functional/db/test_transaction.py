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
import sqlite3

import psycopg
import pymysql
import pytest
from oslo_db import exception as oslo_exception
from sqlalchemy import exc

from imagebuild import exception
from imagebuild.db import transaction


def wrapped(kind, *arguments):
    """As SQLAlchemy raises what a driver raised."""
    return exc.OperationalError('SELECT secret', {}, kind(*arguments))


@pytest.mark.parametrize(
    'error, passing',
    [
        (oslo_exception.DBDeadlock(), True),
        (oslo_exception.DBConnectionError(), True),
        (exc.TimeoutError('The pool is empty.'), True),
        (ConnectionResetError(), True),
        (wrapped(sqlite3.OperationalError, 'database is locked'), True),
        (wrapped(sqlite3.OperationalError, 'no such table: x'), False),
        (wrapped(sqlite3.OperationalError, 'disk is full'), False),
        (wrapped(pymysql.OperationalError, 2003, "Can't connect"), True),
        (wrapped(pymysql.OperationalError, 1040, 'Too many'), True),
        (wrapped(pymysql.OperationalError, 1045, 'Access denied'), False),
        (
            wrapped(
                psycopg.OperationalError, 'the database system is starting up'
            ),
            True,
        ),
        (
            wrapped(
                psycopg.OperationalError, 'password authentication failed'
            ),
            False,
        ),
        (oslo_exception.DBDataError(), False),
        (exc.ProgrammingError('x', {}, Exception('x')), False),
        (ValueError(), False),
    ],
)
def test_what_passes(error, passing):
    assert transaction.is_passing(error) is passing


@pytest.mark.parametrize(
    'error, summary',
    [
        (wrapped(sqlite3.OperationalError, 'a\n b.'), 'a b'),
        (oslo_exception.DBDeadlock(wrapped(sqlite3.Error, 'c')), 'c'),
        (ConnectionResetError(), 'ConnectionResetError'),
    ],
)
def test_the_summary_is_without_the_statement(error, summary):
    assert transaction.error_summary(error) == summary


def test_errors_of_ours_pass(database):
    def work(session):
        raise exception.Forbidden(rule='x')

    with pytest.raises(exception.Forbidden):
        database._write(work)


def test_a_deadlock_is_retried(database):
    runs = []

    def work(session):
        runs.append(session.is_retry)
        if len(runs) < 3:
            raise oslo_exception.DBDeadlock()
        return 'done'

    assert database._write(work) == 'done'
    assert runs == [False, True, True]


@pytest.mark.parametrize(
    'error',
    [
        exc.ProgrammingError('x', {}, Exception('x')),
        oslo_exception.DBDataError(exc.DataError('x', {}, Exception('x'))),
        exc.InvalidRequestError('x'),
        sqlite3.OperationalError('x'),
    ],
)
def test_no_foreign_exception_gets_out(database, error):
    def work(session):
        raise error

    with pytest.raises(exception.DatabaseUnavailable, match='used: x') as got:
        database._write(work)
    assert got.value.__cause__ is error
