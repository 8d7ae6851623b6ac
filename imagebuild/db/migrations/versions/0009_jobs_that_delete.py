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
"""Jobs that delete images, which may outlive the rows of builds."""

import sqlalchemy as sa
from alembic import op

from imagebuild.db import types

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # SQLite changes no column: there the table is made again.
    with op.batch_alter_table('jobs') as batch:
        batch.alter_column(
            'build_id', existing_type=types.Name(36), nullable=True
        )
    # NULL, as the release before goes on to write rows without it.
    op.add_column(
        'images', sa.Column('status_reason', types.LongText(), nullable=True)
    )
