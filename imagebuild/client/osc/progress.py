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
import time
from types import TracebackType
from typing import Self
from typing import TextIO

import rich.console
import rich.progress
from rich import table
from rich import text

from imagebuild.client import builds
from imagebuild.client import exceptions
from imagebuild.client import records
from imagebuild.client.osc import progress_text
from imagebuild.client.osc import terminal
from imagebuild.common import control_characters

#: Lines of a failed step's output that are shown.
TAIL = 6


class _Clock(rich.progress.ProgressColumn):
    """The time since the build began; it runs between two looks, too."""

    def render(self, task: rich.progress.Task) -> text.Text:
        since = task.fields['since']
        if since is None:
            return text.Text('')
        return text.Text(progress_text.clock(time.monotonic() - since))


class _Left(rich.progress.ProgressColumn):
    """About how long it still takes, less with every second."""

    def render(self, task: rich.progress.Task) -> text.Text:
        until = task.fields['until']
        left = None if until is None else until - time.monotonic()
        return text.Text(progress_text.left(left))


def _columns() -> list[rich.progress.ProgressColumn]:
    # Texts of the service may hold brackets: no markup. On a narrow terminal
    # the name of the step is cut before all else.
    name = table.Column(ratio=1, no_wrap=True, overflow='ellipsis')
    return [
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn('{task.fields[status]}', markup=False),
        rich.progress.BarColumn(bar_width=20),
        rich.progress.TextColumn('{task.fields[percent]}'),
        _Clock(),
        _Left(),
        rich.progress.TextColumn('{task.fields[count]}', markup=False),
        rich.progress.TextColumn(
            '{task.description}', markup=False, table_column=name
        ),
    ]


class Display:
    """A live line on a terminal, a plain line for each change elsewhere.

    :param live: whether to use a live line; default: on a terminal.
    :ivar live: whether there is a live line.
    """

    def __init__(self, *, live: bool | None = None) -> None:
        self._console = rich.console.Console(
            stderr=True, highlight=False, soft_wrap=True
        )
        self._last: tuple[object, ...] = ()
        self._bar: rich.progress.Progress | None = None
        self._counts = False
        if live is None:
            live = sys.stderr.isatty() and self._console.is_interactive
        self.live = live
        if live:
            self._bar = rich.progress.Progress(
                *_columns(),
                console=self._console,
                transient=True,
                expand=True,
                # What a command prints is nothing for this console.
                redirect_stdout=False,
            )
            self._task = self._bar.add_task(
                '', total=None, status='', count='', percent='',
                since=time.monotonic(), until=None,
            )  # fmt: skip

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
        """Show how far a build is."""
        if self._bar is not None:
            self._update(self._bar, build)
            return
        progress = build.progress
        now = (
            build.status, progress.phase, progress.done, progress.total,
            progress.step,
        )  # fmt: skip
        # Bytes and seconds alone are not worth a line.
        if now != self._last:
            self._last = now
            line = control_characters.escaped(progress_text.line(build))
            self._console.print(line, markup=False)

    def tell(self, status: str, what: str) -> None:
        """Show how something is that has no steps and phases.

        :param status: of what is waited for.
        :param what: which one that is, or how far it is.
        """
        text = control_characters.escaped(f'{status} {what}')
        if self._bar is not None:
            self._bar.update(self._task, description=text)
        elif self._last != (text,):
            self._last = (text,)
            self._console.print(text, markup=False)

    def _update(
        self, bar: rich.progress.Progress, build: records.Build
    ) -> None:
        progress = build.progress
        percent = progress_text.percent(build)
        if build.status == 'queued':
            percent = None
        what = ' '.join(
            filter(
                None,
                [
                    progress_text.moved(progress),
                    progress.step or build.status_reason,
                ],
            )
        )
        bar.update(
            self._task,
            status=control_characters.escaped(progress_text.status(build)),
            completed=percent or 0,
            total=None if percent is None else 100,
            percent='' if percent is None else f'{percent} %',
            count=progress_text.steps(progress),
            since=self._since(bar, build),
            until=(
                None
                if progress.remaining is None
                else time.monotonic() + progress.remaining
            ),
            description=control_characters.escaped(what),
        )

    def _since(
        self, bar: rich.progress.Progress, build: records.Build
    ) -> float | None:
        """When the build began, by our clock.

        The service counts whole seconds: a clock that stands there runs on.
        """
        before: float | None = bar.tasks[0].fields['since']
        if build.progress.elapsed is None:
            return before
        since = time.monotonic() - build.progress.elapsed
        if self._counts and before is not None and abs(since - before) < 2:
            return before
        # Before a conductor claimed it, the clock showed the time waited.
        self._counts = True
        return since

    def write(self, text: str, stream: TextIO | None = None) -> None:
        """Print a part of the log as it is.

        :param stream: where to; default: standard error.
        """
        if self._bar is not None:
            # It would be drawn into the text.
            self._bar.stop()
        stream = terminal.safe(stream or sys.stderr)
        stream.write(text)
        stream.flush()
        # Not in the middle of a line: the bar would overwrite it.
        if self._bar is not None and text.endswith('\n'):
            self._bar.start()


def tell_reuse(build: records.Build) -> None:
    """Say so where a build has the image of another one."""
    if build.reused_from:
        terminal.safe(sys.stderr).write(
            f'Nothing was built: the image of the build {build.reused_from} '
            'has the same content and is reused.\n'
        )
        sys.stderr.flush()


def check(manager: builds.BuildManager, build: records.Build) -> None:
    """Pass when a build that has ended became an image.

    :raises BuildFailed: it did not.
    """
    code = exit_code(build)
    if code:
        raise terminal.BuildFailed(failure(manager, build), code)


def exit_code(build: records.Build) -> int:
    """Return what a command that waited for a build ends with.

    The codes of our other programs: 0 when there is an image, 3 for a fault
    of the service, else 1.
    """
    if build.status == 'active':
        return 0
    return 3 if build.fault == 'service' else 1


def failure(manager: builds.BuildManager, build: records.Build) -> str:
    """Return a message: why a build did not become an image.

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
        lines = [*_printed(step), *_step_message(step, build), *lines]
    if build.status == 'error':
        lines.append(f'The whole log: openstack image build log {build.id}')
    return control_characters.escaped('\n'.join(lines), layout=True)


def _printed(step: records.Step) -> list[str]:
    output = step.output.splitlines()
    if not output:
        return []
    tail = [f'    {line}' for line in output[-TAIL:]]
    return [f'The end of what step {step.number} printed:', *tail]


def _step_message(step: records.Step, build: records.Build) -> list[str]:
    """Return the line of the step, if the reason does not have it."""
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
        # The reason of the build is worth more than this error.
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
