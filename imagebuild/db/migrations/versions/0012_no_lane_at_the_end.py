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
"""Jobs that have ended are in no lane."""

import sqlalchemy as sa
from alembic import op

from imagebuild.db import types

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # SQLite changes no column: there the table is made again.
    with op.batch_alter_table('jobs') as batch:
        batch.alter_column(
            'lane_id', existing_type=types.Name(64), nullable=True
        )
    jobs = sa.table('jobs', sa.column('lane_id'), sa.column('state'))
    op.execute(
        jobs.update()
        .where(jobs.c.state.in_(('done', 'error', 'cancelled')))
        .values(lane_id=None)
    )
