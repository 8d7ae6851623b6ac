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
"""Channels: which image of a name is the current one."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from imagebuild.db import types

revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {
    'mysql_engine': 'InnoDB',
    'mysql_charset': 'utf8mb4',
    'mysql_collate': 'utf8mb4_bin',
}


def upgrade() -> None:
    # The release before writes no value.
    op.add_column(
        'builds',
        sa.Column(
            'delete_when_unused',
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
        ),
    )
    op.create_table(
        'channels',
        sa.Column('id', types.Name(36), nullable=False),
        sa.Column('project_id', types.Name(64), nullable=False),
        sa.Column('name', types.Name(255), nullable=False),
        sa.Column('channel', types.Name(64), nullable=False),
        sa.Column('user_id', types.Name(64), nullable=False),
        sa.Column('current_build_id', types.Name(36), nullable=True),
        sa.Column('previous_build_id', types.Name(36), nullable=True),
        sa.Column('tags', types.Json(), nullable=False),
        sa.Column('dropped_tags', types.Json(), nullable=False),
        sa.Column('dropped_images', types.Json(), nullable=False),
        sa.Column('status_reason', types.LongText(), nullable=False),
        sa.Column('revision', sa.BigInteger(), nullable=False),
        sa.Column('settled_revision', sa.BigInteger(), nullable=False),
        sa.Column('settled_at', types.Time(), nullable=True),
        sa.Column('conductor', types.Name(255), nullable=True),
        sa.Column('held_until', types.Time(), nullable=True),
        sa.Column('created_at', types.Time(), nullable=False),
        sa.Column('updated_at', types.Time(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_channels')),
        sa.UniqueConstraint(
            'project_id',
            'name',
            'channel',
            name=op.f('uq_channels_project_id_name_channel'),
        ),
        **_MYSQL,
    )
    for column in (
        'created_at',
        'current_build_id',
        'previous_build_id',
        'settled_at',
    ):
        op.create_index(op.f(f'ix_channels_{column}'), 'channels', [column])
    _create_promotions()


def _create_promotions() -> None:
    serial = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
    op.create_table(
        'promotions',
        sa.Column('id', serial, nullable=False),
        sa.Column('channel_id', types.Name(36), nullable=False),
        sa.Column('action', types.Name(16), nullable=False),
        sa.Column('build_id', types.Name(36), nullable=False),
        sa.Column('image_id', types.Name(255), nullable=True),
        sa.Column('replaced_build_id', types.Name(36), nullable=True),
        sa.Column('user_id', types.Name(64), nullable=False),
        sa.Column('at', types.Time(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_promotions')),
        sa.ForeignKeyConstraint(
            ['channel_id'],
            ['channels.id'],
            name=op.f('fk_promotions_channel_id'),
        ),
        **_MYSQL,
    )
    op.create_index(
        op.f('ix_promotions_channel_id_id'), 'promotions', ['channel_id', 'id']
    )
