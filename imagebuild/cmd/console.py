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
"""Progress for people: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys

from rich import console as rich_console
from rich import markup
from rich import status as rich_status

from imagebuild import control_characters
from imagebuild import manifest


class ConsoleMonitor(manifest.Monitor):
    """Prints progress on standard error.

    :param verbose: also every line that commands print.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self.notices: list[str] = []
        self._verbose = verbose
        # It moves the cursor, which an escaping stream would show.
        self._console = rich_console.Console(
            file=control_characters.raw_stream(sys.stderr),
            highlight=False,
            soft_wrap=True,
        )
        self._live = sys.stderr.isatty() and not verbose
        self._status: rich_status.Status | None = None

    def _print(self, text: str) -> None:
        text = control_characters.escaped(text, layout=True)
        self._console.print(text, markup=False)

    def doing(self, what: str) -> None:
        """Show what is going on outside of the steps, such as a start."""
        what = control_characters.escaped(what)
        if not self._live:
            self._print(f'{what} ...')
        elif self._status is None:
            self._status = self._console.status(markup.escape(what))
            self._status.start()
        else:
            self._status.update(markup.escape(what))

    def notice(self, sentence: str) -> None:
        self.notices.append(sentence)
        self._print(sentence)

    def step_started(self, step: manifest.Step) -> None:
        if self._live:
            self.doing(self._head(step))
        elif step.trial and self._verbose:
            self._print(f'    trying {step.path}: {step.description}')

    def output(self, step: manifest.Step, stream: str, line: str) -> None:
        if self._verbose:
            self._print(f'    | {line}')
        elif self._live and line.strip():
            self.doing(f'{self._head(step)}  {line.strip()[:70]}')

    def step_finished(
        self, step: manifest.Step, result: manifest.StepReport
    ) -> None:
        if step.trial:
            return
        told = f' - {result.message}' if result.message else ''
        self._print(
            f'{self._head(step)}: {result.result} '
            f'({result.seconds:.1f} s){told}'
        )

    @staticmethod
    def _head(step: manifest.Step) -> str:
        return f'[{step.number}/{step.total}] {step.description}'

    def close(self) -> None:
        """Take the live line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None
