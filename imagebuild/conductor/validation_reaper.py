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
"""Gives back validations of conductors that are gone."""

from __future__ import annotations

import logging

from imagebuild import db
from imagebuild.conductor import job_reaper

LOG = logging.getLogger(__name__)


class ValidationReaper(job_reaper.JobReaper):
    """What the reaper does for validations."""

    kind = 'validate'

    def _requeue(self, job: db.Job, why: str) -> None:
        if self._database.requeue_validation(
            job.id,
            **job_reaper.holder(job),
            reason=f'{why}.',
            most=self._context.conf.validation.max_attempts,
        ):
            LOG.warning('Requeued validation %s: %s', job.id, why)
