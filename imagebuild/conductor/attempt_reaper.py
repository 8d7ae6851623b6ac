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
"""Removes what attempts have left in a cloud: servers, ports, images.

Only the driver knows what its attempts make there, and a cloud may hang; so a
job of its own is started for it, in a process that is killed when it takes too
long. Attempts are given here when they have ended (:mod:`leftovers`), and
found by a search, now and then, after everybody has died who knew of them.

Nothing is removed of an attempt that is still being made, as the database has
it, nor of a build that the database does not know: that is another service's,
or this database is a backup.
"""

from __future__ import annotations

import dataclasses
import logging
import time
import uuid
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import exception
from imagebuild.common.counts import counted
from imagebuild.conductor import attempt_failures
from imagebuild.conductor import attempt_workspace
from imagebuild.conductor import cancellation
from imagebuild.conductor import claims
from imagebuild.conductor import conductor_context
from imagebuild.conductor import job_supervisor
from imagebuild.conductor import leftovers
from imagebuild.conductor import metrics
from imagebuild.conductor import periodic_task
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.drivers.base import Driver
from imagebuild.job import specs

LOG = logging.getLogger(__name__)

#: Seconds that a driver has.
TIMEOUT = 600.0
#: Attempts that one job is given.
_AT_ONCE = 20
_LONGEST_INTERVAL = 1800.0
#: So many searches that did not happen are a gap.
_GAP = 4
_STOP_TIMEOUT = 10.0
_SHOWN = 10


class AttemptReaper:
    """A thread that has drivers reap.

    :param drivers: gives those that this conductor offers.
    """

    def __init__(
        self,
        context: ConductorContext,
        drivers: Callable[[], Sequence[Driver]],
    ) -> None:
        self._context = context
        self._database = context.database
        self._drivers = drivers
        self._job: cancellation.CancellationToken | None = None
        self._not_before: dict[str, float] = {}
        self._told: set[leftovers.Attempt] = set()
        self._task = periodic_task.PeriodicTask('attempts', self._work)
        context.leftovers.on_add = self._task.wake

    def start(self) -> None:
        """Begin; returns at once."""
        self._task.start()

    def stop(self) -> None:
        """End, with the job that runs."""
        if (job := self._job) is not None:
            job.stop(claims.Requeued('The conductor stops.'))
        self._task.stop(_STOP_TIMEOUT)

    def _work(self) -> float:
        try:
            self._sweep_all()
        except exception.ImageBuildError as error:
            LOG.warning('Nothing is reaped now: %s', error)
        except Exception:
            LOG.exception('Unexpected error in the reaper of attempts')
        return float(self._context.conf.conductor.sweep_interval)

    def _sweep_all(self) -> None:
        sections = self._context.job_config()
        drivers = [
            each.name
            for each in self._drivers()
            if each.works_in_cloud(sections)
        ]
        for name, attempts in self._context.leftovers.by_driver().items():
            if name not in drivers:
                # Most leave nothing at all. Others, with drivers that are not
                # here, are found by the conductors that have them.
                self._context.leftovers.forget(name, attempts)
        for name in drivers:
            if self._task.stopped:
                return
            self.sweep(name)

    def sweep(self, driver: str) -> None:
        """Reap what is to be reaped of one driver, and search if it is time.

        :param driver: its name.
        :raises DatabaseUnavailable: nothing was done.
        """
        if time.monotonic() < self._not_before.get(driver, 0.0):
            return
        waiting = self._context.leftovers.by_driver().get(driver, [])
        if waiting:
            states = self._database.judge_attempts(waiting)
            # One that goes on is given here again, when it has ended.
            self._context.leftovers.forget(
                driver, [each for each in waiting if each not in states.ended]
            )
            self._reap(driver, sorted(states.ended))
        self._search(driver)

    def _reap(
        self, driver: str, attempts: Sequence[leftovers.Attempt]
    ) -> None:
        for start in range(0, len(attempts), _AT_ONCE):
            if self._task.stopped:
                return
            batch = attempts[start : start + _AT_ONCE]
            try:
                result = self._run(driver, batch)
            except claims.AttemptFailed as failed:
                if self._task.stopped:
                    return
                LOG.warning(
                    'What %s have left was not removed, which is retried: %s',
                    _title(driver, batch),
                    failed,
                )
                # Others wake this meanwhile.
                self._not_before[driver] = time.monotonic() + float(
                    self._context.conf.conductor.sweep_interval
                )
                continue
            self._context.leftovers.forget(driver, batch)
            if reaped := int(result.get('reaped') or 0):
                metrics.REAPED.labels(driver).inc(reaped)
                LOG.warning(
                    'Removed %s that %s had left',
                    counted(reaped, 'thing'),
                    _title(driver, batch),
                )

    def _search(self, driver: str) -> None:
        """Reap what was seen twice of attempts that nobody knows of here."""
        grace = float(self._context.conf.conductor.leak_grace)
        if not grace:
            return
        interval = min(max(grace / 2, 1.0), _LONGEST_INTERVAL)
        if (
            self._database.begin_leak_search(
                _key(driver), every=interval * 0.9, gap=interval * _GAP
            )
            is None
        ):
            return
        try:
            result = self._run(driver, (), look=True)
        except claims.AttemptFailed as failed:
            if self._task.stopped:
                return
            LOG.warning(
                'Driver %s does not say now what was left: %s', driver, failed
            )
            return
        found = _attempts(result.get('left'))
        # After the list: whoever made it had written his attempt down before.
        states = self._database.judge_attempts(found)
        self._tell(driver, states.unknown)
        leaks = self._database.note_leaks(
            _key(driver),
            [f'{build_id}/{attempt}' for build_id, attempt in states.ended],
            grace=grace,
        )
        self._reap(
            driver,
            sorted(
                each
                for each in states.ended
                if f'{each[0]}/{each[1]}' in leaks.due
            ),
        )

    def _tell(
        self, driver: str, unknown: Collection[leftovers.Attempt]
    ) -> None:
        """Say once of what nothing is removed."""
        new = sorted(set(unknown) - self._told)
        self._told = set(unknown)
        if new:
            LOG.warning(
                'The database does not know the builds of %s: what they have '
                'left is not removed',
                _title(driver, new),
            )

    def _run(
        self,
        driver: str,
        attempts: Sequence[leftovers.Attempt],
        *,
        look: bool = False,
    ) -> dict[str, Any]:
        """Have a job do it.

        :returns: its result.
        :raises AttemptFailed: it was not done, or not all of it.
        """
        spec = specs.ReapSpec(
            driver=driver,
            attempts=attempts,
            config=conductor_context.unsigned(self._context.job_config()),
            timeout=TIMEOUT,
            look=look,
        )
        subject = _Subject(id=str(uuid.uuid4()))
        self._job = cancellation.CancellationToken(subject)
        try:
            with attempt_failures.reported(
                'the reaping of attempts', self._context.work_dir
            ):
                return self._in_workspace(spec, subject, self._job)
        except claims.Requeued as stopped:
            raise claims.AttemptFailed(str(stopped)) from stopped
        finally:
            self._job = None

    def _in_workspace(
        self,
        spec: specs.ReapSpec,
        subject: _Subject,
        token: cancellation.CancellationToken,
    ) -> dict[str, Any]:
        workspace = attempt_workspace.AttemptWorkspace.make(
            self._context.work_dir, subject.id, 1
        )
        try:
            supervisor = job_supervisor.JobSupervisor(
                self._context, subject, _Recorder(), token, workspace
            )
            if self._task.stopped:
                raise claims.Requeued('The conductor stops.')
            return supervisor.run(spec.to_document(), TIMEOUT)
        finally:
            workspace.remove()


