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
"""Validations of running machines."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from imagebuild.db import types

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {
    'mysql_engine': 'InnoDB',
    'mysql_charset': 'utf8mb4',
    'mysql_collate': 'utf8mb4_bin',
}


def upgrade() -> None:
    op.create_table(
        'validations',
        sa.Column('id', types.Name(36), nullable=False),
        sa.Column('project_id', types.Name(64), nullable=False),
        sa.Column('user_id', types.Name(255), nullable=False),
        sa.Column('request_id', types.Name(255), nullable=False),
        sa.Column('name', types.Name(255), nullable=False),
        sa.Column('status', types.Name(16), nullable=False),
        sa.Column('status_reason', types.LongText(), nullable=False),
        sa.Column('request', types.Json(), nullable=False),
        sa.Column('secrets', types.LongText(), nullable=True),
        sa.Column('results', types.Json(), nullable=False),
        sa.Column('timeout', sa.Integer(), nullable=False),
        sa.Column('created_at', types.Time(), nullable=False),
        sa.Column('started_at', types.Time(), nullable=True),
        sa.Column('finished_at', types.Time(), nullable=True),
        sa.Column('updated_at', types.Time(), nullable=False),
        sa.PrimaryKeyConstraint('id', name='pk_validations'),
        **_MYSQL,
    )
    op.create_index(
        'ix_validations_project_id_created_at_id',
        'validations',
        ['project_id', 'created_at', 'id'],
    )
    op.create_index(
        'ix_validations_created_at_id', 'validations', ['created_at', 'id']
    )
