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
"""Runs of a manifest by the guest itself.

The engine cannot look there: it says all steps in shell beforehand, and makes
of what the guest tells of them the report that its own run would have made.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import distros
from imagebuild import exception
from imagebuild.common import guest_program
from imagebuild.manifest import arguments
from imagebuild.manifest import cleanup
from imagebuild.manifest import monitors
from imagebuild.manifest import reports
from imagebuild.manifest import shell_compiler
from imagebuild.manifest.validators import base

#: For an installer's functions, which are the same whatever is installed.
_ANY = distros.Package('any', '1')

_RESULTS: Mapping[guest_program.Result, reports.Result] = {
    'ok': reports.Result.OK,
    'changed': reports.Result.CHANGED,
    'ran': reports.Result.RAN,
    'skipped': reports.Result.SKIPPED,
    'failed': reports.Result.FAILED,
}


def compiled(
    validators: Sequence[base.Validator],
    declared: Mapping[str, arguments.Argument],
    values: Mapping[str, str],
    systems: Sequence[str] = (),
) -> guest_program.GuestProgram:
    """Say steps in shell.

    :param declared: the arguments, by name.
    :param values: of the arguments.
    :param systems: names of those that it is for; empty for any.
    :raises InvalidManifest: some cannot be said so, each with its path.
    """
    compiler = shell_compiler.Compiler(declared, values)
    compiler.refuse_hidden()
    steps = [
        step
        for validator in validators
        for step in compiler.compiled(validator)
    ]
    if compiler.problems:
        raise exception.InvalidManifest(compiler.problems)
    return guest_program.GuestProgram(
        prelude=shell_compiler.detecting()
        + shell_compiler.installers([_ANY])
        + shell_compiler.FUNCTIONS
        + shell_compiler.accepting(systems),
        steps=steps,
        cleanup=shell_compiler.cleanups() + cleanup.GENERALIZE,
    )


def followed(
    program: guest_program.GuestProgram,
    run: Callable[[guest_program.Listener], None],
    monitor: monitors.Monitor,
) -> reports.Report:
    """Run a program, and report it as a run of the engine.

    :param run: has the guest run it and tells what is heard of it; raises
        what went wrong outside of the steps.
    :raises StepFailed: a step failed; ``report`` has those until then.
    """
    follower = _Follower(program, monitor)
    start = time.monotonic()
    monitor.run_started(len(program.steps))
    try:
        run(follower.event)
        if follower.failure is not None:
            raise follower.failure
    except exception.ImageBuildError as error:
        error.report = follower.report
        raise
    finally:
        follower.report.seconds = time.monotonic() - start
        monitor.run_finished(follower.report)
    return follower.report


class _Follower:
    """Makes a report of events; the same event may come again."""

    def __init__(
        self,
        program: guest_program.GuestProgram,
        monitor: monitors.Monitor,
    ) -> None:
        self.report = reports.Report(reconcile=True)
        self.failure: exception.StepFailed | None = None
        self._program = program
        self._monitor = monitor
        self._begun: dict[int, float] = {}
        self._ended: set[int] = set()

    def event(self, event: guest_program.Event) -> None:
        if isinstance(event, guest_program.Listed):
            # It is of the image, and no step.
            return
        if not 0 <= event.number < len(self._program.steps):
            return
        if isinstance(event, guest_program.StepStarted):
            self._start(event.number)
        elif event.number not in self._ended:
            self._start(event.number)
            self._ended.add(event.number)
            self._end(event)

    def _start(self, number: int) -> None:
        if number not in self._begun:
            self._begun[number] = time.monotonic()
            self._monitor.step_started(self._running(number))

    def _running(self, number: int) -> monitors.RunningStep:
        step = self._program.steps[number]
        return monitors.RunningStep(
            path=step.path,
            validator=step.validator,
            description=step.description,
            number=number + 1,
            total=len(self._program.steps),
        )

    def _end(self, event: guest_program.StepEnded) -> None:
        step, message = self._program.steps[event.number], ''
        running = self._running(event.number)
        if event.result == 'failed':
            lines = [line for line in event.output.splitlines() if line]
            message = (
                lines[-1]
                if lines
                else f'it failed with exit code {event.exit_code}'
            )
            self.failure = exception.StepFailed(
                message,
                path=step.path,
                validator=step.validator,
                command=step.description,
                command_exit_code=event.exit_code,
                output=event.output[-reports.TAIL :],
            )
        for line in event.output.splitlines():
            self._monitor.output(running, 'stdout', line)
        done = reports.StepReport(
            path=step.path,
            validator=step.validator,
            description=step.description,
            result=_RESULTS[event.result],
            seconds=time.monotonic() - self._begun[event.number],
            message=message,
            output=event.output[-reports.TAIL :],
        )
        self.report.steps.append(done)
        self._monitor.step_finished(running, done)
