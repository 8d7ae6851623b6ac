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
"""An attempt at a validation: a job process that reaches its machines."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import threading
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from imagebuild import db
from imagebuild import exception
from imagebuild import sealing
from imagebuild.conductor import attempt
from imagebuild.conductor import attempt_failures
from imagebuild.conductor import attempt_workspace
from imagebuild.conductor import claims
from imagebuild.conductor import job_reaper
from imagebuild.conductor import job_supervisor
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.job import specs
from imagebuild.machines import networks

LOG = logging.getLogger(__name__)

_LONGEST_REASON = 4000
_LARGEST_KEY = 64 * 1024
#: Exit code of the checks -> status.
_STATUS = {0: 'passed', 1: 'failed', 3: 'error'}
#: Machines that a reason names.
_NAMED = 5


@dataclasses.dataclass(frozen=True)
class Subject:
    """What the log says that it is about: see ``request_log``."""

    id: str
    project_id: str
    user_id: str
    request_id: str


class _Recorder:
    """Takes the events of a job; see :class:`job_supervisor.Recorder`."""

    failed_paths: frozenset[str] = frozenset()

    def __init__(self, write: Callable[[list[dict[str, Any]]], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._has_new = False
        self.results: list[dict[str, Any]] = []

    def event(self, event: Mapping[str, Any]) -> None:
        """Take one; called in the threads that read the job's pipes."""
        result = event.get('result')
        if event.get('event') == 'machine' and isinstance(result, dict):
            with self._lock:
                self.results.append(result)
                self._has_new = True

    def flush(self) -> None:
        """Write what is new."""
        with self._lock:
            has_new, self._has_new = self._has_new, False
            results = list(self.results)
        if has_new:
            self._write(results)


class ValidationAttempt(attempt.Attempt):
    """An attempt at a validation.

    :param job: as it was claimed.
    :param validation: its row.
    """

    kind = 'validation'

    def __init__(
        self,
        context: ConductorContext,
        job: db.Job,
        validation: db.Validation,
        on_end: Callable[[attempt.Attempt], None],
    ) -> None:
        self._job = job
        self._validation = validation
        self._holder = job_reaper.holder(job)
        self.build = Subject(
            id=validation.id,
            project_id=validation.project_id,
            user_id=validation.user_id,
            request_id=validation.request_id,
        )
        self._recorder = _Recorder(self._note)
        super().__init__(context, job.id, self.build, self, on_end)

    def look(self) -> None:
        """See :meth:`claims.Held.look`."""
        state = self._context.database.validation_state(
            self.id, **self._holder
        )
        if state == 'lost':
            raise claims.ClaimLost('the validation has another owner')
        if state == 'cancelled':
            raise claims.Cancelled('It was cancelled.')

    def _attempt(self) -> None:
        LOG.info(
            'Starting validation %s, attempt %d', self.id, self._job.attempt
        )
        try:
            self._context.retry.until_available('a look', self.look)
            result = self._check()
        except claims.Cancelled as reason:
            self._finish('cancelled', str(reason))
        except claims.Requeued as reason:
            self._requeue(str(reason), counts=False)
        except claims.AttemptFailed as failed:
            self._finish('error', self._shown(failed))
        else:
            status = _STATUS.get(result.get('exit_code', -1), 'error')
            self._finish(status, self._summary())

    def _check(self) -> dict[str, Any]:
        with attempt_failures.reported(
            f'validation {self.id}', self._context.work_dir
        ):
            spec = self._spec()
            workspace = attempt_workspace.AttemptWorkspace.make(
                self._context.work_dir, self.id, self._job.attempt
            )
            try:
                supervisor = job_supervisor.JobSupervisor(
                    self._context,
                    self,
                    self._recorder,
                    self._cancellation,
                    workspace,
                )
                return supervisor.run(
                    spec.to_document(), self._validation.timeout
                )
            finally:
                workspace.remove()

    def _spec(self) -> specs.ValidationSpec:
        row = self._validation
        conf = self._context.conf
        request = dict(row.request)
        secrets: dict[str, Any] = {}
        if row.secrets:
            secrets = sealing.unseal(conf.encryption_keys, row.secrets)
        request['arguments'] = {
            **request.get('arguments', {}),
            **secrets.get('arguments', {}),
        }
        for host in request['hosts']:
            # This conductor connects, so its own file counts.
            why = networks.refusal(
                host['address'],
                host['port'],
                conf.validation.allowed_networks,
                conf.validation.allowed_ports,
            )
            if why:
                raise exception.InvalidInput(f'{host["name"]}: {why}.')
        credentials = dict(secrets.get('credentials', {}))
        if name := (request.get('credential') or {}).get('key'):
            credentials['private_key'] = _operators_key(
                conf.validation.private_keys, name
            )
        return specs.ValidationSpec(
            request=request,
            hosts=request['hosts'],
            credentials=credentials,
            config={'DEFAULT': self._context.job_config()['DEFAULT']},
            accept_unknown_host_keys=conf.validation.accept_unknown_host_keys,
            parallel=conf.validation.parallel,
            timeout=row.timeout,
        )

    # -- the end ------------------------------------------------------------

    def _note(self, results: list[dict[str, Any]]) -> None:
        try:
            if not self._context.database.note_results(
                self.id, results, **self._holder
            ):
                raise claims.ClaimLost('the validation has another owner')
        except exception.DatabaseUnavailable as error:
            LOG.warning('Results are written later: %s', error)

    def _summary(self) -> str:
        """What users read first: the machines that are not as described."""
        bad = [
            f'{each["name"]}: {each["reason"]}'
            for each in self._recorder.results
            if each.get('reason')
        ]
        more = f'\nand {len(bad) - _NAMED} more' if len(bad) > _NAMED else ''
        return '\n'.join(bad[:_NAMED]) + more

    def _shown(self, failed: claims.AttemptFailed) -> str:
        return self._context.paths.hide(
            str(failed), of_host=failed.fault == 'service'
        )

    def _finish(self, status: str, reason: str) -> None:
        results = list(self._recorder.results)
        if not self._context.retry.until_available(
            'the end of a validation',
            lambda: self._context.database.finish_validation(
                self.id,
                status,
                reason[:_LONGEST_REASON],
                results,
                **self._holder,
            ),
        ):
            raise claims.ClaimLost('the validation has another owner')
        LOG.info('Ended validation %s: %s', self.id, status)

    def _requeue(self, reason: str, *, counts: bool) -> None:
        if not self._context.retry.until_available(
            'handing back',
            lambda: self._context.database.requeue_validation(
                self.id,
                **self._holder,
                reason=reason,
                counts=counts,
                most=self._context.conf.validation.max_attempts,
            ),
        ):
            raise claims.ClaimLost('the validation has another owner')


def _operators_key(keys: Mapping[str, str], name: str) -> str:
    """The private key that an operator has under a name.

    :raises EnvironmentFault: there is none, or it cannot be read.
    """
    if name not in keys:
        raise exception.EnvironmentFault(
            f'This conductor has no key "{name}" ([validation] private_keys).'
        )
    try:
        with pathlib.Path(keys[name]).open() as file:
            return file.read(_LARGEST_KEY)
    except (OSError, ValueError) as error:
        LOG.error('The key "%s" cannot be read: %s', name, error)
        raise exception.EnvironmentFault(
            f'The key "{name}" cannot be read by this conductor.'
        ) from error
