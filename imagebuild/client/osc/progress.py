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
"""Showing how a build goes, on standard error, and how it failed."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from osc_lib import exceptions as osc_exceptions
from rich import console as rich_console
from rich import progress as rich_progress

from imagebuild import control_characters
from imagebuild.client import builds
from imagebuild.client import exceptions
from imagebuild.client import records
from imagebuild.client.osc import terminal

#: Characters of a step that fit beside the bar.
_WIDTH = 60
#: Lines of a failed step's output that are shown.
TAIL = 6


class Display:
    """A live line on a terminal, a plain line for each change elsewhere.

    :param live: whether to use a live line; default: on a terminal.
    """

    def __init__(self, *, live: bool | None = None) -> None:
        self._console = rich_console.Console(
            stderr=True, highlight=False, soft_wrap=True
        )
        self._last = ''
        self._bar: rich_progress.Progress | None = None
        if live is None:
            live = sys.stderr.isatty() and self._console.is_interactive
        if live:
            self._bar = rich_progress.Progress(
                rich_progress.SpinnerColumn(),
                rich_progress.TextColumn('{task.fields[status]}'),
                rich_progress.BarColumn(bar_width=20),
                rich_progress.TextColumn('{task.fields[count]}'),
                rich_progress.TimeElapsedColumn(),
                # Words of the service, not of ours: no markup.
                rich_progress.TextColumn('{task.description}', markup=False),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task(
                '', total=None, status='', count=''
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, build: records.Build) -> None:
        """Tell how far a build is."""
        progress = build.progress
        if self._bar is not None:
            self._update(self._bar, build)
            return
        steps = (
            f' [{progress.done}/{progress.total}]' if progress.total else ''
        )
        what = f' {progress.step}' if progress.step else ''
        line = control_characters.escaped(f'{build.status}{steps}{what}')
        if line != self._last:
            self._last = line
            self._console.print(line, markup=False)

    def _update(
        self, bar: rich_progress.Progress, build: records.Build
    ) -> None:
        done, total = build.progress.done, build.progress.total
        what = control_characters.escaped(
            build.progress.step or build.status_reason
        )
        bar.update(
            self._task,
            status=build.status,
            # After the last step the image is still converted and uploaded:
            # the bar is full when the build has ended.
            completed=done if build.status == 'active' else done * 0.9,
            total=total or None,
            count=f'{done}/{total}' if total else '',
            description=(
                what if len(what) <= _WIDTH else f'{what[: _WIDTH - 1]}…'
            ),
        )

    def write(self, text: str) -> None:
        """Print a part of the log as it is."""
        terminal.safe(sys.stderr).write(text)
        sys.stderr.flush()


def check(manager: builds.BuildManager, build: records.Build) -> None:
    """Pass when a build that has ended became an image.

    :raises CommandError: it did not; the program ends with 1.
    """
    if build.status != 'active':
        raise osc_exceptions.CommandError(failure(manager, build))


def failure(manager: builds.BuildManager, build: records.Build) -> str:
    """Say why a build did not become an image.

    :returns: the end of what the failed step printed, and then the reason:
        what comes last is what people see first.
    """
    reason = f'The build {build.id} ("{build.name}") ended in {build.status}'
    if build.fault:
        reason += f' (fault: {build.fault})'
    reason += f': {build.status_reason}' if build.status_reason else '.'
    lines = [reason]
    step = _failed_step(manager, build)
    if step is not None:
        lines = [*_printed(step), *_said(step, build), *lines]
    if build.status == 'error':
        lines.append(f'The whole log: openstack image build log {build.id}')
    return control_characters.escaped('\n'.join(lines), layout=True)


def _printed(step: records.Step) -> list[str]:
    output = step.output.splitlines()
    if not output:
        return []
    tail = [f'    {line}' for line in output[-TAIL:]]
    return [f'The end of what step {step.number} printed:', *tail]


def _said(step: records.Step, build: records.Build) -> list[str]:
    """What the step adds to the reason, if anything."""
    if step.path in build.status_reason and (
        step.message in build.status_reason
    ):
        return []
    return [
        f'Step {step.number}, {step.path} ({step.validator}), failed: '
        f'{step.message}'
    ]


def _failed_step(
    manager: builds.BuildManager, build: records.Build
) -> records.Step | None:
    if build.status != 'error':
        return None
    try:
        steps = manager.steps(build.id)
    except exceptions.ClientError:
        # The reason is worth more than the reason why it has no details.
        return None
    last = max((step.attempt for step in steps), default=0)
    return next(
        (
            step
            for step in reversed(steps)
            if step.attempt == last and step.result == 'failed'
        ),
        None,
    )
