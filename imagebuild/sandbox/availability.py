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
"""Whether this host can have sandboxes."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator

from imagebuild import exception
from imagebuild.common import disk_layout
from imagebuild.common import locked_directory
from imagebuild.common import user_network
from imagebuild.sandbox import control
from imagebuild.sandbox import mount_plan
from imagebuild.sandbox import sandbox_settings
from imagebuild.sandbox import seccomp
from imagebuild.sandbox import syscalls

#: What is started here, and by what serves and reads disks.
_PROGRAMS = (
    'qemu-storage-daemon',
    'nbdfuse',
    user_network.PROGRAM,
    'mke2fs',
    'blkid',
    'sfdisk',
)
#: What many containers lack, even where they run as root.
_DEVICES = ('/dev/fuse', '/dev/loop-control')
#: KiB of a disk for the trial.
_SIZE = 1024
#: Seconds until it has to be there, on a busy machine.
_SHOWN = 20.0
#: Seconds for which a trial that failed is not repeated.
_BELIEVED = 300.0
_NOT_FOUND = 127
#: root's alone; empty after a boot.
_TRIALS = pathlib.Path('/run/imagebuild/trials')


class _Trial:
    """What the last trial found, and for how long that is believed.

    What works once works while the process runs; what failed may have failed
    because the host was busy, or because something is installed by now.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: tuple[str, ...] = ()
        self._until = -math.inf

    def reasons(self) -> tuple[str, ...]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._reasons = _look()
                self._until = (
                    time.monotonic() + _BELIEVED if self._reasons else math.inf
                )
            return self._reasons


_trial = _Trial()


def missing() -> list[str]:
    """Why this host cannot have sandboxes.

    What can be tried is tried, in under half a second: once per process where
    it works, and at most every five minutes where it does not.

    :returns: reasons for people, [] when it can.
    """
    return list(_trial.reasons())


def _look() -> tuple[str, ...]:
    reasons = []
    if os.geteuid() != 0:
        reasons.append('only root may mount disks')
    if syscalls.MACHINE not in seccomp.MACHINES:
        reasons.append(f'there is no filter for {syscalls.MACHINE}')
    reasons += [
        f'{program} is not installed'
        for program in _PROGRAMS
        if shutil.which(program) is None
    ]
    if os.geteuid() == 0:
        reasons += _missing_devices()
    if reasons:
        return tuple(reasons)
    try:
        with _place() as directory:
            _try(directory)
    except exception.SandboxFailed as error:
        return (error.kwargs['reason'],)
    except OSError as error:
        return (f'{error.filename or "a trial"}: {error.strerror}',)
    except (exception.NotForSandbox, RuntimeError) as error:
        return (str(error),)
    except subprocess.SubprocessError as error:
        return (f'no file system can be made ({error})',)
    return ()


@contextlib.contextmanager
def _place() -> Iterator[pathlib.Path]:
    """A directory for the trial; those of killed processes are removed."""
    _TRIALS.mkdir(mode=0o700, parents=True, exist_ok=True)
    locked_directory.sweep(_TRIALS.iterdir(), left_by='a killed process')
    made = locked_directory.LockedDirectory.make(_TRIALS)
    try:
        yield made.path
    finally:
        made.remove()


def _missing_devices() -> list[str]:
    found = []
    for path in _DEVICES:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            found.append(f'{path} cannot be used ({error.strerror})')
    return found


def _try(directory: pathlib.Path) -> None:
    """Do all that a sandbox does, with an empty disk and no program."""
    disk = directory / 'disk'
    shown = directory / 'shown'
    shown.touch()
    with disk.open('wb') as stream:
        stream.truncate(_SIZE * 1024)
    subprocess.run(
        ['mke2fs', '-q', '-F', '-t', 'ext4', '-O', '^has_journal', disk],
        check=True,
        capture_output=True,
        timeout=60,
    )
    settings = sandbox_settings.SandboxSettings(memory=256)
    with control.Supervisor.start(settings, workspace=directory) as tried:
        pid = _serve(tried, disk, shown)
        found = disk_layout.FileSystem('/dev/sda', 0, _SIZE * 1024, 'ext4')
        tried.mount(mount_plan.Plan(shown, (found,)))
        _mount(tried, shown, pid)
        _execute(tried)
        tried.unmount()


def _serve(
    tried: control.Supervisor, disk: pathlib.Path, shown: pathlib.Path
) -> int:
    """Show the disk as a file, as a build's disk server does.

    :returns: id of the process that shows it.
    """
    socket = disk.parent / 'nbd'
    # Written when the disk can be asked for: the socket is there before.
    ready = disk.parent / 'ready'
    server = tried.spawn(
        [
            'qemu-storage-daemon',
            '--pidfile',
            str(ready),
            '--blockdev',
            f'driver=file,node-name=disk,filename={_value(disk)}',
            '--nbd-server',
            f'addr.type=unix,addr.path={_value(socket)}',
            '--export',
            'type=nbd,id=shown,node-name=disk,name=disk,writable=on',
        ]
    )
    end = time.monotonic() + _SHOWN
    while not ready.exists():
        if not os.path.exists(f'/proc/{server}') or time.monotonic() > end:
            raise exception.SandboxFailed(
                reason='qemu-storage-daemon does not show a disk'
            )
        time.sleep(0.005)
    return tried.spawn(
        ['nbdfuse', str(shown), f'nbd+unix:///disk?socket={socket}']
    )


def _value(path: pathlib.Path) -> str:
    """A path in an option: a comma ends the value, two are one."""
    return str(path).replace(',', ',,')


def _mount(tried: control.Supervisor, shown: pathlib.Path, pid: int) -> None:
    """Mount the disk as soon as it is shown.

    :param pid: of who shows it; without it there is nothing to wait for.
    """
    seen = pathlib.Path(f'/proc/{tried.pid}/root{shown}')
    end = time.monotonic() + _SHOWN
    while True:
        # It was made empty; the disk is not.
        is_last = seen.stat().st_size > 0 or not os.path.exists(f'/proc/{pid}')
        try:
            tried.call('mount', '/dev/sda', '/')
            return
        except RuntimeError as error:
            if is_last or time.monotonic() > end:
                raise exception.SandboxFailed(
                    reason='a disk shown by qemu-storage-daemon and nbdfuse '
                    f'cannot be mounted ({error})'
                ) from error
        time.sleep(0.02)


def _execute(tried: control.Supervisor) -> None:
    command = sandbox_settings.Command(('/nothing',), {})
    null = os.open(os.devnull, os.O_RDWR)
    try:
        running = tried.exec(command, stdin=null, stdout=null, stderr=null)
        ending = running.wait(30)
    finally:
        os.close(null)
    if ending is None or ending.code != _NOT_FOUND:
        raise exception.SandboxFailed(
            reason=f'a command did not end as it should ({ending})'
        )
