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

from imagebuild import manifest
from imagebuild.cmd import live_line
from imagebuild.common import transfer_progress


class ConsoleMonitor(manifest.Monitor):
    """Prints progress on standard error.

    :param verbose: also every line that commands print.
    :param prefix: what is before each line, where there are several monitors:
        then there is no live line.
    """

    def __init__(self, *, verbose: bool = False, prefix: str = '') -> None:
        self.notices: list[str] = []
        self._verbose = verbose
        self._line = live_line.LiveLine()
        self._live = self._line.live and not verbose and not prefix
        self._prefix = f'{prefix}: ' if prefix else ''

    def doing(self, what: str) -> None:
        """Show what is going on outside of the steps, such as a start."""
        if self._live:
            self._line.show(what)
        else:
            self._print(f'{what} ...')

    def moved(self, what: str, done: int, total: int) -> None:
        """Show how much of a transfer is done, where there is a live line.

        :param what: as :meth:`doing` was told.
        :param done: bytes done.
        :param total: bytes in all, 0 when that is not known.
        """
        if self._live:
            count = transfer_progress.moved(done, total or None)
            self._line.show(what, count=count)

    def notice(self, message: str) -> None:
        self.notices.append(message)
        self._print(message)

    def step_started(self, step: manifest.RunningStep) -> None:
        if self._live:
            self._line.show(self._head(step))
        elif step.trial and self._verbose:
            self._print(f'    trying {step.path}: {step.description}')

    def output(
        self, step: manifest.RunningStep, stream: str, line: str
    ) -> None:
        if self._verbose:
            self._print(f'    | {line}')
        elif self._live and line.strip():
            self._line.show(self._head(step), line.strip())

    def step_finished(
        self, step: manifest.RunningStep, result: manifest.StepReport
    ) -> None:
        if step.trial:
            return
        message = f' - {result.message}' if result.message else ''
        self._print(
            f'{self._head(step)}: {result.result} '
            f'({result.seconds:.1f} s){message}'
        )

    def _print(self, text: str) -> None:
        self._line.print(self._prefix + text)

    @staticmethod
    def _head(step: manifest.RunningStep) -> str:
        return f'[{step.number}/{step.total}] {step.description}'

    def close(self) -> None:
        """Take the live line away."""
        self._line.close()
