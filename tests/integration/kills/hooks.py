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
"""Run imagebuild-pack or a job, and tell somebody which phase it enters.

    python hooks.py SOCKET pack|job|installer [arguments]

Whoever listens on the socket is told ``phase pid`` and may take its time, or
kill something, before it answers; the phase begins with the answer.
"""

import contextlib
import functools
import os
import socket
import sys
from typing import Any

#: A script whose path ends so is the step in which something is killed.
STEP = 'waits'


def reach(phase: str) -> None:
    """Tell that a phase begins, and wait for the answer."""
    with socket.socket(socket.AF_UNIX) as there, contextlib.suppress(OSError):
        there.connect(sys.argv[1])
        there.sendall(f'{phase} {os.getpid()}\n'.encode())
        there.recv(1)


def before(owner: Any, name: str, phase: str) -> None:
    """Reach a phase at each call of a function."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kw: Any) -> Any:
        reach(phase)
        return original(*args, **kw)

    setattr(owner, name, wrapped)


def at_stages() -> None:
    """Reach the stages of a commit."""
    from imagebuild.disks import in_place

    original = in_place.InPlaceImage._stage

    def stage(self: Any, name: Any) -> None:
        reach('base image' if name == 'locked' else name)
        original(self, name)

    in_place.InPlaceImage._stage = stage  # type: ignore[method-assign]


def at_steps_of_drivers() -> None:
    """Reach each step of a driver, by its name."""
    from imagebuild.job import job_monitor

    original = job_monitor.DriverMonitor.step_started

    @functools.wraps(original)
    def wrapped(self: Any, name: str) -> None:
        original(self, name)
        reach(name)

    job_monitor.DriverMonitor.step_started = wrapped  # type: ignore


def at_installations() -> None:
    """Reach what is between the steps of the driver ``installer``."""
    from imagebuild.boot import installation
    from imagebuild.boot import mirror_network
    from imagebuild.disks import base_images
    from imagebuild.drivers.installer import run

    before(mirror_network, 'opened', 'mirror network')
    before(run.Run, '_written', 'answers')
    before(installation, 'prepare', 'its disk')
    before(run.Watch, 'check', 'power-off')
    before(base_images.Cache, 'make_room', 'keeping')


def in_the_step(owner: Any, *, after: bool) -> None:
    """Reach the step: when it runs, or is about to."""
    original = owner._exec if hasattr(owner, '_exec') else owner.exec
    name = original.__name__

    @functools.wraps(original)
    def wrapped(self: Any, command: Any, *args: Any, **kw: Any) -> Any:
        is_it = STEP in ' '.join(command.argv)
        if is_it and not after:
            reach('step')
        made = original(self, command, *args, **kw)
        if is_it and after:
            reach('step')
        return made

    setattr(owner, name, wrapped)


def install() -> None:
    from imagebuild import sandbox
    from imagebuild.disks import convert
    from imagebuild.drivers import base_files
    from imagebuild.drivers import open_disk
    from imagebuild.drivers import sandboxed_disk
    from imagebuild.drivers import served_disk
    from imagebuild.layers import store
    from imagebuild.remotes import disk_remote
    from imagebuild.remotes import guestfs
    from imagebuild.remotes import sandbox as remotes
    from imagebuild.sandbox import availability
    from imagebuild.stores import file

    at_stages()
    before(availability, '_try', 'trial')
    before(base_files, '_inspected', 'base image')
    before(open_disk, '_opened', 'opening')
    before(sandboxed_disk, '_grown', 'growing')
    before(remotes.SandboxRemote, '_mount', 'mounting')
    before(disk_remote.DiskRemote, 'prepare', 'mounted')
    in_the_step(sandbox.Supervisor, after=True)
    in_the_step(guestfs.GuestfsRemote, after=False)
    before(served_disk.ServedDisk, 'snapshot', 'layer')
    before(store, '_fill', 'storing')
    before(open_disk.OpenedDisk, 'close', 'closing')
    before(remotes.SandboxRemote, '_let_go', 'unmounted')
    before(convert, 'convert', 'converting')
    before(file.FileStore, '_write', 'uploading')
    before(file, '_write_json', 'placing')


def main() -> int:
    install()
    kind, *rest = sys.argv[2:]
    if kind == 'installer':
        # Who waits for another phase answers none of these meanwhile.
        at_steps_of_drivers()
        at_installations()
    if kind == 'pack':
        from imagebuild.cmd import pack

        return pack.main(rest)
    from imagebuild.job import main as job

    return job.main()


if __name__ == '__main__':
    code = main()
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(code)
