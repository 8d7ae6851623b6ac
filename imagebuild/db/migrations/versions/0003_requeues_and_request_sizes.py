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
"""Attempts that do not count, and how much is kept of a project."""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a default in the database: the release before, which goes on
    # while this is done, makes rows without them. Requests that are there
    # already count no bytes; to measure them would lock every build.
    op.add_column(
        'builds',
        sa.Column(
            'requeues', sa.Integer(), server_default='0', nullable=False
        ),
    )
    op.add_column(
        'builds',
        sa.Column(
            'request_size',
            sa.BigInteger(),
            server_default='0',
            nullable=False,
        ),
    )
    op.create_index(
        op.f('ix_builds_project_id_deleted_at_request_size'),
        'builds',
        ['project_id', 'deleted_at', 'request_size'],
    )
