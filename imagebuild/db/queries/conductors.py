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
"""Conductors."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from imagebuild.db import models
from imagebuild.db import records
from imagebuild.db.models import Conductor
from imagebuild.db.queries import common


def register(
    session: orm.Session,
    values: Mapping[str, Any],
    now: datetime.datetime,
) -> records.Conductor:
    values = {
        **common.own_columns(Conductor, values),
        'drivers': list(values['drivers']),
        'operating_systems': list(values.get('operating_systems', ())),
        'status': 'up',
        'running': 0,
        'started_at': now,
        'heartbeat_at': now,
    }
    row = session.get(Conductor, values['name'], with_for_update=True)
    if row is None:
        row = Conductor(**values)
        session.add(row)
    else:
        for name, value in values.items():
            setattr(row, name, value)
    with common.retry_on_duplicate():
        session.flush()
    return _record(row)


def heartbeat(
    session: orm.Session,
    name: str,
    *,
    running: int,
    status: str | None,
    now: datetime.datetime,
) -> bool:
    values: dict[str, Any] = {'running': running, 'heartbeat_at': now}
    if status is not None:
        values['status'] = status
    beaten = session.execute(
        sa.update(Conductor)
        .where(Conductor.name == name, Conductor.status != 'down')
        .values(**values)
    )
    return bool(beaten.rowcount)  # type: ignore[attr-defined]


def unregister(session: orm.Session, name: str) -> None:
    session.execute(
        sa.update(Conductor)
        .where(Conductor.name == name)
        .values(status='down', running=0)
    )


def listed(
    session: orm.Session, since: datetime.datetime | None
) -> list[records.Conductor]:
    query = sa.select(Conductor).order_by(Conductor.name)
    if since is not None:
        query = query.where(
            Conductor.status != 'down', Conductor.heartbeat_at >= since
        )
    return [_record(row) for row in session.scalars(query)]


def dead(
    session: orm.Session, since: datetime.datetime
) -> list[records.Conductor]:
    query = (
        sa.select(Conductor)
        .where(Conductor.status != 'down', Conductor.heartbeat_at < since)
        .order_by(Conductor.name)
    )
    return [_record(row) for row in session.scalars(query)]


def _record(row: models.Conductor) -> records.Conductor:
    return common.record(
        records.Conductor,
        row,
        drivers=tuple(row.drivers),
        operating_systems=tuple(row.operating_systems),
    )
