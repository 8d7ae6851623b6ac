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
"""Boots an image and waits for what is expected of it."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO

from imagebuild.boot import console
from imagebuild.boot import expectations
from imagebuild.boot import machine
from imagebuild.boot import running as machines
from imagebuild.boot import seed
from imagebuild.boot import signs
from imagebuild.common import boot_tests
from imagebuild.common import space
from imagebuild.common.counts import counted
from imagebuild.disks import workspaces

#: Seconds; an emulated machine takes ten times what others take.
TIMEOUT = 600.0
#: Seconds between two looks at the clock.
_TICK = 1.0
#: Seconds for which the console is read on once it is known why the machine
#: does not come up: what comes next explains it.
_AFTERMATH = 3.0
#: Characters of the console in a message.
_SHOWN = 4000


@dataclasses.dataclass(frozen=True)
class BootSpec:
    """What is booted, and what for.

    :ivar settings: of the machine.
    :ivar wanted: what is expected.
    :ivar timeout: seconds until it must hold.
    :ivar screenshot: a file for what the screen shows at the end, as PNG.
    :ivar seed: where its cloud-init finds what is asked inside, for people.
    """

    settings: machine.MachineSettings = machine.MachineSettings()
    wanted: expectations.Expectations = expectations.Expectations()
    timeout: float = TIMEOUT
    screenshot: BinaryIO | None = None
    seed: str = 'a NoCloud disk'


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How it went.

    :ivar findings: one for each thing that was expected.
    :ivar reason: why it did not come up, '' when it did, or nothing is known.
    :ivar telling: lines of the console that say why.
    :ivar console: the end of the console, cleaned.
    :ivar seconds: from the start of the machine to the end of the test.
    """

    findings: tuple[expectations.Finding, ...]
    reason: str
    telling: tuple[str, ...]
    console: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether all that was expected holds."""
        return all(finding.holds for finding in self.findings)

    def describe(self) -> str:
        """Why it failed, in a sentence; '' when it did not."""
        if self.passed:
            return ''
        failed = '; '.join(
            f'{finding.what}: {finding.message}'
            for finding in self.findings
            if not finding.holds
        )
        return f'{self.reason} ({failed})' if self.reason else failed


def run(
    image: machine.BootImage,
    spec: BootSpec,
    workspace: workspaces.Workspace,
    *,
    file: BinaryIO | None = None,
    on_line: Callable[[str], object] = lambda _line: None,
) -> Outcome:
    """Boot an image on a throw-away overlay.

    :param image: is only read.
    :param spec: what is expected.
    :param workspace: for the overlay; with its end nothing is left.
    :param file: gets what the console writes.
    :param on_line: is given its lines, cleaned, for people to watch.
    :raises BootFailed: the machine could not be run.
    :raises MissingDependency: a program is not installed.
    :raises DiskFull: there is no room for what the machine writes.
    """
    test = _BootTest(spec, on_line)
    directory = None
    if test.wanted.asks_inside:
        directory = workspace.path / 'seed'
        seed.write(directory, test.word, test.wanted)
    with machine.Machine(
        image, spec.settings, workspace, seed=directory, label=seed.LABEL
    ) as running:
        test.watch(running, file)
        test.is_full = running.has_written_all
        if spec.screenshot and not test.is_off:
            spec.screenshot.write(running.screenshot())
    return test.outcome()


def run_elsewhere(
    start: Callable[[str], AbstractContextManager[machines.Running]],
    spec: BootSpec,
    *,
    on_line: Callable[[str], object] = lambda _line: None,
) -> Outcome:
    """Boot an image in a machine that somebody else runs.

    :param start: given the user data of its cloud-init, '' for none; the
        machine is there within the block.
    :param spec: what is expected.
    :param on_line: as of :func:`run`.
    :raises ImageBuildError: as ``start`` and the machine raise it.
    """
    test = _BootTest(spec, on_line)
    data = ''
    if test.wanted.asks_inside:
        data = seed.user_data(test.word, test.wanted, seed.READ_LATER)
    with start(data) as running:
        test.watch(running, None)
    return test.outcome()


class _BootTest:
    """One test: what has been seen so far.

    :ivar word: begins the lines of the script in the machine.
    :ivar is_off: whether the machine has ended.
    :ivar is_full: whether it has written as much as it may.
    """

    def __init__(
        self, spec: BootSpec, on_line: Callable[[str], object]
    ) -> None:
        self.wanted = spec.wanted.or_login()
        self.word = f'imagebuild-{secrets.token_hex(8)}'
        self.is_off = False
        self.is_full = False
        self._spec = spec
        self._on_line = on_line
        self._report = seed.Report(self.word)
        self._signs = signs.Signs()
        self._seen: dict[str, float] = {}
        self._console = console.Console(self._line)
        self._start = time.monotonic()
        self._end = self._start

    def watch(self, running: machines.Running, file: BinaryIO | None) -> None:
        """Read the console until all is known, or the time is up."""
        self._start = time.monotonic()
        self._console = console.Console(self._line, file)
        deadline = self._start + self._spec.timeout + running.lag
        while not self._is_done() and time.monotonic() < deadline:
            data = running.read(min(_TICK, deadline - time.monotonic()))
            if data is None:
                self.is_off = True
                running.check()
                break
            self._console.add(data)
            if self._signs.fatal:
                # Once: what comes after the first such line belongs to it.
                end = time.monotonic() + _AFTERMATH + running.lag
                deadline = min(deadline, end)
                self._read_on(running, deadline)
                break
        self._end = time.monotonic()
        rest = self._console.rest
        if rest and self.word not in rest:
            self._on_line(rest)

    def _read_on(self, running: machines.Running, deadline: float) -> None:
        while (left := deadline - time.monotonic()) > 0:
            data = running.read(left)
            if data is None:
                self.is_off = True
                return
            self._console.add(data)

    def _is_done(self) -> bool:
        inside = self._report.ended or not self.wanted.asks_inside
        return inside and set(self.wanted.console) <= self._seen.keys()

    def _line(self, line: str, whole: bool) -> None:
        if whole and self._report.add(line):
            return
        for text in self.wanted.console:
            if text in line:
                self._seen.setdefault(text, time.monotonic() - self._start)
        self._signs.add(line, whole)
        if whole:
            self._on_line(line)

    def outcome(self) -> Outcome:
        """What is known at the end."""
        seconds = self._end - self._start
        shown = [
            expectations.Finding(
                f'"{text}" on the console',
                text in self._seen,
                '' if text in self._seen else 'it was not there',
                self._seen.get(text, seconds),
            )
            for text in self.wanted.console
        ]
        inside = self._report.findings(self.wanted, seconds)
        return Outcome(
            findings=(*shown, *inside),
            reason=self._reason(),
            telling=self._signs.lines,
            console=self._shown_console(),
            seconds=seconds,
        )

    def _shown_console(self) -> str:
        """The end of the console, without the report in it."""
        lines = self._console.tail[-_SHOWN:].splitlines()
        return '\n'.join(line for line in lines if self.word not in line)

    def _reason(self) -> str:
        if self._is_done():
            return ''
        reason = self._why_not_up()
        if self.is_full:
            most = space.human(self._spec.settings.written)
            reason += f'; it has written {most}, which is all that it may'
        return reason

    def _why_not_up(self) -> str:
        if self._signs.fatal:
            return self._signs.fatal
        if self.is_off:
            return 'the machine switched itself off'
        reason = f'the time of {counted(self._spec.timeout, "second")} is up'
        if self.wanted.asks_inside and not self._report.ended:
            # It may have come up, and have nobody who runs the script.
            if boot_tests.LOGIN in self._console.tail:
                reason += (
                    ', and there is a login prompt: the image may have no '
                    f'cloud-init, or one that does not take {self._spec.seed}'
                )
        return reason
