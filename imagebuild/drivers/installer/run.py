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
"""Runs an installer in a machine, and reads what it says."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import secrets
import time
from collections.abc import Iterator

from imagebuild import exception
from imagebuild.boot import console
from imagebuild.boot import installation
from imagebuild.boot import machine
from imagebuild.boot import mirror_network
from imagebuild.common import os_errors
from imagebuild.common import space
from imagebuild.common.counts import counted
from imagebuild.disks import workspaces
from imagebuild.drivers import disk_monitor
from imagebuild.drivers.installer import answers
from imagebuild.drivers.installer import autoinstall
from imagebuild.drivers.installer import initrd
from imagebuild.drivers.installer import inputs
from imagebuild.drivers.installer import kickstart
from imagebuild.drivers.installer import options
from imagebuild.drivers.installer import preseed
from imagebuild.drivers.installer import settings
from imagebuild.drivers.installer import stages

#: Seconds between two looks at the clock.
_TICK = 1.0
#: Seconds for which the console is read on once it is known what is wrong.
_AFTERMATH = 3.0
#: Lines of the console in a message, and their length.
_SHOWN = 6
_LONGEST = 200
_ANSWERS = {
    'debian': preseed.answer,
    'redhat': kickstart.answer,
    'ubuntu': autoinstall.answer,
}


class InstallerFailed(exception.EnvironmentFault):
    """The installer did not come to its end, and nobody asked for that."""

    msg_fmt = 'The installer failed: %(reason)s'


class InstallationFailed(exception.StepError):
    """What was asked to be installed, or run at the end, failed."""

    msg_fmt = 'The installation failed: %(reason)s'


def word() -> str:
    """What the lines of the script at the end begin with."""
    return f'imagebuild-{secrets.token_hex(8)}'


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long it may take.

    :ivar timeout: seconds in all.
    :ivar silence: seconds without a byte on the console.
    """

    timeout: float
    silence: float


@dataclasses.dataclass(frozen=True)
class Run:
    """One installation.

    :ivar machine: how its machine is.
    :ivar limits: how long it may take.
    """

    options: options.InstallerOptions
    installer: settings.Installer
    machine: machine.MachineSettings
    limits: Limits
    workspace: workspaces.Workspace
    monitor: disk_monitor.DiskMonitor

    def install(self) -> pathlib.Path:
        """Do it.

        :returns: a raw disk, in the workspace.
        :raises InstallationFailed: what was asked for failed.
        :raises EnvironmentFault: the installer failed, this host, or the
            mirror.
        """
        request = answers.Request(self.options, self.installer, word())
        answer = _ANSWERS[self.installer.family](request)
        with self.monitor.step('check the installer'):
            found = inputs.gather(self.installer, self.workspace.path)
        with contextlib.ExitStack() as stack:
            network = self._network(stack)
            watch = Watch(request, self.limits, self.monitor, network)
            seed = self._written(answer, found)
            what = installation.Installation(
                found.kernel,
                found.initrd,
                ' '.join(answer.arguments),
                found.medium,
                network.descriptor if network else None,
            )
            try:
                with machine.Machine(
                    what,
                    self.machine,
                    self.workspace,
                    seed=seed,
                    label=answer.label,
                ) as running:
                    watch.watch(running)
            except machine.BootFailed as error:
                reason = f'{error.kwargs["reason"]}.'
                raise InstallerFailed(reason=reason) from error
            watch.check(self.workspace.path)
        return installation.disk_of(self.workspace.path)

    def _network(
        self, stack: contextlib.ExitStack
    ) -> mirror_network.MirrorNetwork | None:
        mirrors = [self.installer.mirror, *self.installer.more_mirrors]
        if not mirrors[0]:
            return None
        return stack.enter_context(
            mirror_network.opened(mirrors, self.workspace)
        )

    def _written(
        self, answer: answers.Answers, found: inputs.Inputs
    ) -> pathlib.Path | None:
        """Put the answers where the installer looks for them.

        :returns: a directory that is to be a disk; None for none.
        """
        with os_errors.on_write(found.initrd):
            if answer.in_initrd:
                with found.initrd.open('r+b') as stream:
                    stream.seek(0, 2)
                    initrd.append(stream, answer.in_initrd)
            if not answer.on_disk:
                return None
            directory = self.workspace.path / 'answers'
            directory.mkdir(mode=0o700)
            for name, content in answer.on_disk.items():
                (directory / name).write_bytes(content)
            return directory


