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
"""What the engine and the drivers report, as events."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

from imagebuild import manifest
from imagebuild.common import phases
from imagebuild.common import transfer_progress
from imagebuild.drivers.base import DiskMonitor
from imagebuild.job import channel

#: Lines of output that a step which did not come to an end is reported with.
_LINES = 50


class JobMonitor(manifest.Monitor):
    """Told by the engine about the run.

    :ivar doing: what is going on, for an error that does not know.
    """

    def __init__(self, events: channel.Events) -> None:
        self.doing = 'the start of the job'
        self._phase = ''
        self._events = events
        self._running: manifest.RunningStep | None = None
        self._lines: collections.deque[str] = collections.deque(maxlen=_LINES)

    def turn_to(self, what: str) -> None:
        """Note what is going on outside of the steps."""
        self.doing = what
        self._running = None

    def begin(self, what: str) -> None:
        """Note it, and report it."""
        self.turn_to(what)
        self._events.send('notice', message=f'{what[0].upper()}{what[1:]}')
        if self._phase:
            self._events.send('phase', phase=self._phase, what=what)

    def enter(self, phase: str) -> None:
        """Report that a phase begins.

        :param phase: of :data:`imagebuild.common.phases.ORDER`.
        """
        if phase != self._phase:
            self._phase = phase
            self._events.send('phase', phase=phase, what='')

    def run_started(self, total: int) -> None:
        self.enter(phases.STEPS)
        self._events.send('plan', total=total)

    def step_started(self, step: manifest.RunningStep) -> None:
        if step.trial:
            return
        self.doing = f'{step.path} ({step.description})'
        self._running = step
        self._lines.clear()
        self._events.send(
            'step_started',
            number=step.number,
            total=step.total,
            path=step.path,
            validator=step.validator,
            description=step.description,
        )

    def output(
        self, step: manifest.RunningStep, stream: str, line: str
    ) -> None:
        line = channel.shortened(line)
        self._lines.append(line)
        self._events.send('output', stream=stream, line=line)

    def program_output(self, line: str) -> None:
        """Report a line that a program of the driver printed."""
        self._events.send(
            'output', stream='stdout', line=channel.shortened(line)
        )

    def step_finished(
        self, step: manifest.RunningStep, result: manifest.StepReport
    ) -> None:
        if step.trial:
            return
        self._running = None
        self._events.send(
            'step_finished', number=step.number, **result.to_dict()
        )

    def notice(self, sentence: str) -> None:
        self._events.send('notice', message=sentence)

    def running_step(self) -> dict[str, Any] | None:
        """The step that was cut short, for the last event."""
        if self._running is None:
            return None
        return {
            'path': self._running.path,
            'validator': self._running.validator,
            'command': '',
            'exit_code': None,
            'output': '\n'.join(self._lines),
        }

    def progress(self, what: str) -> Callable[[int, int], None]:
        """Make a function that reports progress, about once a second."""
        return transfer_progress.Throttled(
            lambda done, total: self._events.send(
                'progress', done=done, total=total, what=what
            )
        )


class DriverMonitor(DiskMonitor):
    """Told by a driver about the making of the disk."""

    def __init__(self, monitor: JobMonitor) -> None:
        self._monitor = monitor
        self._throttled: dict[str, Callable[[int, int], None]] = {}

    def phase_started(self, phase: str) -> None:
        self._monitor.enter(phase)

    def step_started(self, name: str) -> None:
        self._monitor.begin(name)

    def notice(self, sentence: str) -> None:
        self._monitor.notice(sentence)

    def output(self, line: str) -> None:
        self._monitor.program_output(line)

    def progress(self, done: int, total: int, what: str) -> None:
        if what not in self._throttled:
            self._throttled[what] = self._monitor.progress(what)
        self._throttled[what](done, total)
