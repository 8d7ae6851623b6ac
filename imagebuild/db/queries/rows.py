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
"""Rows: what the queries of several tables share."""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Set
from typing import Any
from typing import TypeVar

import oslo_db.exception
import sqlalchemy as sa
from sqlalchemy import orm

from imagebuild import exception
from imagebuild.common import statuses
from imagebuild.db import models
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Upload
from imagebuild.db.transaction import Session

R = TypeVar('R')

#: The condition that a build is not deleted.
LIVE = Build.deleted_at.is_(None)


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
    column: sa.ColumnElement[Any] | orm.InstrumentedAttribute[Any], wanted: Any
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


def check_changeable(
    model: type[models.Base], values: Mapping[str, Any], fixed: Set[str]
) -> None:
    """See that no fixed column of a table is to be changed.

    :raises ValueError: one is.
    """
    refused = sorted(fixed & values.keys())
    if refused:
        raise ValueError(
            f'an update of {model.__tablename__} does not change {refused}'
        )


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a row must still be for an update to happen; None: anything."""

    conductor: str | None = None
    attempt: int | None = None
    status: str | Collection[str] | None = None

    def conditions(
        self, model: type[Build] | type[Upload]
    ) -> list[sa.ColumnElement[bool]]:
        found: list[sa.ColumnElement[bool]] = []
        if self.conductor is not None:
            found.append(model.conductor == self.conductor)
        if self.attempt is not None:
            found.append(model.attempt == self.attempt)
        if self.status is not None:
            found.append(one_of(model.status, self.status))
        return found


def update(
    session: Session,
    model: type[Build] | type[Upload],
    id: str,
    values: Mapping[str, Any],
    *conditions: sa.ColumnElement[bool],
) -> bool:
    """Change a row if it fulfils the conditions.

    :returns: whether it did; True too when this very call (known by its
        time) changed it in a run whose end was lost.
    :raises ValueError: there is no such column.
    """
    values = {**own_columns(model, values), 'updated_at': session.now}
    statement = (
        sa.update(model).where(model.id == id, *conditions).values(**values)
    )
    if session.change(statement):
        return True
    if not session.is_retry:
        return False
    # Nothing matched: another was first, or the first run of this call was.
    row = session.get(model, id, populate_existing=True)
    return row is not None and all(
        getattr(row, name) == value for name, value in values.items()
    )


def lock_project(session: Session, project_id: str) -> None:
    """Have others that lock the same project wait until the commit.

    To be taken before any row of the project is locked: all take their locks
    in the same order then, and no two wait for each other. SQLite has one
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
    except oslo_db.exception.DBDuplicateEntry as error:
        raise oslo_db.exception.RetryRequest(error) from error


# -- builds -----------------------------------------------------------------


def build(session: Session, id: str, *, lock: bool = False) -> Build | None:
    """The row of a build, deleted ones too, as it is now."""
    # populate_existing: not as the session read it before it had the lock.
    return session.get(
        Build, id, populate_existing=True, with_for_update=lock or None
    )


def live_build(session: Session, id: str) -> Build:
    """The row of a build that is not deleted.

    :raises NotFound: there is none.
    """
    found = build(session, id)
    if found is None or found.deleted_at is not None:
        raise exception.NotFound(what='build', id=id)
    return found


def locked_build(session: Session, id: str) -> Build:
    """The row of a build, deleted ones too, locked with its project.

    :raises NotFound: there never was one.
    """
    found = build(session, id)
    if found is None:
        raise exception.NotFound(what='build', id=id)
    lock_project(session, found.project_id)
    # Read again: until here it was not ours, and may have been purged.
    locked = build(session, id, lock=True)
    if locked is None:
        raise exception.NotFound(what='build', id=id)
    return locked


def build_record(session: Session, row: Build) -> records.Build:
    """As :func:`build_records`, of one row."""
    [copy] = build_records(session, [row])
    return copy


def build_records(
    session: Session, found: Iterable[Build]
) -> list[records.Build]:
    """Copy rows, each with its images, in one more query."""
    # Column defaults and new images are there after the flush only.
    session.flush()
    found = list(found)
    # The rows of images name the build that made them, not those that reuse
    # them. Queued and failed builds have none, so nothing is asked for them.
    makers = {
        row.id: row.reused_from or row.id
        for row in found
        if row.image_row_id or row.status in statuses.RUNNING
    }
    images: dict[str, list[records.Image]] = {}
    if makers:
        query = (
            sa.select(models.Image)
            .where(models.Image.build_id.in_(sorted(set(makers.values()))))
            .order_by(models.Image.destination, models.Image.created_at)
        )
        for image in session.scalars(query):
            images.setdefault(image.build_id, []).append(
                record(records.Image, image)
            )
    return [
        record(
            records.Build,
            row,
            images=tuple(images.get(makers.get(row.id, ''), ())),
        )
        for row in found
    ]
