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
"""Watches over one job: its events, time and claim, and who wants it ended."""

from __future__ import annotations

import logging
import pathlib
import signal
import time
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from typing import Any
from typing import Protocol

from imagebuild.conductor import attempt_workspace
from imagebuild.conductor import cancellation
from imagebuild.conductor import claims
from imagebuild.conductor import disk_space
from imagebuild.conductor import job_process
from imagebuild.conductor import metrics
from imagebuild.conductor import request_log
from imagebuild.conductor.conductor_context import ConductorContext

LOG = logging.getLogger(__name__)

#: Seconds that a job has between SIGTERM and SIGKILL.
GRACE = 5.0

_TICK = 1.0
#: Seconds that a busy host may take to start a job.
_START = 60.0
#: Seconds after the end of its time in which a job ends itself: more than
#: the clock of its guest has, to be first.
_SLACK = 10.0


class Recorder(Protocol):
    """Takes what a job reports; see :class:`event_recorder.EventRecorder`."""

    @property
    def failed_paths(self) -> Collection[str]: ...

    def event(self, event: Mapping[str, Any]) -> None: ...

    def flush(self) -> None: ...


class Claim(Protocol):
    """What a job is for."""

    @property
    def build(self) -> request_log.Subject: ...


class JobSupervisor:
    """Runs the jobs of one attempt of a build, one after another.

    :param workspace: where they work.
    """

    def __init__(
        self,
        context: ConductorContext,
        claim: Claim,
        recorder: Recorder,
        cancellation_token: cancellation.CancellationToken,
        workspace: attempt_workspace.AttemptWorkspace,
    ) -> None:
        self._context = context
        self._claim = claim
        self._recorder = recorder
        self._cancellation = cancellation_token
        self._workspace = workspace

    @property
    def directory(self) -> pathlib.Path:
        """Where the files of the build are."""
        return self._workspace.path

    def report(self, event: Mapping[str, Any]) -> None:
        """Put an event into the recorder."""
        self._recorder.event(event)

    def run(
        self,
        request: Mapping[str, Any],
        seconds: float,
        *,
        on_event: job_process.OnEvent | None = None,
        on_tick: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Run a job to its end.

        :param request: its document.
        :param seconds: the time it has.
        :param on_event: called with its events, instead of the recorder.
        :param on_tick: called about once a second.
        :returns: its result.
        :raises AttemptFailed: it failed, crashed or took too long.
        :raises Interrupted: somebody else ended it.
        """
        begun = time.monotonic()
        grown = disk_space.SizeWatch(
            self._context.conf,
            self.directory,
            # Conversions watch themselves, and are no build.
            beside=self._context.repository.incoming,
        )

        def tick() -> None:
            on_tick()
            # What an upload writes is watched by its job.
            if request['action'] == 'build':
                grown.check()

        job = self._start(request, on_event or self._recorder.event)
        try:
            # A job ends itself in time, and reports what it was doing.
            code = self._watch(job, begun, seconds, tick)
        except BaseException as error:
            LOG.info('Ending the job: %s', error)
            # A claim that was lost is somebody else's: no grace period.
            job.end(0 if isinstance(error, claims.ClaimLost) else GRACE)
            raise
        finally:
            metrics.BUILD_SECONDS.labels(str(request['action'])).observe(
                time.monotonic() - begun
            )
        try:
            return _result(job, code, self._recorder)
        except claims.AttemptFailed as failed:
            # What took all of its time would take it again.
            failed.retryable &= time.monotonic() - begun < seconds
            if request['action'] == 'build':
                grown.judge(failed)
            raise

    def _start(
        self, request: Mapping[str, Any], on_event: job_process.OnEvent
    ) -> job_process.JobProcess:
        return job_process.JobProcess(
            self._context.job_command,
            request,
            self.directory,
            job_process.JobCallbacks(
                on_event=on_event,
                wake=self._cancellation.wake,
                note=self._workspace.note,
                enter_thread=lambda: request_log.enter(self._claim.build),
            ),
        )

    def _watch(
        self,
        job: job_process.JobProcess,
        begun: float,
        seconds: float,
        on_tick: Callable[[], None],
    ) -> int:
        while True:
            # In this order: once there is a code every event has arrived, and
            # the flush writes all of them before the end is acted on.
            code = job.poll()
            self._recorder.flush()
            on_tick()
            if code is not None:
                return code
            self._cancellation.check()
            # It counts from its own start.
            started = job.started_at or begun + _START
            if time.monotonic() > started + seconds + _SLACK:
                raise claims.AttemptFailed(
                    'The build was stopped: its time is up.', retryable=False
                )
            if job.has_closed_its_output:
                job.wait(_TICK)
            else:
                self._cancellation.wait(_TICK)


def _result(
    job: job_process.JobProcess,
    code: int,
    recorder: Recorder,
) -> dict[str, Any]:
    """The result of a job that has ended, if it has one.

    :raises AttemptFailed: it reported a failure, or ended without a report.
    """
    last = job.last
    if last is not None and last['event'] == 'finished' and code == 0:
        result = last.get('result')
        return dict(result) if isinstance(result, dict) else {}
    if last is not None and last['event'] == 'failed':
        _note_step(last.get('step'), recorder)
        fault = last.get('fault')
        raise claims.AttemptFailed(
            str(last.get('reason') or 'The build failed.'),
            fault='user' if fault == 'user' else 'service',
            lacks_room=last.get('lacks_room') is True,
        )
    how = (
        f'with signal {-code} ({_signal_name(-code)})'
        if code < 0
        else f'with exit code {code}'
    )
    lines = job.last_lines.strip()
    raise claims.AttemptFailed(
        f'The build process ended {how}; '
        + (f'its last output: {lines}' if lines else 'it wrote nothing.')
    )


def _how_it_failed(step: Mapping[str, Any]) -> str:
    """A step that was broken off has no exit code, one of ours no command."""
    command = step.get('command') or 'the step'
    if step.get('exit_code') is None:
        return f'{command}: did not end by itself'
    return f'exit code {step["exit_code"]}: {command}'


def _note_step(step: Any, recorder: Recorder) -> None:
    """Keep the step that failed, if it did not report itself."""
    if isinstance(step, dict) and step.get('path') not in (
        recorder.failed_paths
    ):
        message = step.get('message') or _how_it_failed(step)
        recorder.event(
            {
                **step,
                'event': 'step_finished',
                'result': 'failed',
                'message': message,
            }
        )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return 'unknown'
