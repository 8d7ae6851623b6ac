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
"""What a plugin prints while it works, as lines of its step.

A plugin runs commands through its remote, may print, and may log. All of it
belongs into the log of a build, without the values of hidden arguments, and
none of it onto the standard output, where reports go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from imagebuild import manifest
from imagebuild.common.counts import counted
from imagebuild.manifest import hiding
from imagebuild.manifest import output_lines
from imagebuild.recipes import base
from imagebuild.recipes import capture

#: Characters of output that a report has.
_TAIL = 4000


class Output:
    """Takes what a plugin prints.

    :param monitor: is given the lines.
    :param step: whose they are.
    :param secrets: values that are not shown.
    """

    def __init__(
        self,
        monitor: manifest.Monitor,
        step: manifest.RunningStep,
        secrets: Iterable[str],
    ) -> None:
        self._monitor = monitor
        self._step = step
        self._secrets = hiding.Secrets(secrets)
        self._cutter = output_lines.LineCutter(self._line)
        self._tail = ''

    @property
    def tail(self) -> str:
        """The end of the output."""
        return self._tail.rstrip('\n')

    def mask(self, text: str) -> str:
        """A text without the secrets."""
        return self._secrets.hide(text)

    def add(self, stream: capture.Stream, text: str) -> None:
        """Take a piece."""
        self._cutter.add(stream, text)

    def flush(self) -> None:
        """Pass on what did not end with a newline."""
        self._cutter.flush()

    def _line(self, stream: capture.Stream, line: str, dropped: int) -> None:
        line = self.mask(line)
        if dropped:
            line += f' [{counted(dropped, "more character")}]'
        self._tail = f'{self._tail}{line}\n'[-_TAIL:]
        # The monitor prints as well, and not into its own input.
        with capture.passing():
            self._monitor.output(self._step, stream, line)

    @contextlib.contextmanager
    def collecting(self, package: str) -> Iterator[None]:
        """Take what is printed and logged as long as the block lasts.

        :param package: whose loggers are listened to.
        """
        try:
            with capture.collecting(self.add, package):
                yield
        finally:
            self.flush()


class WatchedRemote:
    """A Remote; what commands print goes to one more place.

    :param remote: the Remote.
    :param output: where to.
    """

    def __init__(self, remote: base.Remote, output: Output) -> None:
        self._remote = remote
        self._output = output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._remote, name)

    def run(self, argv: Any, **options: Any) -> Any:
        """See the Remote's own."""
        return self._remote.run(argv, **self._watched(options))

    def run_script(self, content: bytes, **options: Any) -> Any:
        """See the Remote's own."""
        return self._remote.run_script(content, **self._watched(options))

    def _watched(self, options: dict[str, Any]) -> dict[str, Any]:
        theirs = options.get('on_output')

        def on_output(stream: capture.Stream, text: str) -> None:
            self._output.add(stream, text)
            if theirs is not None:
                theirs(stream, text)

        return {**options, 'on_output': on_output}
