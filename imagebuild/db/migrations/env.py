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
"""What alembic runs; :mod:`imagebuild.db.migration` gives the connection."""

from __future__ import annotations

from typing import Any
from typing import Literal

from alembic import context

from imagebuild.db import channel_models  # noqa: F401
from imagebuild.db import models
from imagebuild.db import package_models  # noqa: F401 - its tables
from imagebuild.db import types


def render_item(
    kind: str, item: Any, _autogen_context: Any
) -> str | Literal[False]:
    """Write our column types into new migrations as we would."""
    if kind != 'type' or type(item).__module__ != types.__name__:
        return False
    length = getattr(item.impl, 'length', None)
    if length is not None:
        return f'types.Name({length})'
    return f'types.{type(item).__name__}()'


def run() -> None:
    connection = context.config.attributes['connection']
    context.configure(
        connection=connection,
        target_metadata=models.Base.metadata,
        render_as_batch=connection.dialect.name == 'sqlite',
        render_item=render_item,
        # One transaction around all, begun by the caller.
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
