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
"""Indexes for lists and sums, which grew with what is finished."""

from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None

_NEW: dict[str, tuple[tuple[str, ...], ...]] = {
    'builds': (
        ('deleted_at', 'created_at'),
        ('deleted_at', 'status', 'created_at', 'fault'),
        ('project_id', 'deleted_at', 'created_at'),
        ('project_id', 'deleted_at', 'status', 'created_at'),
        ('project_id', 'deleted_at', 'name', 'created_at'),
        ('project_id', 'status', 'finished_at'),
    ),
    'images': (('project_id', 'status', 'size'),),
}
#: What they take the place of.
_OLD: tuple[tuple[str, ...], ...] = (
    ('deleted_at',),
    ('project_id', 'created_at'),
    ('project_id', 'status'),
    ('status', 'created_at'),
)


def upgrade() -> None:
    for table, indexes in _NEW.items():
        for columns in indexes:
            op.create_index(_name(table, columns), table, list(columns))
    for each in _OLD:
        op.drop_index(_name("builds", each), "builds")


def _name(table: str, columns: tuple[str, ...]) -> str:
    return f'ix_{table}_{"_".join(columns)}'
