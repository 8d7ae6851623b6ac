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
"""Conductors: who is there, and what it can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from imagebuild.common import placement
from imagebuild.db import records
from imagebuild.db.models import Conductor
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

#: Of a capability, what has a column of its own since before there was one
#: for all of it.
_OLDER_COLUMNS = ('drivers', 'operating_systems', 'isolations', 'slots')


@writer
def register_conductor(
    session: Session, values: Mapping[str, Any]
) -> records.Conductor:
    """Note that a conductor is there; replaces an earlier entry.

    :param values: its capability, as ``placement.Capability.to_dict()``, and
        the ``version`` of its release.
    """
    capability = placement.Capability.from_dict(values)
    values = {
        'name': capability.name,
        'version': values.get('version', ''),
        **_columns(capability),
        'status': 'up',
        'running': 0,
        'started_at': session.now,
        'heartbeat_at': session.now,
    }
    # Locked, and run again on a duplicate: a conductor that restarts meets the
    # last write of its former process.
    row = session.get(Conductor, values['name'], with_for_update=True)
    if row is None:
        row = Conductor(**values)
        session.add(row)
    else:
        for name, value in values.items():
            setattr(row, name, value)
    with rows.retry_on_duplicate():
        session.flush()
    return record(row)


@writer
def heartbeat(
    session: Session,
    name: str,
    *,
    running: int,
    status: str | None = None,
    capability: placement.Capability | None = None,
) -> bool:
    """Note that a conductor is alive.

    :param running: its running builds.
    :param status: ``up`` or ``draining``; None leaves it as it is.
    :param capability: what it offers now; None leaves it as it is.
    :returns: False if it is not registered, or was declared dead:
        register again.
    """
    values: dict[str, Any] = {'running': running, 'heartbeat_at': session.now}
    if status is not None:
        values['status'] = status
    if capability is not None:
        values.update(_columns(capability))
    noted = session.change(
        sa.update(Conductor)
        # One that was declared dead has lost its builds: it starts afresh.
        .where(Conductor.name == name, Conductor.status != 'down')
        .values(**values)
    )
    return bool(noted)


@writer
def unregister(session: Session, name: str) -> None:
    """Note that a conductor is ``down``, or is declared to be.

    What it held becomes an orphan (``orphans``).
    """
    session.execute(
        sa.update(Conductor)
        .where(Conductor.name == name)
        .values(status='down', running=0)
    )


@reader
def list_conductors(
    session: Session, alive_within: float | None = None
) -> list[records.Conductor]:
    """List conductors by name.

    :param alive_within: only those that are ``up`` or ``draining`` and
        sent a heartbeat within so many seconds; None for all.
    """
    query = sa.select(Conductor).order_by(Conductor.name)
    if alive_within is not None:
        query = query.where(
            Conductor.status != 'down',
            Conductor.heartbeat_at >= session.ago(alive_within),
        )
    return [record(row) for row in session.scalars(query)]


@reader
def dead_conductors(
    session: Session, seconds: float
) -> list[records.Conductor]:
    """Conductors that are not ``down`` but sent no heartbeat.

    :param seconds: for so long.
    """
    query = (
        sa.select(Conductor)
        .where(
            Conductor.status != 'down',
            Conductor.heartbeat_at < session.ago(seconds),
        )
        .order_by(Conductor.name)
    )
    return [record(row) for row in session.scalars(query)]


def _columns(capability: placement.Capability) -> dict[str, Any]:
    """What of a row says what the conductor offers.

    The release before reads the columns of its own, and no other.
    """
    whole = capability.to_dict()
    return {
        'capability': whole,
        **{name: whole[name] for name in _OLDER_COLUMNS},
        'architecture': next(iter(capability.architectures), ''),
    }


def record(row: Conductor) -> records.Conductor:
    """Copy the row of a conductor."""
    # Where the columns say something, they are right: a conductor that went
    # back to the release before writes no other.
    columns = {name: getattr(row, name) for name in _OLDER_COLUMNS}
    whole = row.capability or {}
    architectures = whole.get('architectures') or [row.architecture]
    capability = placement.Capability.from_dict(
        {
            **whole,
            **columns,
            'name': row.name,
            'architectures': architectures
            if row.architecture in architectures
            else [row.architecture],
        }
    )
    return rows.record(
        records.Conductor,
        row,
        drivers=capability.drivers,
        operating_systems=capability.operating_systems,
        isolations=row.isolations or {},
        capability=capability,
    )
