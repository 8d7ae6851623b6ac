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
"""Who works on a row: pipelines and channels are held by a conductor.

That keeps others away and is no fence, as a conductor may be slow: whoever
holds a row looks at it again before it is changed.
"""

from __future__ import annotations

import datetime
from typing import TypeVar

import sqlalchemy as sa

from imagebuild.db.channel_models import Channel
from imagebuild.db.models import Pipeline
from imagebuild.db.transaction import Session

T = TypeVar('T', Pipeline, Channel)


def free(
    session: Session, model: type[T], conductor: str
) -> sa.ColumnElement[bool]:
    """The condition that a conductor may work on a row now.

    What it holds itself is left of a process that was killed.
    """
    return sa.or_(
        model.held_until.is_(None),
        model.held_until < session.now,
        model.conductor == conductor,
    )


def take(
    session: Session, model: type[T], id: str, conductor: str, seconds: float
) -> T | None:
    """Keep other conductors from working on a row.

    :param seconds: for so long at most.
    :returns: the row; None when another one holds it, or it is gone.
    """
    until = session.now + datetime.timedelta(seconds=seconds)
    session.change(
        sa.update(model)
        .where(model.id == id, free(session, model, conductor))
        .values(conductor=conductor, held_until=until)
    )
    row = session.get(model, id, populate_existing=True)
    if row is None or (row.conductor, row.held_until) != (conductor, until):
        return None
    return row


def release(
    session: Session, model: type[T], id: str, conductor: str, seconds: float
) -> None:
    """Let others work on a row again.

    :param seconds: not before so long; not this conductor either.
    """
    until = session.now + datetime.timedelta(seconds=seconds)
    session.change(
        sa.update(model)
        .where(
            model.id == id,
            model.conductor == conductor,
            model.held_until.is_not(None),
        )
        .values(conductor=None, held_until=until if seconds else None)
    )
