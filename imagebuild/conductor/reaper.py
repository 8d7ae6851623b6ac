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
"""Looks after what was left behind: by others that died, and by ourselves.

Everything here may be done by several conductors at once and again.
"""

from __future__ import annotations

import datetime
import logging
import pathlib
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Protocol

from imagebuild import exception
from imagebuild import layers
from imagebuild.conductor import attempt_workspace
from imagebuild.conductor import claims
from imagebuild.conductor import deletion_reaper
from imagebuild.conductor import metrics
from imagebuild.conductor import periodic_task
from imagebuild.conductor import store_pauses
from imagebuild.conductor import unserved
from imagebuild.conductor import upload_reaper
from imagebuild.conductor import upload_rows
from imagebuild.conductor import validation_reaper
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.db import records
from imagebuild.drivers import base

LOG = logging.getLogger(__name__)

#: Seconds between two looks at all rows.
_PURGE_EVERY = 3600.0


class Jobs(Protocol):
    """The jobs of one kind that run here."""

    def ids(self) -> set[str]: ...


class Reaper:
    """A thread that sweeps.

    :param running: what this conductor works on, by kind of job.
    :param pauses: the stores that are left alone now.
    :param database_stable_for: seconds for which the database has
        been available, as seen from here.
    :param on_release: called when builds went back to the queue.
    """

    def __init__(
        self,
        context: ConductorContext,
        *,
        running: Mapping[str, Jobs],
        pauses: store_pauses.StorePauses,
        database_stable_for: Callable[[], float],
        on_release: Callable[[], None],
    ) -> None:
        self._context = context
        self._database = context.database
        self._section = context.conf.conductor
        self._running = running['build'].ids
        self._uploads = upload_reaper.UploadReaper(
            context, running['upload'].ids
        )
        self._deletions = deletion_reaper.DeletionReaper(
            context, running['delete'].ids, pauses
        )
        self._validations = validation_reaper.ValidationReaper(
            context, running['validate'].ids
        )
        self._database_stable_for = database_stable_for
        self._on_release = on_release
        self._suspects: set[tuple[str, int]] = set()
        self._next_purge = self._next_thorough = 0.0
        self._task = periodic_task.PeriodicTask('reaper', self._work)

    def start(self) -> None:
        self._task.start()

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._task.wake()

    def stop(self) -> None:
        """Sweep no more."""
        self._task.stop(self._section.sweep_interval)

    def _work(self) -> float:
        self.sweep()
        return float(self._section.sweep_interval)

    def sweep(self) -> None:
        """Do everything once; what fails is retried the next time."""
        for work in (
            self.sweep_workspaces,
            self.sweep_base_images,
            self.bound_layers,
            self.requeue_orphans,
            self.requeue_idle_builds,
            self._uploads.requeue_idle,
            self._deletions.requeue_idle,
            self._validations.requeue_idle,
            self.release_waiting,
            self.adopt_builds,
            self.build_again,
            self.note_unserved,
            self.discard_uploads,
            self.retire_images,
            self._deletions.note_waiting,
            self.purge,
        ):
            if self._task.stopped:
                return
            try:
                work()
            except exception.ImageBuildError as error:
                LOG.warning(
                    '%s failed and is retried: %s', work.__name__, error
                )
            except Exception:
                LOG.exception('Unexpected error in the reaper')

    def sweep_workspaces(self) -> None:
        """Remove workspaces of dead conductors with their processes."""
        attempt_workspace.sweep(self._context.work_dir)

    def sweep_base_images(self) -> None:
        """Remove what killed jobs have left of base images they made.

        Whoever makes the next one does so, too; there may be none.
        """
        directory = self._context.job_config()['disks']['cache_dir']
        base.sweep(pathlib.Path(directory))

    def bound_layers(self) -> None:
        """Remove layers that exceed their limits."""
        settings = layers.Settings.from_config(self._context.job_config())
        if settings is None or not settings.directory.exists():
            return
        store = settings.store()
        store.bound()
        metrics.LAYER_BYTES.set(store.size())

    def requeue_orphans(self) -> None:
        """Requeue the builds of conductors that are dead or gone."""
        if self._database_stable_for() < self._section.dead_after:
            return
        for conductor in self._database.dead_conductors(
            self._section.dead_after
        ):
            LOG.warning(
                'Conductor %s is dead: last heartbeat at %s',
                conductor.name,
                conductor.heartbeat_at,
            )
            self._database.unregister(conductor.name)
        for build in self._database.orphans(self._section.dead_after):
            if build.conductor != self._context.name:
                self._requeue(build, f'Conductor {build.conductor} died')
        orphans = self._uploads.requeue_orphans()
        orphans += self._validations.requeue_orphans()
        if orphans + self._deletions.requeue_orphans():
            self._on_release()

    def requeue_idle_builds(self) -> None:
        """Requeue builds that have our name and that we do not work on.

        They are of an earlier process. One is only believed to be when it is
        seen twice, as a build that was just claimed may not have begun.
        """
        idle = {
            (build.id, build.attempt): build
            for build in self._database.builds_of(self._context.name)
            if build.id not in self._running()
        }
        for attempt in self._suspects & idle.keys():
            self._requeue(
                idle[attempt], f'Conductor {self._context.name} restarted'
            )
        self._suspects = set(idle)

    def requeue_own_builds(self) -> None:
        """As :meth:`requeue_idle_builds`, at the start: none runs yet."""
        for build in self._database.builds_of(self._context.name):
            self._requeue(build, f'Conductor {self._context.name} restarted')
        self._uploads.requeue_own()
        self._deletions.requeue_own()
        self._validations.requeue_own()

    def release_waiting(self) -> None:
        """Queue the jobs whose time has come.

        Whoever had them does so at the second; this is for those of
        conductors that have died.
        """
        if self._database.release_waiting():
            self._on_release()

    def build_again(self) -> None:
        """Build again what cannot be uploaded, as its file is lost."""
        if self._database_stable_for() < self._section.dead_after:
            return
        if self._uploads.build_again():
            self._on_release()

    def note_unserved(self) -> None:
        """Have builds that nobody can build say so, and end in time."""
        if self._database_stable_for() >= self._section.dead_after:
            unserved.sweep(self._context)

    def adopt_builds(self) -> None:
        """Give jobs to builds of the release before, and complete the rest."""
        self._database.adopt_uploads()
        if self._database.adopt_builds():
            self._on_release()

    def discard_uploads(self) -> None:
        """Remove half images of builds that have ended without them."""
        for row, content_key in self._database.abandoned_uploads():
            upload_rows.discard(self._context, row, content_key)

    def retire_images(self) -> None:
        """Have images deleted that no build uses any more."""
        thorough = time.monotonic() >= self._next_thorough
        if thorough:
            self._next_thorough = time.monotonic() + _PURGE_EVERY
        if self._database.retire_unused_images(thorough=thorough):
            self._on_release()

    def purge(self) -> None:
        """Remove old rows, once an hour."""
        days = self._section.retention_days
        if not days or time.monotonic() < self._next_purge:
            return
        self._next_purge = time.monotonic() + _PURGE_EVERY
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        old = now - datetime.timedelta(days=days)
        while self._database.purge_validations(old) > 0:
            LOG.info('Removed old validations from the database')
        removed = self._database.purge(old)
        if removed:
            LOG.info('Removed %d old builds from the database', removed)

    def _requeue(self, build: records.Build, why: str) -> None:
        try:
            self._requeue_or_end(build, why)
        finally:
            self._context.leftovers.add(build.driver, build.id, build.attempt)

    def _requeue_or_end(self, build: records.Build, why: str) -> None:
        holder = claims.holder(build)
        if build.cancel_requested or build.status == 'deleting':
            # Once it has ended nobody would ask the store any more.
            if not self._discard_all(build):
                return
        elif build.failures >= self._section.max_attempts:
            self._discard_all(build)
            ended = self._database.finish_build(
                build.id,
                records.Outcome(
                    'error',
                    f'{why}; that was {self._which(build)}.',
                    fault='service',
                ),
                **holder,
            )
            if ended is not None:
                LOG.warning('Build %s failed: %s', build.id, why)
                self._context.notifier.ended(ended)
            return
        if self._database.requeue_build(build.id, **holder, reason=f'{why}.'):
            LOG.warning('Requeued build %s: %s', build.id, why)
            if build.cancel_requested and build.status != 'deleting':
                self._context.notifier.ended(
                    self._database.get_build(build.id)
                )
            self._on_release()

    def _which(self, build: records.Build) -> str:
        most = self._section.max_attempts
        if not build.requeues:
            return f'attempt {build.attempt} of {most}'
        return (
            f'attempt {build.attempt}, and {build.failures} of {most} '
            'that count'
        )

    def _discard_all(self, build: records.Build) -> bool:
        rows = self._database.list_uploads(build_id=build.id)
        gone = True
        for row in rows:
            gone &= upload_rows.discard(self._context, row, build.content_key)
        return gone
