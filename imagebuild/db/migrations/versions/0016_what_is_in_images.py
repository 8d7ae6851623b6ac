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
"""What is in images."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from imagebuild.db import types

revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {
    'mysql_engine': 'InnoDB',
    'mysql_charset': 'utf8mb4',
    'mysql_collate': 'utf8mb4_bin',
}
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table(
        'sboms',
        sa.Column('id', _SERIAL, nullable=False),
        sa.Column('build_id', types.Name(36), nullable=False),
        sa.Column('created_at', types.Time(), nullable=False),
        sa.Column('document', types.Bytes(), nullable=False),
        sa.PrimaryKeyConstraint('id', name='pk_sboms'),
        sa.UniqueConstraint('build_id', name='uq_sboms_build_id'),
        **_MYSQL,
    )
    op.create_table(
        'packages',
        sa.Column('id', _SERIAL, nullable=False),
        sa.Column('digest', types.Name(64), nullable=False),
        sa.Column('project_id', types.Name(64), nullable=False),
        sa.Column('type', types.Name(16), nullable=False),
        sa.Column('name', types.Name(255), nullable=False),
        sa.Column('version', types.Name(255), nullable=False),
        sa.Column('architecture', types.Name(32), nullable=False),
        sa.PrimaryKeyConstraint('id', name='pk_packages'),
        sa.UniqueConstraint('digest', name='uq_packages_digest'),
        **_MYSQL,
    )
    op.create_index(
        'ix_packages_name_project_id', 'packages', ['name', 'project_id']
    )
    op.create_table(
        'sbom_packages',
        sa.Column('package_id', _SERIAL, nullable=False),
        sa.Column('sbom_id', _SERIAL, nullable=False),
        sa.ForeignKeyConstraint(
            ['package_id'],
            ['packages.id'],
            name='fk_sbom_packages_package_id',
        ),
        sa.ForeignKeyConstraint(
            ['sbom_id'], ['sboms.id'], name='fk_sbom_packages_sbom_id'
        ),
        sa.PrimaryKeyConstraint(
            'package_id', 'sbom_id', name='pk_sbom_packages'
        ),
        **_MYSQL,
    )
    op.create_index('ix_sbom_packages_sbom_id', 'sbom_packages', ['sbom_id'])
