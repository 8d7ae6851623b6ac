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
"""Limits of a project's own."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import orm

from imagebuild import exception
from imagebuild.db.models import Quota
from imagebuild.db.queries import common

RESOURCES = ('queued', 'running', 'stored_bytes', 'builds', 'request_bytes')


def of(session: orm.Session, project_id: str) -> dict[str, int]:
    query = sa.select(Quota.resource, Quota.hard_limit).where(
        Quota.project_id == project_id
    )
    return {row.resource: row.hard_limit for row in session.execute(query)}


def put(
    session: orm.Session,
    project_id: str,
    resource: str,
    hard_limit: int | None,
) -> None:
    if resource not in RESOURCES:
        raise exception.InvalidInput(
            f'There is no quota for {resource}; there are '
            f'{", ".join(RESOURCES)}.'
        )
    row = session.get(Quota, (project_id, resource))
    if hard_limit is None:
        if row is not None:
            session.delete(row)
        return
    if row is None:
        row = Quota(project_id=project_id, resource=resource)
        session.add(row)
    row.hard_limit = hard_limit
    with common.retry_on_duplicate():
        session.flush()
