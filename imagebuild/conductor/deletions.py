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
"""The images that a conductor deletes: which may begin, and how."""

from __future__ import annotations

from collections.abc import Callable

from imagebuild import db
from imagebuild.common import placement
from imagebuild.conductor import attempt as attempts
from imagebuild.conductor import deletion_attempt
from imagebuild.conductor import scheduler
from imagebuild.conductor import store_pauses
from imagebuild.conductor.conductor_context import ConductorContext


class Deletions:
    """Begins what the scheduler has claimed.

    :param running: what is being deleted here.
    :param on_end: called when a place is free again, with the seconds after
        which the image is to be asked for again; 0 when it is not.
    :ivar pauses: the stores that are left alone now.
    """

    def __init__(
        self,
        context: ConductorContext,
        running: scheduler.RunningJobs,
        on_end: Callable[[float], None],
    ) -> None:
        self._context = context
        self._running = running
        self._on_end = on_end
        self.pauses = store_pauses.StorePauses()

    def may_begin(self, kind: str, needs: placement.Needs) -> bool:
        """Whether the store of a deletion may be asked now.

        :param kind: of the job; all others may begin.
        """
        if kind != 'delete':
            return True
        running = sum(
            isinstance(each, deletion_attempt.DeletionAttempt)
            and each.destination == needs.deletion
            for each in self._running.all()
        )
        slots = self._context.conf.conductor.max_deletions
        return running < self.pauses.slots(needs.deletion, slots)

    def begin(self, job: db.Job) -> None:
        """Begin a deletion that was claimed; returns at once."""
        attempt = deletion_attempt.DeletionAttempt(
            self._context,
            job,
            self._context.database.get_image(job.id),
            self.pauses,
            self._ended,
        )
        self._running.add(job.id, attempt)
        attempt.start()

    def _ended(self, attempt: attempts.Attempt) -> None:
        self._running.remove(attempt.id, attempt)
        self._on_end(attempt.retry_after)
