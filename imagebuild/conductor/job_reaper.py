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
"""Gives back to the queue what conductors held that are gone."""

from __future__ import annotations

import abc
from collections.abc import Callable
from collections.abc import Collection

from imagebuild import db
from imagebuild.conductor import claims
from imagebuild.conductor.conductor_context import ConductorContext


class JobReaper(abc.ABC):
    """What the reaper does for the jobs of one kind; see there.

    :param running: ids of the jobs that this conductor works on.
    """

    kind: str

    def __init__(
        self,
        context: ConductorContext,
        running: Callable[[], Collection[str]],
    ) -> None:
        self._context = context
        self._database = context.database
        self._running = running
        self._suspects: set[tuple[str, int]] = set()

    def requeue_own(self) -> None:
        """Requeue the jobs of our former process: none runs yet."""
        for job in self._database.jobs_of(self._context.name, self.kind):
            self._requeue(job, f'Conductor {self._context.name} restarted')

    def requeue_idle(self) -> None:
        """Requeue jobs that have our name and that we do not work on.

        One is only believed to be when it is seen twice, as a job that was
        just claimed may not have begun.
        """
        idle = {
            (job.id, job.attempt): job
            for job in self._database.jobs_of(self._context.name, self.kind)
            if job.id not in self._running()
        }
        for attempt in self._suspects & idle.keys():
            self._requeue(
                idle[attempt], f'Conductor {self._context.name} restarted'
            )
        self._suspects = set(idle)

    def requeue_orphans(self) -> int:
        """Requeue the jobs of conductors that are dead or gone.

        :returns: how many there were.
        """
        orphans = [
            job
            for job in self._database.orphaned_jobs(
                self.kind, self._context.conf.conductor.dead_after
            )
            if job.conductor != self._context.name
        ]
        for job in orphans:
            self._requeue(job, f'Conductor {job.conductor} died')
        return len(orphans)

    @abc.abstractmethod
    def _requeue(self, job: db.Job, why: str) -> None:
        """Give one back.

        :param why: for logs and users, without the full stop.
        """


def holder(job: db.Job) -> claims.Holder:
    """Who had a job when it was read."""
    return {'conductor': job.conductor or '', 'attempt': job.attempt}
