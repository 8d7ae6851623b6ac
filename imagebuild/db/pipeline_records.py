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
"""What the database gives out of pipelines; see ``records``."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """An image that is built again and again.

    :ivar user_id: who gave the description; builds are made in this name.
    :ivar status: ``active``, ``paused``, or ``error``: stopped after too many
        failures in a row.
    :ivar os: name in the catalogue, '' when a base image is named instead.
    :ivar entry: of the catalogue, as the API had it when the image was given.
    :ivar driver: '' for the operating system's.
    :ivar request: a build's, without what each run finds out; hidden values
        are masked.
    :ivar secrets: encrypted hidden argument values; None without any.
    :ivar cron: when it runs, in UTC; '' without a schedule.
    :ivar max_age: seconds after which its image is built again, or None.
    :ivar keep: images that are kept, the current one among them.
    :ivar max_failures: failures in a row that stop it; 0 for never.
    :ivar current_tag: the tag of its current image.
    :ivar dropped_tags: former ones, to be taken from its images.
    :ivar failures: in a row, until now.
    :ivar run_requested: somebody wants a run, whatever the schedule says.
    :ivar next_run_at: when it is due; None when no run is planned.
    :ivar last_run_at: when the last run began.
    :ivar running_build_id: the build that is waited for.
    :ivar last_build_id: the build of the last run that had one.
    :ivar current_build_id: the build whose image is the current one.
    :ivar current_image_id: that image in this cloud.
    :ivar revision: counted up when the tags or the number of its images may
        have to change; up to ``settled_revision`` that is done.
    :ivar conductor: who works on it, until ``held_until``.
    """

    id: str
    project_id: str
    user_id: str
    name: str
    status: str
    status_reason: str
    os: str
    entry: dict[str, Any]
    driver: str
    request: dict[str, Any]
    secrets: str | None = dataclasses.field(repr=False)
    cron: str
    max_age: int | None
    keep: int
    max_failures: int
    current_tag: str
    dropped_tags: list[str]
    failures: int
    run_requested: bool
    next_run_at: datetime.datetime | None
    last_run_at: datetime.datetime | None
    running_build_id: str | None
    last_build_id: str | None
    current_build_id: str | None
    revision: int
    settled_revision: int
    conductor: str | None
    held_until: datetime.datetime | None
    created_at: datetime.datetime
    updated_at: datetime.datetime
    current_image_id: str | None = None

    @property
    def is_settled(self) -> bool:
        """Whether tags and number of its images are as they should be."""
        return self.settled_revision >= self.revision

    def is_due(self, now: datetime.datetime) -> bool:
        """Whether a run is to begin."""
        return self.running_build_id is None and (
            self.run_requested
            or (self.next_run_at is not None and self.next_run_at <= now)
        )


@dataclasses.dataclass(frozen=True)
class PipelineWork:
    """A pipeline that a conductor should look at.

    :ivar os: as in :class:`Pipeline`, and so are entry and driver.
    :ivar is_run: there is nothing to do but to begin a run, for which a
        conductor has to be able to build it.
    """

    id: str
    os: str
    entry: dict[str, Any]
    driver: str
    is_run: bool
