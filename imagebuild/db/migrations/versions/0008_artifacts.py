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
"""Finished images in the repositories of conductors."""

import sqlalchemy as sa
from alembic import op

from imagebuild.db import types

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'artifacts',
        sa.Column('id', types.Name(36), nullable=False),
        sa.Column('repository_id', types.Name(36), nullable=False),
        sa.Column('conductor', types.Name(255), nullable=False),
        sa.Column('build_id', types.Name(36), nullable=False),
        sa.Column('project_id', types.Name(64), nullable=False),
        sa.Column('source_id', types.Name(36), nullable=True),
        sa.Column('disk_format', types.Name(32), nullable=False),
        sa.Column('size', sa.BigInteger(), nullable=False),
        sa.Column('virtual_size', sa.BigInteger(), nullable=False),
        sa.Column('os_hash_algo', types.Name(64), nullable=False),
        sa.Column('os_hash_value', types.Name(128), nullable=False),
        sa.Column('status', types.Name(16), nullable=False),
        sa.Column('status_reason', types.LongText(), nullable=False),
        sa.Column('created_at', types.Time(), nullable=False),
        sa.Column('checked_at', types.Time(), nullable=False),
        sa.PrimaryKeyConstraint('id', name='pk_artifacts'),
        mysql_engine='InnoDB',
        mysql_charset='utf8mb4',
        mysql_collate='utf8mb4_bin',
    )
    for columns in (
        ['build_id'],
        ['repository_id', 'status'],
        ['status', 'checked_at'],
    ):
        op.create_index(
            f'ix_artifacts_{"_".join(columns)}', 'artifacts', columns
        )
