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
"""Pages of lists: rows in an order, so many and so large at most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext import compiler
from sqlalchemy.sql import functions

from imagebuild.db import models
from imagebuild.db import types
from imagebuild.db.transaction import Session

M = TypeVar('M', bound=models.Base)


class _Octets(functions.FunctionElement[int]):
    """The bytes of a text; ``length`` counts characters in most databases."""

    inherit_cache = True
    type = sa.Integer()


@compiler.compiles(_Octets)
def _octets(element: Any, compiled: Any, **options: Any) -> str:
    return f'octet_length({compiled.process(element.clauses, **options)})'


# Its own octet_length came with version 3.43.
@compiler.compiles(_Octets, 'sqlite')
def _octets_of_sqlite(element: Any, compiled: Any, **options: Any) -> str:
    text = compiled.process(element.clauses, **options)
    return f'length(CAST({text} AS BLOB))'


def sizes(model: type[M]) -> sa.Select[Any]:
    """What :func:`within` takes, to be given conditions and an order.

    :param model: a table with a key ``id``.
    """
    columns = model.__table__.columns
    large = [
        sa.func.coalesce(_Octets(column), 0)
        for column in columns
        if isinstance(column.type, types.LongText | types.Json)
    ]
    return sa.select(columns['id'], sum(large, start=sa.literal(0)))


def by_time(
    query: sa.Select[Any],
    model: Any,
    filters: Mapping[str, str | None],
    last: Any = None,
    *,
    newest_first: bool = False,
) -> sa.Select[Any]:
    """Add the conditions and the order of a list by time.

    :param model: a table with ``created_at`` and ``id``.
    :param filters: column -> value; None for any.
    :param last: the last item of the page before, if there was one. Compared
        by its values, not by OFFSET: items that are added or removed between
        two pages make nobody miss one.
    """
    for name, wanted in filters.items():
        if wanted is not None:
            query = query.where(getattr(model, name) == wanted)
    time, id = model.created_at, model.id
    if last is not None:
        same = time == last.created_at
        query = query.where(
            sa.or_(time < last.created_at, sa.and_(same, id < last.id))
            if newest_first
            else sa.or_(time > last.created_at, sa.and_(same, id > last.id))
        )
    if newest_first:
        return query.order_by(time.desc(), id.desc())
    return query.order_by(time, id)


def within(
    session: Session,
    model: type[M],
    query: sa.Select[Any],
    *,
    limit: int,
    max_bytes: int,
) -> tuple[list[M], bool]:
    """Read the rows of a page.

    First how large they are, and only then themselves: who asks for a thousand
    must not make the service read a thousand of the largest size.

    :param query: of :func:`sizes`.
    :param limit: at most so many.
    :param max_bytes: of what may be large in a row; the page ends before the
        row that goes beyond it, but holds at least one.
    :returns: the rows in the order of the query, and whether there are more.
    """
    ids: list[Any] = []
    left = max_bytes
    found = session.execute(query.limit(limit + 1)).all()
    for id, size in found[:limit]:
        left -= size
        if ids and left < 0:
            break
        ids.append(id)
    key: Any = model.__mapper__.primary_key[0]
    by_id = {
        getattr(row, key.name): row
        for row in session.scalars(
            sa.select(model)
            .where(key.in_(ids))
            .execution_options(populate_existing=True)
        )
    }
    # One may have been removed since.
    kept = [by_id[id] for id in ids if id in by_id]
    return kept, len(ids) < len(found)
