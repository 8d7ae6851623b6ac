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
"""The work on builds and uploads, as rows of its own.

Builds that wait get theirs from the first conductor that looks for work.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from imagebuild.db import types

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {
    'mysql_charset': 'utf8mb4',
    'mysql_collate': 'utf8mb4_bin',
    'mysql_engine': 'InnoDB',
}


def upgrade() -> None:
    op.create_table(
        'lanes',
        sa.Column('id', types.Name(64), nullable=False),
        sa.Column('kind', types.Name(16), nullable=False),
        sa.Column('project_id', types.Name(64), nullable=False),
        sa.Column('priority', sa.Integer(), nullable=False),
        sa.Column('needs', types.Json(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_lanes')),
        **_MYSQL,
    )
    op.create_table(
        'jobs',
        sa.Column('id', types.Name(36), nullable=False),
        sa.Column('build_id', types.Name(36), nullable=False),
        sa.Column('kind', types.Name(16), nullable=False),
        sa.Column('lane_id', types.Name(64), nullable=False),
        sa.Column('project_id', types.Name(64), nullable=False),
        sa.Column('state', types.Name(16), nullable=False),
        sa.Column('not_before', types.Time(), nullable=True),
        sa.Column('conductor', types.Name(255), nullable=True),
        sa.Column('attempt', sa.Integer(), nullable=False),
        sa.Column('requeues', sa.Integer(), nullable=False),
        sa.Column('cancel_requested', sa.Boolean(), nullable=False),
        sa.Column('spec', types.Json(), nullable=False),
        sa.Column('result', types.Json(), nullable=True),
        sa.Column('created_at', types.Time(), nullable=False),
        sa.Column('claimed_at', types.Time(), nullable=True),
        sa.Column('finished_at', types.Time(), nullable=True),
        sa.Column('updated_at', types.Time(), nullable=False),
        sa.ForeignKeyConstraint(
            ['build_id'], ['builds.id'], name=op.f('fk_jobs_build_id')
        ),
        sa.ForeignKeyConstraint(
            ['lane_id'], ['lanes.id'], name=op.f('fk_jobs_lane_id')
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_jobs')),
        **_MYSQL,
    )
    for columns in (
        ['lane_id', 'state', 'created_at', 'id'],
        ['state', 'kind', 'project_id'],
        ['state', 'not_before'],
        ['conductor', 'state'],
        ['build_id', 'kind'],
    ):
        op.create_index(f'ix_jobs_{"_".join(columns)}', 'jobs', columns)