class Watch:
    """What has been seen of one installation.

    :ivar stages: where it is.
    """

    def __init__(
        self,
        request: answers.Request,
        limits: Limits,
        monitor: disk_monitor.DiskMonitor,
        network: mirror_network.MirrorNetwork | None = None,
    ) -> None:
        self.stages = stages.Stages(request.installer.family, request.word)
        self._limits = limits
        self._monitor = monitor
        self._network = network
        self._problem = ''
        self._step = ''
        self._began = 0.0

    def watch(self, running: machine.Machine) -> None:
        """Read the console until the machine is off, or will never be.

        :raises BootFailed: QEMU failed.
        """
        reader = console.Console(self._line)
        start = heard = time.monotonic()
        deadline = start + self._limits.timeout
        with self._steps():
            while not self._problem:
                data = running.read(_TICK)
                now = time.monotonic()
                if data is None:
                    running.check()
                    self._problem = self._off()
                    break
                if data:
                    heard = now
                    reader.add(data)
                self._problem = self._wrong(now - heard, now > deadline)
            else:
                self._read_on(running, reader)
            if self._problem:
                self._finish_step(self._problem)

    def _read_on(
        self, running: machine.Machine, reader: console.Console
    ) -> None:
        """What comes next explains it."""
        end = time.monotonic() + _AFTERMATH
        while (left := end - time.monotonic()) > 0:
            data = running.read(left)
            if data is None:
                return
            reader.add(data)
        self._problem = self._wrong(0, False) or self._problem

    def _off(self) -> str:
        if self.stages.report.done:
            return ''
        return self._wrong(0, False) or (
            'the machine was switched off before the installation had ended'
        )

    def _wrong(self, silent: float, late: bool) -> str:
        """Why it will not end; '' while it may."""
        found = self.stages
        if found.report.failed:
            return (
                f'late command {found.report.failed} failed with exit code '
                f'{found.report.code}'
            )
        if found.fatal:
            return found.fatal
        if found.question:
            asked = found.question[: 4 * _LONGEST]
            return f'it stopped to ask ({asked})'
        if silent > self._limits.silence:
            return (
                'it hangs: it has written nothing for '
                f'{counted(self._limits.silence, "second")}'
            )
        if late:
            return (
                f'its time of {counted(self._limits.timeout, "second")} is up'
            )
        return ''

    def check(self, directory: pathlib.Path) -> None:
        """Raise what stopped it.

        :param directory: where its disk is.
        :raises InstallationFailed: what was asked for failed.
        :raises InstallerFailed: anything else.
        :raises DiskFull: this host has no room.
        """
        if not self._problem:
            return
        if space.free(directory) < space.FULL:
            raise exception.DiskFull(path=directory)
        said = self._network.said() if self._network else []
        reason = f'{self._problem}, at the stage "{self.stages.stage}".'
        if running := self.stages.report.running:
            reason = f'{self._problem}, while late command {running} ran.'
        lines = self.stages.shown()
        if lines:
            shown = '; '.join(each[:_LONGEST] for each in lines)
            reason += f' The console says: {shown}.'
        if said:
            reason += f' The mirror: {"; ".join(said[-_SHOWN:])}.'
        failed = self._network.failed if self._network else ''
        if failed:
            reason += (
                ' The proxy that leads to its mirrors was not there to the '
                f'end: {failed}.'
            )
        if not failed and self._is_of_request(said):
            raise InstallationFailed(reason=reason)
        raise InstallerFailed(reason=reason)

    def _is_of_request(self, said: list[str]) -> bool:
        """Whether another attempt would fail the same way."""
        report = self.stages.report
        if report.failed or report.running:
            return True
        # Packages that the mirror does not have are asked for by name: what
        # it has refused is the mirror's.
        return (
            bool(self.stages.question)
            and self.stages.stage in (stages.PACKAGES, stages.FINISH)
            and not said
        )

    def _line(self, line: str, whole: bool) -> None:
        before = self.stages.stage
        is_for_people = self.stages.add(line, whole)
        if self.stages.stage != before:
            self._finish_step('')
            self._begin_step()
        if whole and is_for_people and line.strip():
            self._monitor.output(line.rstrip())

    @contextlib.contextmanager
    def _steps(self) -> Iterator[None]:
        self._begin_step()
        try:
            yield
        except BaseException as error:
            self._finish_step(str(error) or type(error).__name__)
            raise
        self._finish_step('')

    def _begin_step(self) -> None:
        self._step = self.stages.stage
        self._began = time.monotonic()
        self._monitor.step_started(self._step)

    def _finish_step(self, error: str) -> None:
        if self._step:
            name, self._step = self._step, ''
            seconds = time.monotonic() - self._began
            self._monitor.step_finished(name, seconds, error)
