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
"""Uploads that nobody works on: of dead conductors, or without their file."""

from __future__ import annotations

import logging

from imagebuild import db
from imagebuild.conductor import build_end
from imagebuild.conductor import job_reaper

LOG = logging.getLogger(__name__)


class UploadReaper(job_reaper.JobReaper):
    """What the reaper does for uploads; see there."""

    kind = 'upload'

    def build_again(self) -> int:
        """Build again what is not uploaded, and whose file nobody has.

        :returns: how many builds went back to the queue.
        """
        section = self._context.conf.conductor
        again, ended = self._database.uploads_without_file(
            seconds=section.dead_after, max_attempts=section.max_attempts
        )
        for build in ended:
            LOG.warning('Build %s failed: %s', build.id, build.status_reason)
            build_end.announce(self._context, build)
        for build in again:
            LOG.warning('Requeued build %s: its file is lost', build.id)
        return len(again)

    def _requeue(self, job: db.Job, why: str) -> None:
        holder = job_reaper.holder(job)
        most = self._context.conf.conductor.upload_attempts
        if job.failures < most:
            if self._database.requeue_upload(
                job.id, **holder, reason=f'{why}.'
            ):
                LOG.warning('Requeued upload %s: %s', job.id, why)
            return
        reason = f'{why}; that was attempt {job.failures} of {most}.'
        build = self._database.finish_upload(
            job.id, db.UploadOutcome(reason, fault='service'), **holder
        )
        LOG.warning('Upload %s failed: %s', job.id, reason)
        if build is not None and build.status not in ('uploading', 'active'):
            build_end.announce(self._context, build)
