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
"""A thread that looks after the repository of a conductor.

At the start, and every few minutes, it tells the database what is there; then
it removes what exceeds the limits, and reads what was not read for a week, no
faster than the disk can bear beside builds. Conductors that share a repository
all do this; what one has just done leaves little to the next.
"""

from __future__ import annotations

import functools
import logging
import threading
import time

from imagebuild import db
from imagebuild import exception
from imagebuild import repository as kit
from imagebuild.conductor import periodic_task
from imagebuild.db import transaction

LOG = logging.getLogger(__name__)

_INTERVAL = 300.0
_RETRY = 30.0
_STOP_TIMEOUT = 15.0
#: Seconds after which a file is read again, though nobody has touched it.
_CHECK_AFTER = 7 * 24 * 3600.0
_BYTES_PER_SECOND = 50 * 1024 * 1024


class RepositoryCare:
    """Keeps a repository within its limits, and the database in step.

    :param name: of the conductor.
    """

    def __init__(
        self, repository: kit.Repository, database: db.Database, name: str
    ) -> None:
        self._repository = repository
        self._database = database
        self._name = name
        self._stopping = threading.Event()
        self._task = periodic_task.PeriodicTask('repository', self._work)

    def start(self) -> None:
        """Begin; returns at once."""
        self._task.start()

    def wake(self) -> None:
        """Look now: something was put in, or room is wanted."""
        self._task.wake()

    def stop(self) -> None:
        """End, also in the midst of a file."""
        self._stopping.set()
        self._task.stop(_STOP_TIMEOUT)

    def _work(self) -> float:
        try:
            self.look()
            self.verify()
        except exception.DatabaseUnavailable as error:
            LOG.warning('The repository is not looked after now: %s', error)
            return _RETRY
        except exception.EnvironmentFault as error:
            LOG.error('The repository cannot be used: %s', error)
            return _RETRY
        except Exception:
            LOG.exception('Unexpected error with the repository')
        return _INTERVAL

    def look(self) -> None:
        """Tell the database what is there, and keep the limits.

        :raises DatabaseUnavailable: nothing was removed.
        :raises EnvironmentFault: the directory cannot be used.
        """
        since = transaction.utcnow()
        inventory = kit.register(
            self._repository,
            bytes_per_second=_BYTES_PER_SECOND,
            stop=self._stopping.wait,
        )
        if not inventory.complete:
            # What was not looked at is not lost.
            return
        given_up = self._database.sync_artifacts(
            self._repository.id,
            self._name,
            [each.row() for each in inventory.artifacts],
            since=since,
        )
        for id in given_up:
            self._repository.remove(id)
        self._remove_deleted()
        kit.bound(self._repository, self._may_remove)

    def _remove_deleted(self) -> None:
        """Remove the files of builds that are deleted with their images."""
        for row in self._database.artifacts_of_deleted_builds(
            self._repository.id
        ):
            if self._repository.remove(
                row.id, functools.partial(self._may_go, row.id)
            ):
                LOG.info('Removed the file %s of a deleted build', row.id)

    def _may_remove(self, artifact: kit.Artifact) -> bool:
        return self._may_go(artifact.id)

    def _may_go(self, id: str) -> bool:
        return self._database.retire_artifact(id)

    def verify(self) -> None:
        """Read what was not read for long.

        :raises DatabaseUnavailable: the next look tells it.
        """
        found = kit.verify(
            self._repository,
            not_since=time.time() - _CHECK_AFTER,
            bytes_per_second=_BYTES_PER_SECOND,
            stop=self._stopping.wait,
        )
        for each in found.artifacts:
            if each.status != kit.PRESENT:
                self._database.mark_artifact(each.id, each.status, each.reason)
