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
"""Pipelines, and which one started a build."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from imagebuild.db import types

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {
    'mysql_engine': 'InnoDB',
    'mysql_charset': 'utf8mb4',
    'mysql_collate': 'utf8mb4_bin',
}


def upgrade() -> None:
    op.create_table(
        'pipelines',
        sa.Column('id', types.Name(36), nullable=False),
        sa.Column('project_id', types.Name(64), nullable=False),
        sa.Column('user_id', types.Name(64), nullable=False),
        sa.Column('name', types.Name(255), nullable=False),
        sa.Column('status', types.Name(16), nullable=False),
        sa.Column('status_reason', types.LongText(), nullable=False),
        sa.Column('os', types.Name(255), nullable=False),
        sa.Column('entry', types.Json(), nullable=False),
        sa.Column('driver', types.Name(64), nullable=False),
        sa.Column('request', types.Json(), nullable=False),
        sa.Column('request_size', sa.BigInteger(), nullable=False),
        sa.Column('secrets', types.LongText(), nullable=True),
        sa.Column('cron', types.Name(255), nullable=False),
        sa.Column('max_age', sa.BigInteger(), nullable=True),
        sa.Column('keep', sa.Integer(), nullable=False),
        sa.Column('max_failures', sa.Integer(), nullable=False),
        sa.Column('current_tag', types.Name(255), nullable=False),
        sa.Column('dropped_tags', types.Json(), nullable=False),
        sa.Column('failures', sa.Integer(), nullable=False),
        sa.Column('run_requested', sa.Boolean(), nullable=False),
        sa.Column('next_run_at', types.Time(), nullable=True),
        sa.Column('last_run_at', types.Time(), nullable=True),
        sa.Column('running_build_id', types.Name(36), nullable=True),
        sa.Column('last_build_id', types.Name(36), nullable=True),
        sa.Column('current_build_id', types.Name(36), nullable=True),
        sa.Column('revision', sa.BigInteger(), nullable=False),
        sa.Column('settled_revision', sa.BigInteger(), nullable=False),
        sa.Column('conductor', types.Name(255), nullable=True),
        sa.Column('held_until', types.Time(), nullable=True),
        sa.Column('created_at', types.Time(), nullable=False),
        sa.Column('updated_at', types.Time(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_pipelines')),
        sa.UniqueConstraint(
            'project_id', 'name', name=op.f('uq_pipelines_project_id_name')
        ),
        **_MYSQL,
    )
    for column in ('created_at', 'next_run_at', 'running_build_id'):
        op.create_index(op.f(f'ix_pipelines_{column}'), 'pipelines', [column])
    op.add_column(
        'builds', sa.Column('pipeline_id', types.Name(36), nullable=True)
    )
    op.create_index(
        op.f('ix_builds_pipeline_id_finished_at'),
        'builds',
        ['pipeline_id', 'finished_at'],
    )
