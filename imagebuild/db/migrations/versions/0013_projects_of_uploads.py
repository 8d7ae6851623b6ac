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
"""Uploads have their project, so that a list of them is short."""

import sqlalchemy as sa
from alembic import op

from imagebuild.db import types

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        'uploads', sa.Column('project_id', types.Name(64), nullable=True)
    )
    uploads = sa.table(
        'uploads', sa.column('build_id'), sa.column('project_id')
    )
    builds = sa.table('builds', sa.column('id'), sa.column('project_id'))
    owner = (
        sa.select(builds.c.project_id)
        .where(builds.c.id == uploads.c.build_id)
        .scalar_subquery()
    )
    op.execute(uploads.update().values(project_id=owner))
    op.create_index(
        'ix_uploads_project_id_created_at_id',
        'uploads',
        ['project_id', 'created_at', 'id'],
    )
