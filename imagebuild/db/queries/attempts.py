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
"""Which attempts at builds have ended, however they did."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Job
from imagebuild.db.queries import jobs
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader

#: Values in one statement.
_BATCH = 500


@reader
def judge_attempts(
    session: Session, found: Collection[tuple[str, int]]
) -> records.AttemptStates:
    """Say of attempts whether they are still being made.

    One is until its build job has ended, and until what it has made is
    uploaded, or adopted.

    :param found: build id and number of each.
    """
    ended: set[tuple[str, int]] = set()
    unknown: set[tuple[str, int]] = set()
    ids = sorted({build_id for build_id, _ in found})
    for start in range(0, len(ids), _BATCH):
        batch = ids[start : start + _BATCH]
        current = _current(session, batch)
        working = _working(session, batch)
        for build_id, attempt in found:
            if build_id not in batch:
                continue
            if build_id not in current:
                unknown.add((build_id, attempt))
            elif build_id not in working or current[build_id] != attempt:
                ended.add((build_id, attempt))
    return records.AttemptStates(frozenset(ended), frozenset(unknown))


def _current(session: Session, ids: Collection[str]) -> dict[str, int]:
    """The number of the last attempt at each build that there is."""
    query = sa.select(Build.id, Build.attempt).where(Build.id.in_(ids))
    return {row.id: row.attempt for row in session.execute(query)}


def _working(session: Session, ids: Collection[str]) -> set[str]:
    """The builds whose last attempt is still being made."""
    query = sa.select(Job.build_id).where(
        Job.build_id.in_(ids),
        sa.or_(
            sa.and_(Job.kind == 'build', Job.state == 'running'),
            sa.and_(Job.kind == 'upload', Job.state.not_in(jobs.ENDED)),
        ),
    )
    return {id for id in session.scalars(query) if id}
