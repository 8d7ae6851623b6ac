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
"""Steps of a build."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from imagebuild.db import records
from imagebuild.db.models import Step
from imagebuild.db.queries import builds
from imagebuild.db.queries import common


def add(
    session: orm.Session,
    build_id: str,
    values: Mapping[str, Any],
    now: datetime.datetime,
) -> None:
    builds.live_row(session, build_id)
    if common.is_retry(session) and any(
        (step.number, step.created_at) == (values.get('number'), now)
        for step in listed(session, build_id, values.get('attempt'))
    ):
        # By this very call, in a run whose end was lost.
        return
    session.add(
        Step(
            **common.own_columns(Step, values),
            build_id=build_id,
            created_at=now,
        )
    )


def listed(
    session: orm.Session, build_id: str, attempt: int | None
) -> list[records.Step]:
    query = sa.select(Step).where(Step.build_id == build_id).order_by(Step.id)
    if attempt is not None:
        query = query.where(Step.attempt == attempt)
    return [common.record(records.Step, row) for row in session.scalars(query)]
