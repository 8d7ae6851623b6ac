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
"""One line on a terminal that shows what is going on, with a clock."""

from __future__ import annotations

import sys
import time

import rich.console
import rich.progress
from rich import table
from rich import text

from imagebuild.common import control_characters


class _Clock(rich.progress.ProgressColumn):
    """The time since this began; it runs while nothing is printed."""

    def render(self, task: rich.progress.Task) -> text.Text:
        seconds = max(int(time.monotonic() - task.fields['since']), 0)
        minutes = f'{seconds // 60}:{seconds % 60:02}'
        return text.Text(minutes, style='progress.elapsed')


class LiveLine:
    """What is going on, for as long as it does.

    :ivar live: whether standard error is a terminal that can do it; else
        :meth:`show` does nothing, and whoever has the line prints.
    """

    def __init__(self) -> None:
        # It moves the cursor, which an escaping stream would show.
        self._console = rich.console.Console(
            file=control_characters.raw_stream(sys.stderr),
            highlight=False,
            soft_wrap=True,
        )
        self.live = sys.stderr.isatty() and self._console.is_interactive
        self._progress: rich.progress.Progress | None = None
        self._what = ''

    def print(self, text: str) -> None:
        """Print a text above the line; control characters are escaped."""
        text = control_characters.escaped(text, layout=True)
        self._console.print(text, markup=False)

    def show(self, what: str, detail: str = '', *, count: str = '') -> None:
        """Show what is going on.

        :param what: the clock starts when this changes.
        :param detail: the end of the line, cut where the terminal ends.
        :param count: how much of it is done; before all else, so that it is
            seen on a narrow terminal, too.
        """
        if not self.live:
            return
        line = control_characters.escaped(f'{count} {what}  {detail}'.strip())
        if self._progress is None:
            self._progress = self._made()
            self._progress.add_task(line, total=None, since=time.monotonic())
            self._progress.start()
        else:
            [task] = self._progress.tasks
            if what != self._what:
                task.fields['since'] = time.monotonic()
            self._progress.update(task.id, description=line)
        self._what = what

    def _made(self) -> rich.progress.Progress:
        cut = table.Column(ratio=1, no_wrap=True, overflow='ellipsis')
        return rich.progress.Progress(
            rich.progress.SpinnerColumn(),
            _Clock(),
            rich.progress.TextColumn(
                '{task.description}', markup=False, table_column=cut
            ),
            console=self._console,
            transient=True,
            expand=True,
            # Reports go to standard output as they are.
            redirect_stdout=False,
            # And what others print on standard error stays escaped.
            redirect_stderr=False,
        )

    def close(self) -> None:
        """Take the line away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
