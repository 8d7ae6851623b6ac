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
"""The tables of channels; see :mod:`imagebuild.db.models`."""

from __future__ import annotations

import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from imagebuild.db import models
from imagebuild.db import types

# As in models.
_MYSQL = {
    'mysql_engine': 'InnoDB',
    'mysql_charset': 'utf8mb4',
    'mysql_collate': 'utf8mb4_bin',
}


class Channel(models.Base):
    """Which image of a name is the one for development, production, ..."""

    __tablename__ = 'channels'
    __table_args__ = (
        sa.UniqueConstraint('project_id', 'name', 'channel'),
        sa.Index(None, 'created_at'),
        # Whether a build may be deleted, and who is affected by a change.
        sa.Index(None, 'current_build_id'),
        sa.Index(None, 'previous_build_id'),
        # What conductors look for.
        sa.Index(None, 'settled_at'),
        _MYSQL,
    )

    id: Mapped[str] = mapped_column(models.Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(models.Project)
    name: Mapped[str] = mapped_column(models.Name)
    channel: Mapped[str] = mapped_column(models.Label)
    user_id: Mapped[str] = mapped_column(models.Label, default='')
    # NULL: the channel is deleted, and its tags are still to be removed.
    # No foreign keys: the release before purges builds without a look here.
    current_build_id: Mapped[str | None] = mapped_column(models.Id)
    previous_build_id: Mapped[str | None] = mapped_column(models.Id)
    # Further ones, which go where the channel goes.
    tags: Mapped[list[str]] = mapped_column(types.Json, default=list)
    # Former ones, and ids of rows of former images, which may have tags until
    # a conductor has taken them away.
    dropped_tags: Mapped[list[str]] = mapped_column(types.Json, default=list)
    dropped_images: Mapped[list[str]] = mapped_column(types.Json, default=list)
    status_reason: Mapped[str] = mapped_column(models.Text, default='')
    # Counted up when something else is wanted of the stores.
    revision: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    settled_revision: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    settled_at: Mapped[datetime.datetime | None] = mapped_column(models.Time)
    conductor: Mapped[str | None] = mapped_column(models.Name)
    held_until: Mapped[datetime.datetime | None] = mapped_column(models.Time)
    created_at: Mapped[datetime.datetime] = mapped_column(models.Time)
    updated_at: Mapped[datetime.datetime] = mapped_column(models.Time)


class Promotion(models.Base):
    """What became the current build of a channel, and when."""

    __tablename__ = 'promotions'
    __table_args__ = (
        sa.Index(None, 'channel_id', 'id'),
        _MYSQL,
    )

    id: Mapped[int] = mapped_column(models.Serial, primary_key=True)
    channel_id: Mapped[str] = mapped_column(
        models.Id, sa.ForeignKey('channels.id')
    )
    action: Mapped[str] = mapped_column(types.Name(16))
    # No foreign key: the build may be deleted and purged before this.
    build_id: Mapped[str] = mapped_column(models.Id)
    image_id: Mapped[str | None] = mapped_column(models.Name)
    replaced_build_id: Mapped[str | None] = mapped_column(models.Id)
    user_id: Mapped[str] = mapped_column(models.Label, default='')
    at: Mapped[datetime.datetime] = mapped_column(models.Time)