@dataclasses.dataclass(frozen=True)
class _Subject:
    """What the job is about: see ``request_log`` and ``claims.Held``."""

    id: str
    project_id: str = ''
    user_id: str = ''
    request_id: str = ''

    @property
    def build(self) -> _Subject:
        return self

    def look(self) -> None:
        """Nobody else may have it."""


class _Recorder:
    """Takes the events of a job: what it logs is in this one's log."""

    failed_paths: frozenset[str] = frozenset()

    def event(self, event: Mapping[str, Any]) -> None:
        """Take one."""
        if event.get('event') == 'notice':
            LOG.info('%s', event.get('message'))

    def flush(self) -> None:
        """There is nothing to write."""


def _attempts(left: Any) -> list[leftovers.Attempt]:
    """What a job says is left; what is not understood is passed over."""
    return [
        (each[0], each[1])
        for each in (left if isinstance(left, list) else ())
        if isinstance(each, list)
        and len(each) == 2
        and isinstance(each[0], str)
        and isinstance(each[1], int)
    ]


def _key(driver: str) -> str:
    # No destination has a name like that.
    return f'driver:{driver}'


def _title(driver: str, attempts: Sequence[leftovers.Attempt]) -> str:
    first = ', '.join(
        f'{build_id}/{attempt}' for build_id, attempt in attempts[:_SHOWN]
    )
    more = len(attempts) - _SHOWN
    others = f' and {counted(more, "other")}' if more > 0 else ''
    return f'attempts with the driver {driver} ({first}{others})'
