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
"""The first tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from imagebuild.db import types

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {
    'mysql_charset': 'utf8mb4',
    'mysql_collate': 'utf8mb4_bin',
    'mysql_engine': 'InnoDB',
}
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table(
        'conductors',
        sa.Column('name', types.Name(255), nullable=False),
        sa.Column('drivers', types.Json(), nullable=False),
        sa.Column('operating_systems', types.Json(), nullable=False),
        sa.Column('architecture', types.Name(32), nullable=False),
        sa.Column('slots', sa.Integer(), nullable=False),
        sa.Column('running', sa.Integer(), nullable=False),
        sa.Column('status', types.Name(16), nullable=False),
        sa.Column('version', types.Name(64), nullable=False),
        sa.Column('started_at', types.Time(), nullable=False),
        sa.Column('heartbeat_at', types.Time(), nullable=False),
        sa.PrimaryKeyConstraint('name', name=op.f('pk_conductors')),
        **_MYSQL,
    )
    op.create_table(
        'images',
        sa.Column('id', types.Name(36), nullable=False),
        sa.Column('project_id', types.Name(64), nullable=False),
        sa.Column('content_key', types.Name(64), nullable=False),
        sa.Column('destination', types.Name(255), nullable=False),
        sa.Column('image_id', types.Name(255), nullable=False),
        sa.Column('build_id', types.Name(36), nullable=False),
        sa.Column('disk_format', types.Name(32), nullable=False),
        sa.Column('container_format', types.Name(32), nullable=False),
        sa.Column('size', sa.BigInteger(), nullable=True),
        sa.Column('os_hash_algo', types.Name(64), nullable=True),
        sa.Column('os_hash_value', types.Name(128), nullable=True),
        sa.Column('status', types.Name(16), nullable=False),
        sa.Column('created_at', types.Time(), nullable=False),
        sa.Column('deleted_at', types.Time(), nullable=True),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_images')),
        **_MYSQL,
    )
    op.create_index(op.f('ix_images_build_id'), 'images', ['build_id'])
    op.create_index(
        op.f('ix_images_project_id_content_key'),
        'images',
        ['project_id', 'content_key'],
    )
    op.create_index(op.f('ix_images_status'), 'images', ['status'])
    op.create_table(
        'project_locks',
        sa.Column('project_id', types.Name(64), nullable=False),
        sa.PrimaryKeyConstraint('project_id', name=op.f('pk_project_locks')),
        **_MYSQL,
    )
    op.create_table(
        'quotas',
        sa.Column('project_id', types.Name(64), nullable=False),
        sa.Column('resource', types.Name(32), nullable=False),
        sa.Column('hard_limit', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            'project_id', 'resource', name=op.f('pk_quotas')
        ),
        **_MYSQL,
    )
    op.create_table(
        'builds',
        sa.Column('id', types.Name(36), nullable=False),
        sa.Column('project_id', types.Name(64), nullable=False),
        sa.Column('user_id', types.Name(64), nullable=False),
        sa.Column('name', types.Name(255), nullable=False),
        sa.Column('status', types.Name(16), nullable=False),
        sa.Column('status_reason', types.LongText(), nullable=False),
        sa.Column('fault', types.Name(16), nullable=True),
        sa.Column('os', types.Name(255), nullable=False),
        sa.Column('driver', types.Name(64), nullable=False),
        sa.Column('architecture', types.Name(32), nullable=False),
        sa.Column('priority', sa.Integer(), nullable=False),
        sa.Column('request', types.Json(), nullable=False),
        sa.Column('secrets', types.LongText(), nullable=True),
        sa.Column('content_key', types.Name(64), nullable=False),
        sa.Column('base', types.Json(), nullable=False),
        sa.Column('reuse', types.Name(16), nullable=False),
        sa.Column('max_age', sa.BigInteger(), nullable=True),
        sa.Column('timeout', sa.Integer(), nullable=False),
        sa.Column('leader_id', types.Name(36), nullable=True),
        sa.Column('reused_from', types.Name(36), nullable=True),
        sa.Column('image_row_id', types.Name(36), nullable=True),
        sa.Column('size', sa.BigInteger(), nullable=True),
        sa.Column('os_hash_algo', types.Name(64), nullable=True),
        sa.Column('os_hash_value', types.Name(128), nullable=True),
        sa.Column('conductor', types.Name(255), nullable=True),
        sa.Column('attempt', sa.Integer(), nullable=False),
        sa.Column('progress_done', sa.Integer(), nullable=False),
        sa.Column('progress_total', sa.Integer(), nullable=False),
        sa.Column('progress_step', types.LongText(), nullable=False),
        sa.Column('cancel_requested', sa.Boolean(), nullable=False),
        sa.Column('log_size', sa.BigInteger(), nullable=False),
        sa.Column('request_id', types.Name(64), nullable=False),
        sa.Column('created_at', types.Time(), nullable=False),
        sa.Column('claimed_at', types.Time(), nullable=True),
        sa.Column('started_at', types.Time(), nullable=True),
        sa.Column('finished_at', types.Time(), nullable=True),
        sa.Column('updated_at', types.Time(), nullable=False),
        sa.Column('deleted_at', types.Time(), nullable=True),
        sa.ForeignKeyConstraint(
            ['image_row_id'],
            ['images.id'],
            name=op.f('fk_builds_image_row_id'),
        ),
        sa.ForeignKeyConstraint(
            ['leader_id'], ['builds.id'], name=op.f('fk_builds_leader_id')
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_builds')),
        **_MYSQL,
    )
    op.create_index(
        op.f('ix_builds_conductor_status'), 'builds', ['conductor', 'status']
    )
    op.create_index(op.f('ix_builds_deleted_at'), 'builds', ['deleted_at'])
    op.create_index(op.f('ix_builds_image_row_id'), 'builds', ['image_row_id'])
    op.create_index(op.f('ix_builds_leader_id'), 'builds', ['leader_id'])
    op.create_index(
        op.f('ix_builds_project_id_created_at'),
        'builds',
        ['project_id', 'created_at'],
    )
    op.create_index(
        op.f('ix_builds_project_id_status'), 'builds', ['project_id', 'status']
    )
    op.create_index(
        op.f('ix_builds_status_created_at'), 'builds', ['status', 'created_at']
    )
    op.create_table(
        'events',
        sa.Column('id', _SERIAL, nullable=False),
        sa.Column('build_id', types.Name(36), nullable=False),
        sa.Column('at', types.Time(), nullable=False),
        sa.Column('kind', types.Name(16), nullable=False),
        sa.Column('message', types.LongText(), nullable=False),
        sa.ForeignKeyConstraint(
            ['build_id'], ['builds.id'], name=op.f('fk_events_build_id')
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_events')),
        **_MYSQL,
    )
    op.create_index(op.f('ix_events_build_id'), 'events', ['build_id'])
    op.create_table(
        'flights',
        sa.Column('project_id', types.Name(64), nullable=False),
        sa.Column('content_key', types.Name(64), nullable=False),
        sa.Column('build_id', types.Name(36), nullable=False),
        sa.ForeignKeyConstraint(
            ['build_id'], ['builds.id'], name=op.f('fk_flights_build_id')
        ),
        sa.PrimaryKeyConstraint(
            'project_id', 'content_key', name=op.f('pk_flights')
        ),
        **_MYSQL,
    )
    op.create_index(op.f('ix_flights_build_id'), 'flights', ['build_id'])
    op.create_table(
        'log_chunks',
        sa.Column('build_id', types.Name(36), nullable=False),
        sa.Column(
            'offset', sa.BigInteger(), autoincrement=False, nullable=False
        ),
        sa.Column('data', types.LongText(), nullable=False),
        sa.ForeignKeyConstraint(
            ['build_id'], ['builds.id'], name=op.f('fk_log_chunks_build_id')
        ),
        sa.PrimaryKeyConstraint(
            'build_id', 'offset', name=op.f('pk_log_chunks')
        ),
        **_MYSQL,
    )
    op.create_table(
        'steps',
        sa.Column('id', _SERIAL, nullable=False),
        sa.Column('build_id', types.Name(36), nullable=False),
        sa.Column('attempt', sa.Integer(), nullable=False),
        sa.Column('number', sa.Integer(), nullable=False),
        sa.Column('path', types.LongText(), nullable=False),
        sa.Column('validator', types.Name(255), nullable=False),
        sa.Column('description', types.LongText(), nullable=False),
        sa.Column('result', types.Name(32), nullable=False),
        sa.Column('seconds', sa.Double(), nullable=False),
        sa.Column('message', types.LongText(), nullable=False),
        sa.Column('output', types.LongText(), nullable=False),
        sa.Column('created_at', types.Time(), nullable=False),
        sa.ForeignKeyConstraint(
            ['build_id'], ['builds.id'], name=op.f('fk_steps_build_id')
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_steps')),
        **_MYSQL,
    )
    op.create_index(op.f('ix_steps_build_id'), 'steps', ['build_id'])
    op.create_table(
        'uploads',
        sa.Column('id', types.Name(36), nullable=False),
        sa.Column('build_id', types.Name(36), nullable=False),
        sa.Column('destination', types.Name(255), nullable=False),
        sa.Column('disk_format', types.Name(32), nullable=False),
        sa.Column('status', types.Name(16), nullable=False),
        sa.Column('status_reason', types.LongText(), nullable=False),
        sa.Column('image_id', types.Name(255), nullable=True),
        sa.Column('size', sa.BigInteger(), nullable=True),
        sa.Column('bytes_done', sa.BigInteger(), nullable=False),
        sa.Column('os_hash_algo', types.Name(64), nullable=True),
        sa.Column('os_hash_value', types.Name(128), nullable=True),
        sa.Column('conductor', types.Name(255), nullable=True),
        sa.Column('attempt', sa.Integer(), nullable=False),
        sa.Column('created_at', types.Time(), nullable=False),
        sa.Column('updated_at', types.Time(), nullable=False),
        sa.ForeignKeyConstraint(
            ['build_id'], ['builds.id'], name=op.f('fk_uploads_build_id')
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_uploads')),
        **_MYSQL,
    )
    op.create_index(op.f('ix_uploads_build_id'), 'uploads', ['build_id'])
    op.create_index(op.f('ix_uploads_status'), 'uploads', ['status'])
