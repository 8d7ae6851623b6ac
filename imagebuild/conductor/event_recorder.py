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
"""What a job reports, on its way into the database.

The threads that read a job's pipes put events in; the supervisor writes them
out, about once a second. While the database is away they stay here; what
exceeds the limits then is dropped, the oldest first, and the log shows that.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from imagebuild import db
from imagebuild import exception
from imagebuild.common import host_paths
from imagebuild.common import phases
from imagebuild.common import space
from imagebuild.common.counts import counted
from imagebuild.conductor import claims

LOG = logging.getLogger(__name__)

#: Characters of log and steps that wait for the database at most.
MOST_TEXT = 1024 * 1024
MOST_STEPS = 2000

#: Characters of output that the steps of an attempt keep in the database:
#: those that failed, and, apart from them, all others.
MOST_OUTPUT = 1024 * 1024

_LEFT_OUT = (
    f'(left out: the steps of an attempt keep {space.human(MOST_OUTPUT)} of '
    'output; the log has more)'
)
_LONGEST_TEXT = 4000
_LONGEST_NAME = 255
_PAUSE = 1.0
_LONGEST_PAUSE = 10.0
#: Seconds between two lines of the log that show how many bytes there are.
_BYTES_PAUSE = 10.0
_MOST_BYTES = 2**63 - 1
#: Of a boot test; a request can expect no more.
_MOST_FINDINGS = 200

#: Called with each finished step: validator and seconds.
OnStep = Callable[[str, str, float], None]


class EventRecorder:
    """Log, steps and progress of one attempt of a build.

    :param claim: what makes writing safe.
    :param max_log_size: bytes that the whole log may have.
    :param paths: takes those of this host out of everything.
    :param on_step: called with each finished step: type, result, seconds.
    :param on_boot_test: called with what came of a boot test: whether it has
        passed, and seconds.
    """

    def __init__(
        self,
        database: db.Database,
        claim: claims.Fence,
        *,
        max_log_size: int,
        paths: host_paths.HostPaths | None = None,
        on_step: OnStep = lambda _validator, _result, _seconds: None,
        on_boot_test: Callable[[bool, float], None] = lambda _passed, _s: None,
    ) -> None:
        self._database = database
        self._claim = claim
        self._max_log_size = max_log_size
        self._paths = paths or host_paths.HostPaths()
        self._on_step = on_step
        self._on_boot_test = on_boot_test
        self._lock = threading.Lock()
        self._text: collections.deque[str] = collections.deque()
        self._characters = 0
        self._dropped = 0
        self._steps: collections.deque[dict[str, Any]] = collections.deque(
            maxlen=MOST_STEPS
        )
        self._room: dict[str, int] = {}
        self._progress: dict[str, Any] = {}
        self._phases = phases.Phases()
        # Since 1970, but no faster and no slower when the clock is set.
        self._clock = time.time() - time.monotonic()
        self._bytes_noted = time.monotonic()
        self._pause = _PAUSE
        self._not_before = 0.0
        #: Paths of steps that reported themselves as failed.
        self.failed_paths: set[str] = set()
        #: Whether the base image was not in the cache.
        self.has_downloaded = False

    # -- in -----------------------------------------------------------------

    def note(self, message: str) -> None:
        """Add a line to the log."""
        self._append(f'{self._paths.hide(message)}\n')

    def expect(self, expected: Mapping[str, float]) -> None:
        """Keep how long the phases may take.

        :param expected: seconds by phase, see :func:`phases.expected`.
        """
        self._phases = dataclasses.replace(self._phases, expected=expected)

    def resume(self, found: Mapping[str, Any] | None) -> None:
        """Go on from the phases that are kept with the build."""
        self._phases = phases.Phases.from_dict(found)

    def complete(self) -> None:
        """The image is there: the last phase is over."""
        if self._phases.current:
            self._change_phases(self._phases.begun('', self._now()))
        self._set(progress_step='')

    def event(self, event: Mapping[str, Any]) -> None:
        """Take an event of a job; an invalid one is logged."""
        handler = _HANDLERS.get(str(event['event']))
        try:
            if handler is not None:
                handler(self, self._shown(event))
        except (KeyError, TypeError, ValueError) as error:
            LOG.warning('Invalid event %.200r: %r', event, error)

    def _shown(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """An event without paths of this host."""
        return {
            name: self._paths.hide(
                value,
                # A step of the image is never called by a path.
                of_host=name == 'path' and value.startswith('/'),
            )
            if isinstance(value, str)
            else value
            for name, value in event.items()
        }

    def _phase(self, event: Mapping[str, Any]) -> None:
        phase = str(event['phase'])
        if phase not in phases.ORDER:
            raise ValueError('an unknown phase')
        begun = self._phases.begun(phase, self._now())
        if 'parts' in event:
            part, parts = int(event['part']), int(event['parts'])
            begun = dataclasses.replace(begun, part=part, parts=parts)
        self._bytes_noted = time.monotonic()
        self._change_phases(begun)
        what = str(event.get('what') or '')
        self._set(progress_step=what[:_LONGEST_NAME])

    def _plan(self, event: Mapping[str, Any]) -> None:
        total = int(event['total'])
        self._set(progress_total=total, progress_done=0)
        self.note(counted(total, 'step'))

    def _step_started(self, event: Mapping[str, Any]) -> None:
        number, total = int(event['number']), int(event['total'])
        what = str(event.get('description') or event['validator'])
        self._set(
            progress_done=number - 1,
            progress_total=max(number, total),
            progress_step=what[:_LONGEST_NAME],
        )
        self.note(f'[{number}/{total}] {what}')

    def _output(self, event: Mapping[str, Any]) -> None:
        self.note(f'    {event["line"]}')

    def _notice(self, event: Mapping[str, Any]) -> None:
        self.note(str(event['message']))

    def _step_finished(self, event: Mapping[str, Any]) -> None:
        step = _step(event, self._claim.build.attempt)
        if step['result'] == 'failed':
            self.failed_paths.add(step['path'])
        self._limit_output(step)
        with self._lock:
            self._steps.append(step)
        self._set(progress_done=step['number'])
        self._on_step(step['validator'], step['result'], step['seconds'])
        message = f': {step["message"]}' if step['message'] else ''
        self.note(f'    {step["result"]}{message} ({step["seconds"]:.1f} s)')

    def _limit_output(self, step: dict[str, Any]) -> None:
        """Leave out the output of a step when others have kept enough.

        The one that failed is the one that is looked for: what those before
        have printed takes no room from it.
        """
        kind = 'failed' if step['result'] == 'failed' else ''
        left = self._room.get(kind, MOST_OUTPUT)
        if len(step['output']) > left:
            step['output'] = _LEFT_OUT
        else:
            self._room[kind] = left - len(step['output'])

    def _booted(self, event: Mapping[str, Any]) -> None:
        passed, seconds = event['passed'] is True, float(event['seconds'])
        found = {
            'passed': passed,
            'seconds': seconds,
            'reason': str(event['reason'])[:_LONGEST_TEXT],
            'findings': [
                {
                    'what': str(each['what'])[:_LONGEST_TEXT],
                    'holds': each['holds'] is True,
                    'message': str(each['message'])[:_LONGEST_TEXT],
                    'seconds': float(each['seconds']),
                }
                for each in event['findings'][:_MOST_FINDINGS]
            ],
            'telling': [
                str(line)[:_LONGEST_TEXT]
                for line in event['telling'][:_MOST_FINDINGS]
            ],
        }
        self._set(boot_test=found)
        self._on_boot_test(passed, seconds)
        how = 'as expected' if passed else 'not as expected'
        self.note(f'    it boots {how} ({seconds:.1f} s)')

    def _moved(self, event: Mapping[str, Any]) -> None:
        done, total = int(event['done']), int(event['total'])
        self.has_downloaded |= str(event.get('what')).startswith('download')
        self._change_phases(
            dataclasses.replace(
                self._phases,
                bytes_done=min(max(done, 0), _MOST_BYTES),
                bytes_total=min(max(total, 0), _MOST_BYTES),
            )
        )
        what = str(event.get('what') or '')
        self._set(progress_step=what[:_LONGEST_NAME])
        if total > 0 and time.monotonic() >= self._bytes_noted + _BYTES_PAUSE:
            self._bytes_noted = time.monotonic()
            self.note(
                f'    {what}: {space.human(done)} of {space.human(total)}'
            )

    def _now(self) -> float:
        return self._clock + time.monotonic()

    def _change_phases(self, changed: phases.Phases) -> None:
        self._phases = changed
        self._set(phases=changed.to_dict())

    def _set(self, **values: Any) -> None:
        with self._lock:
            self._progress.update(values)

    def _append(self, text: str) -> None:
        with self._lock:
            self._text.append(text)
            self._characters += len(text)
            while self._characters > MOST_TEXT and len(self._text) > 1:
                self._characters -= len(self._text.popleft())
                self._dropped += 1

    # -- out ----------------------------------------------------------------

    def flush(self) -> None:
        """Write what there is; without the database, keep it for later.

        :raises ClaimLost: the build is no longer ours.
        """
        if time.monotonic() < self._not_before:
            return
        try:
            self._write()
            self._pause = _PAUSE
        except exception.DatabaseUnavailable as error:
            LOG.warning('Build log not written yet: %s', error)
            self._not_before = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        except exception.NotFound as error:
            raise claims.ClaimLost('the build was deleted') from error

    def flush_last(self) -> None:
        """Write the rest at the end of an attempt, if that can be done now."""
        self._not_before = 0.0
        self.flush()

    def _write(self) -> None:
        build_id = self._claim.build.id
        text = self._take_text()
        if text:
            try:
                self._database.append_log(build_id, text, self._max_log_size)
            except exception.DatabaseUnavailable:
                self._put_back(text)
                raise
        # Each is removed once it is written, so that a failure keeps it.
        while self._steps:
            step = self._steps[0]
            self._database.add_step(build_id, step)
            with self._lock:
                # A full queue has dropped it when another came meanwhile.
                if self._steps and self._steps[0] is step:
                    self._steps.popleft()
        self._write_progress()

    def _write_progress(self) -> None:
        with self._lock:
            progress, self._progress = self._progress, {}
        if not progress:
            return
        try:
            self._claim.update(progress)
        except exception.DatabaseUnavailable:
            with self._lock:
                self._progress = {**progress, **self._progress}
            raise

    def _take_text(self) -> str:
        with self._lock:
            lines = list(self._text)
            if self._dropped:
                lines.insert(
                    0,
                    f'(without {counted(self._dropped, "line")}: the database '
                    'was unavailable)\n',
                )
            self._text.clear()
            self._characters = self._dropped = 0
        return ''.join(lines)

    def _put_back(self, text: str) -> None:
        with self._lock:
            self._text.appendleft(text)
            self._characters += len(text)


def _step(event: Mapping[str, Any], attempt: int) -> dict[str, Any]:
    def text(name: str, longest: int) -> str:
        return str(event.get(name) or '')[-longest:]

    return {
        'attempt': attempt,
        'number': int(event.get('number') or 0),
        'path': text('path', _LONGEST_NAME),
        'validator': text('validator', 64),
        'description': text('description', _LONGEST_NAME),
        'result': text('result', 32),
        'seconds': float(event.get('seconds') or 0),
        'message': text('message', _LONGEST_TEXT),
        'output': text('output', _LONGEST_TEXT),
    }


_HANDLERS: dict[str, Callable[[EventRecorder, Mapping[str, Any]], None]] = {
    'phase': EventRecorder._phase,
    'plan': EventRecorder._plan,
    'step_started': EventRecorder._step_started,
    'output': EventRecorder._output,
    'notice': EventRecorder._notice,
    'step_finished': EventRecorder._step_finished,
    'progress': EventRecorder._moved,
    'boot_test': EventRecorder._booted,
}
