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
"""The boot test of a build: its finished image is booted once.

A file in a machine of this host, and what a cloud has made by its driver.
After the driver has written it, since nobody boots anything else, and before
it is kept or uploaded: what does not boot is never anybody's image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import pathlib
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any
from typing import get_args

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.boot import availability
from imagebuild.boot import boot_test
from imagebuild.boot import expectations
from imagebuild.boot import firmware
from imagebuild.boot import machine
from imagebuild.boot import running
from imagebuild.common import boot_tests
from imagebuild.common import phases
from imagebuild.common import space
from imagebuild.disks import workspaces
from imagebuild.drivers import settings
from imagebuild.job import channel
from imagebuild.job import job_monitor
from imagebuild.job import limits
from imagebuild.job import specs

#: Seconds between two looks whether another machine has ended.
_LOOK = 0.5
#: Bytes that a machine may write, or it is not started.
_LEAST = space.GIB
#: Characters of its console in the log of the build. Then only its end.
_LOGGED = 1024 * 1024
_LAST_LINES = 50
#: Our names of formats -> QEMU's.
_FORMATS: Mapping[artifacts.OutputFormat, str] = {'vhd': 'vpc'}

#: Starts a machine elsewhere, given the user data of its cloud-init.
Start = Callable[[str], AbstractContextManager[running.Running]]


@dataclasses.dataclass(frozen=True)
class _Image:
    """A finished file; see :class:`machine.BootImage`."""

    path: pathlib.Path
    format: str
    virtual_size: int


def missing() -> dict[str, list[str]]:
    """What this host lacks to boot images, by the firmware."""
    return {
        name: availability.missing(name)
        for name in get_args(firmware.Firmware)
    }


def run(
    spec: specs.BuildSpec,
    made: artifacts.Artifact,
    events: channel.Events,
    monitor: job_monitor.JobMonitor,
    deadline: limits.Deadline,
    start: Start | None = None,
) -> None:
    """Boot the image if the request wants it; sends what came of it.

    :param made: what the driver has made.
    :param start: has it boot elsewhere, where the driver does so.
    :raises BootTestFailed: it does not boot as expected.
    :raises BuildTimeout: the time of the build is up.
    :raises EnvironmentFault: the machine could not be run.
    """
    wanted = spec.request.get(boot_tests.FIELD)
    if not wanted:
        return
    monitor.enter(phases.BOOT_TEST)
    if start is not None:
        outcome = _elsewhere(start, wanted, monitor, deadline)
    elif isinstance(made, artifacts.FileArtifact):
        outcome = _here(spec, made, wanted, monitor, deadline)
    else:
        # The request was to be refused.
        raise exception.InvalidInput(
            'An image that a cloud has made is not booted here.'
        )
    if not outcome.passed:
        deadline.left()
    events.send('boot_test', **_document(outcome))
    if not outcome.passed:
        raise exception.BootTestFailed(reason=_reason(outcome))


def _elsewhere(
    start: Start,
    wanted: Mapping[str, Any],
    monitor: job_monitor.JobMonitor,
    deadline: limits.Deadline,
) -> boot_test.Outcome:
    """Boot it in a machine of a cloud, which has its own limits."""
    monitor.begin('booting the image')
    log = _Log(monitor)
    outcome = boot_test.run_elsewhere(
        start,
        boot_test.BootSpec(
            wanted=_expected(wanted),
            timeout=_timeout(wanted, deadline),
            seed='the user data of a server',
        ),
        on_line=log.add,
    )
    log.end(outcome)
    return outcome


def _here(
    spec: specs.BuildSpec,
    made: artifacts.FileArtifact,
    wanted: Mapping[str, Any],
    monitor: job_monitor.JobMonitor,
    deadline: limits.Deadline,
) -> boot_test.Outcome:
    """Boot it in a machine of this host, when there is a place for one."""
    config = spec.config.get('boot_test') or {}
    with _place(config, monitor, deadline):
        monitor.begin('booting the image')
        wanted = {**wanted, 'timeout': _timeout(wanted, deadline)}
        return _booted(spec, made, wanted, config, monitor)


def _timeout(wanted: Mapping[str, Any], deadline: limits.Deadline) -> float:
    return min(float(wanted['timeout']), deadline.left() or float('inf'))


def _booted(
    spec: specs.BuildSpec,
    made: artifacts.FileArtifact,
    wanted: Mapping[str, Any],
    config: Mapping[str, Any],
    monitor: job_monitor.JobMonitor,
) -> boot_test.Outcome:
    host = settings.Settings.from_config(spec.config)
    space.check(spec.workspace, _LEAST + host.space_reserve)
    most = int(config.get('max_written') or 4) * space.GIB
    image = _Image(
        made.path, _FORMATS.get(made.format, made.format), made.virtual_size
    )
    room = space.free(spec.workspace) - host.space_reserve
    log = _Log(monitor)
    with workspaces.Workspace(
        made.path, directory=spec.workspace
    ) as workspace:
        outcome = boot_test.run(
            image,
            _spec(wanted, host, max(min(most, room), space.FULL)),
            workspace,
            on_line=log.add,
        )
        log.end(outcome)
        if not outcome.passed:
            # What could not be written for want of room is not its fault.
            space.check(spec.workspace, host.space_reserve)
    return outcome


def _spec(
    wanted: Mapping[str, Any], host: settings.Settings, written: int
) -> boot_test.BootSpec:
    """What the request says, which was accepted in this form."""
    started_by: firmware.Firmware = (
        'uefi' if wanted['firmware'] == 'uefi' else 'bios'
    )
    return boot_test.BootSpec(
        machine.MachineSettings(
            firmware=started_by,
            memory=int(wanted['memory']),
            cpus=int(wanted['cpus']),
            accelerator=host.appliance.accelerator,
            disk_size=int(wanted['disk_size']) * space.GIB,
            written=written,
        ),
        _expected(wanted),
        float(wanted['timeout']),
    )


def _expected(wanted: Mapping[str, Any]) -> expectations.Expectations:
    return expectations.Expectations(
        console=tuple(wanted['console']),
        cloud_init=bool(wanted['cloud_init']),
        systemd=bool(wanted['systemd']),
        ports=tuple(wanted['ports']),
        commands=tuple(wanted['commands']),
    )


class _Log:
    """The console in the log of the build, as far as there is room."""

    def __init__(self, monitor: job_monitor.JobMonitor) -> None:
        self._monitor = monitor
        self._left = _LOGGED

    def add(self, line: str) -> None:
        if self._left <= 0:
            return
        self._left -= len(line) + 1
        self._monitor.program_output(line)
        if self._left <= 0:
            self._monitor.notice('(the console says more than is kept)')

    def end(self, outcome: boot_test.Outcome) -> None:
        """Add its end where that was left out."""
        if self._left <= 0:
            for line in outcome.console.splitlines()[-_LAST_LINES:]:
                self._monitor.program_output(line)


def _document(outcome: boot_test.Outcome) -> dict[str, Any]:
    return {
        'passed': outcome.passed,
        'seconds': round(outcome.seconds, 1),
        'reason': outcome.reason,
        'findings': [
            {**dataclasses.asdict(each), 'seconds': round(each.seconds, 1)}
            for each in outcome.findings
        ],
        'telling': list(outcome.telling),
    }


def _reason(outcome: boot_test.Outcome) -> str:
    reason = f'{outcome.describe()}.'
    if outcome.reason and outcome.telling:
        reason += f' The console says: {" | ".join(outcome.telling)}'
    return reason


@contextlib.contextmanager
def _place(
    config: Mapping[str, Any],
    monitor: job_monitor.JobMonitor,
    deadline: limits.Deadline,
) -> Iterator[None]:
    """Wait until fewer machines run on this host than may.

    Each has one of some files locked, which the kernel unlocks when its job
    ends, however that ends.

    :raises BuildTimeout: the time of the build is up.
    :raises EnvironmentFault: the files cannot be made.
    """
    directory = pathlib.Path(str(config.get('directory') or ''))
    most = int(config.get('max_running') or 0)
    if not most or not directory.is_absolute():
        yield
        return
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _locked(directory, most)
        if lock is None:
            monitor.begin('waiting for other machines of this host')
        while lock is None:
            deadline.left()
            time.sleep(_LOOK)
            lock = _locked(directory, most)
    except OSError as error:
        raise exception.UnwritablePath(
            path=directory, reason=error.strerror or str(error)
        ) from error
    try:
        yield
    finally:
        os.close(lock)


def _locked(directory: pathlib.Path, most: int) -> int | None:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    for number in range(most):
        lock = os.open(directory / f'machine-{number}', flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return lock
    return None
