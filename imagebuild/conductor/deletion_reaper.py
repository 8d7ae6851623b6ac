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
"""Looks after the deletion of images that conductors had, or cannot have."""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Collection

from imagebuild import db
from imagebuild.common import placement
from imagebuild.common.counts import counted
from imagebuild.conductor import job_reaper
from imagebuild.conductor import store_pauses
from imagebuild.conductor.conductor_context import ConductorContext

LOG = logging.getLogger(__name__)


class DeletionReaper(job_reaper.JobReaper):
    """What the reaper does for images that are to be deleted; see there.

    :param pauses: the stores that are left alone now.
    """

    kind = 'delete'

    def __init__(
        self,
        context: ConductorContext,
        running: Callable[[], Collection[str]],
        pauses: store_pauses.StorePauses,
    ) -> None:
        super().__init__(context, running)
        self._pauses = pauses

    def note_waiting(self) -> None:
        """Have images say why they wait, as long as nobody asks for them."""
        known = self._database.list_conductors()
        for lane in self._database.lanes([self.kind]):
            needs = placement.Needs.from_dict(lane.needs)
            lacking = [
                placement.missing(needs, each.capability) for each in known
            ]
            if all(lacking):
                self._note_unserved(lane, needs)
            elif reason := self._pauses.reason(needs.deletion):
                # Where nothing is said: conductors need not have the same.
                self._database.note_deletions(lane.id, reason, replace=False)

    def _note_unserved(self, lane: db.Lane, needs: placement.Needs) -> None:
        reason = (
            'Waits for a conductor that has a destination '
            f'"{needs.deletion}": none that is known has one.'
        )
        if number := self._database.note_deletions(lane.id, reason):
            LOG.warning(
                '%s cannot be deleted: no conductor has a destination "%s"',
                counted(number, 'image'),
                needs.deletion,
            )

    def _requeue(self, job: db.Job, why: str) -> None:
        if self._database.requeue_deletion(
            job.id, **job_reaper.holder(job), counts=False
        ):
            LOG.info('Requeued the deletion of image row %s: %s', job.id, why)
