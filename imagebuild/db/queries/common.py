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
"""What the queries of several tables share."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import typing
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import TypeVar

import sqlalchemy as sa
from oslo_db import exception as oslo_exception
from sqlalchemy import orm

from imagebuild.db import models

R = TypeVar('R')


def record(kind: type[R], row: Any, **others: Any) -> R:
    """Copy a row into a record of that kind.

    :param others: values of attributes that are not columns.
    """
    values = {
        field.name: getattr(row, field.name)
        for field in dataclasses.fields(kind)  # type: ignore[arg-type]
        if field.name not in others
    }
    return kind(**values, **others)


def one_of(
    column: sa.ColumnElement[Any] | orm.InstrumentedAttribute[Any],
    wanted: Any,
) -> sa.ColumnElement[bool]:
    """The condition that a column has a value, or one of several."""
    if isinstance(wanted, Collection) and not isinstance(wanted, str):
        return column.in_(list(wanted))
    if wanted is None:
        return column.is_(None)
    return typing.cast('sa.ColumnElement[bool]', column == wanted)


def own_columns(
    model: type[models.Base], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values that are columns of a table.

    :raises ValueError: one is not.
    """
    columns = model.__table__.columns
    unknown = sorted(set(values) - set(columns.keys()))
    if unknown:
        raise ValueError(f'{model.__tablename__} has no {unknown}')
    return dict(values)


def compare_and_swap(
    session: orm.Session,
    model: type[models.Build] | type[models.Upload],
    id: str,
    values: Mapping[str, Any],
    *conditions: sa.ColumnElement[bool],
    now: datetime.datetime,
) -> bool:
    """Change a row if it fulfils the conditions.

    :returns: whether it did; True too when this very call (known by its
        time) changed it in a run whose end was lost.
    """
    statement = (
        sa.update(model)
        .where(model.id == id, *conditions)
        .values(**values, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    if session.execute(statement).rowcount:  # type: ignore[attr-defined]
        return True
    if not is_retry(session):
        return False
    row = session.get(model, id, populate_existing=True)
    return row is not None and all(
        getattr(row, name) == value
        for name, value in {**values, 'updated_at': now}.items()
    )


def is_retry(session: orm.Session) -> bool:
    """Whether the call is being run another time.

    Only then may what it finds be its own work.
    """
    return bool(session.info.get('is_retry'))


def lock_project(session: orm.Session, project_id: str) -> None:
    """Have others that lock the same project wait until the commit.

    To be taken before any row of the project is locked. SQLite has one
    writer at a time anyway.
    """
    if session.get_bind().dialect.name == 'sqlite':
        return
    select = (
        sa.select(models.ProjectLock.project_id)
        .where(models.ProjectLock.project_id == project_id)
        .with_for_update()
    )
    if session.execute(select).first() is None:
        with retry_on_duplicate():
            session.add(models.ProjectLock(project_id=project_id))
            session.flush()


@contextlib.contextmanager
def retry_on_duplicate() -> Iterator[None]:
    """Run the call again when another was first to make the same row."""
    try:
        yield
    except oslo_exception.DBDuplicateEntry as error:
        raise oslo_exception.RetryRequest(error) from error
