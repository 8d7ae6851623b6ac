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
"""Statistics of what has been done so far."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import orm

from imagebuild.db import models
from imagebuild.db import records


def statistics(session: orm.Session) -> records.Statistics:
    """Add up what is kept; deleted builds count until they are purged."""
    step = models.Step
    steps = session.execute(
        sa.select(
            step.validator, sa.func.count(), sa.func.sum(step.seconds)
        ).group_by(step.validator)
    )
    reused = session.scalar(
        sa.select(sa.func.count()).where(models.Build.reused_from.is_not(None))
    )
    uploaded = session.scalar(
        sa.select(sa.func.sum(models.Upload.size)).where(
            models.Upload.status == 'active'
        )
    )
    return records.Statistics(
        steps={
            validator: (int(number), float(seconds or 0.0))
            for validator, number, seconds in steps
        },
        reused=int(reused or 0),
        uploaded_bytes=int(uploaded or 0),
    )
