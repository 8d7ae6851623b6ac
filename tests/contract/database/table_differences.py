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
"""What the tables in a database lack of the models, and the reverse."""

from alembic import autogenerate
from alembic.runtime.migration import MigrationContext

from imagebuild.db import engine
from imagebuild.db import models


def find(url: str) -> list[object]:
    """Return alembic's operations; empty when they agree."""
    bind = engine.create(url, engine.PoolSettings())
    try:
        with bind.connect() as database:
            context = MigrationContext.configure(database)
            return list(
                autogenerate.compare_metadata(context, models.Base.metadata)
            )
    finally:
        bind.dispose()
