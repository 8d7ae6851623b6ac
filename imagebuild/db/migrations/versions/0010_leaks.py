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
"""Images of this service that no row knows."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from imagebuild.db import types

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {
    'mysql_engine': 'InnoDB',
    'mysql_charset': 'utf8mb4',
    'mysql_collate': 'utf8mb4_bin',
}


def upgrade() -> None:
    op.create_table(
        'leak_searches',
        sa.Column('destination', types.Name(255), nullable=False),
        sa.Column('began_at', types.Time(), nullable=False),
        sa.Column('searched_at', types.Time(), nullable=False),
        sa.PrimaryKeyConstraint('destination', name='pk_leak_searches'),
        **_MYSQL,
    )
    op.create_table(
        'leaks',
        sa.Column('destination', types.Name(255), nullable=False),
        sa.Column('image_id', types.Name(255), nullable=False),
        sa.Column('first_seen_at', types.Time(), nullable=False),
        sa.Column('last_seen_at', types.Time(), nullable=False),
        sa.PrimaryKeyConstraint('destination', 'image_id', name='pk_leaks'),
        **_MYSQL,
    )
