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
"""Events of a build."""

from __future__ import annotations

import datetime

import sqlalchemy as sa
from sqlalchemy import orm

from imagebuild.db import models
from imagebuild.db import records
from imagebuild.db import types
from imagebuild.db.models import Event
from imagebuild.db.queries import builds
from imagebuild.db.queries import common


def add(
    session: orm.Session,
    build_id: str,
    kind: str,
    message: str,
    now: datetime.datetime,
) -> None:
    builds.live_row(session, build_id)
    if common.is_retry(session) and any(
        (event.at, event.message) == (now, types.clean(message))
        for event in listed(session, build_id)
    ):
        # By this very call, in a run whose end was lost.
        return
    session.add(Event(build_id=build_id, at=now, kind=kind, message=message))


def add_status(
    session: orm.Session,
    build: models.Build,
    message: str,
    now: datetime.datetime,
) -> None:
    """Note a change of status, made in the same transaction."""
    kind = 'fault' if build.status == 'error' else 'status'
    session.add(Event(build_id=build.id, at=now, kind=kind, message=message))


def listed(session: orm.Session, build_id: str) -> list[records.Event]:
    query = (
        sa.select(Event).where(Event.build_id == build_id).order_by(Event.id)
    )
    return [
        common.record(records.Event, row) for row in session.scalars(query)
    ]
