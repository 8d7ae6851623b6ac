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
"""What the supervisor does for its job, one request after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import select
import signal
import socket
from collections.abc import Mapping
from typing import Any

from imagebuild import exception
from imagebuild.sandbox import block_devices
from imagebuild.sandbox import cgroups
from imagebuild.sandbox import commands
from imagebuild.sandbox import identities
from imagebuild.sandbox import mount_plan
from imagebuild.sandbox import mounts
from imagebuild.sandbox import namespaces
from imagebuild.sandbox import network
from imagebuild.sandbox import protocol
from imagebuild.sandbox import rootfs
from imagebuild.sandbox import running
from imagebuild.sandbox import sandbox_settings
from imagebuild.sandbox import syscalls

#: Seconds between looks at the memory that a command uses.
_LOOK = 0.1

#: Methods of the mounts that are none of the job's.
_OURS = ('clone_idmapped', 'close')


class Service:
    """Serves one job until it is gone.

    :param connection: with the job.
    :param ids: of this host, for the guest.
    :param daemons: descriptor of the mount namespace that daemons run in.
    """

    def __init__(
        self,
        connection: socket.socket,
        ids: identities.Identities,
        daemons: int,
    ) -> None:
        self._connection = connection
        self._ids = ids
        self._daemons = daemons
        self._mounts: mounts.Mounts | None = None
        self._around: commands.Surroundings | None = None
        self._groups = cgroups.ControlGroups()
        self._running: running.RunningCommand | None = None
        self._network = 0
        self._place = pathlib.Path()

    def run(self) -> None:
        """Serve.

        :raises Closed: the job is gone.
        """
        ended, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        poll.register(ended, select.POLLIN)
        while True:
            looks = self._running is not None and self._running.is_watched
            ready = dict(poll.poll(_LOOK * 1000 if looks else None))
            if ended in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(ended, 4096)
            self._reap()
            if self._connection.fileno() in ready:
                self._serve()
            if self._running is not None:
                self._running.look()

    def _reap(self) -> None:
        """Take note of every child that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if self._running is not None and pid == self._running.pid:
                self._running.end(status)
                self._running = None
            elif pid == self._network:
                self._network = -1
                if self._running is not None:
                    self._running.fail(_NETWORK_LOST)

    def _serve(self) -> None:
        request, descriptors = protocol.receive(self._connection)
        answer: dict[str, Any] = {}
        sent: list[int] = []
        try:
            operation = getattr(self, f'do_{request["do"]}')
            answer['value'] = operation(request, descriptors, sent)
        except Exception as error:
            answer['error'] = _described(error)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        try:
            protocol.send(self._connection, answer, sent)
        finally:
            for descriptor in sent:
                os.close(descriptor)

    # -- operations: request, descriptors that came, descriptors to send ----

    def do_begin(
        self, request: Mapping[str, Any], _came: list[int], _send: list[int]
    ) -> list[str]:
        """Make everything that needs no disk.

        :returns: what control groups limit.
        """
        settings = sandbox_settings.SandboxSettings(**request['settings'])
        self._place = pathlib.Path(request['place'])
        flags = syscalls.MS_NODEV | syscalls.MS_NOSUID | syscalls.MS_NOEXEC
        place = str(self._place)
        syscalls.mount('tmpfs', place, 'tmpfs', flags, 'size=1m,mode=700')
        (self._place / 'root').mkdir()
        (self._place / 'command').mkdir()
        self._groups = cgroups.make(self._ids.name, settings)
        with namespaces.make(self._ids, settings) as (member, made):
            if settings.network:
                self._network = network.start(
                    member, host_loopback=settings.allow_host_network
                )
        self._around = commands.Surroundings(
            self._ids.first,
            made,
            str(self._place / 'command'),
            settings,
            self._groups.joins,
        )
        return sorted(self._groups.limited)

    def do_spawn(
        self, request: Mapping[str, Any], _came: list[int], send: list[int]
    ) -> None:
        """Start a daemon; sends a handle of it."""
        pid = running.spawn(request['argv'], self._daemons)
        send.append(os.pidfd_open(pid))

    def do_mount(
        self, request: Mapping[str, Any], _came: list[int], _send: list[int]
    ) -> None:
        plan = mount_plan.Plan.from_json(request['plan'])
        self._mounts = mounts.Mounts(
            plan, self._place / 'root', guest_root=self._ids.first
        )

    def do_call(
        self, request: Mapping[str, Any], _came: list[int], _send: list[int]
    ) -> Any:
        if self._mounts is None:
            raise RuntimeError('nothing is mounted')
        name = request['operation']
        if name.startswith('_') or name in _OURS:
            raise RuntimeError(f'there is no operation {name}')
        for owner in (self._mounts, self._mounts.tree):
            if hasattr(owner, name):
                method = getattr(owner, name)
                return method(*request['args'], **request['kw'])
        raise RuntimeError(f'there is no operation {name}')

    def do_exec(
        self, request: Mapping[str, Any], came: list[int], _send: list[int]
    ) -> None:
        """Start a command; three streams and a pipe for its end came."""
        if self._mounts is None or self._around is None:
            raise RuntimeError('nothing is mounted')
        if self._running is not None:
            raise RuntimeError('another command runs')
        if self._network < 0:
            raise exception.SandboxFailed(reason=_NETWORK_LOST)
        self._make_points(self._mounts)
        command = sandbox_settings.Command(
            tuple(request['argv']), request['env']
        )
        tree = self._mounts.clone_idmapped(self._around.namespaces.user)
        try:
            around = dataclasses.replace(
                self._around,
                devices=block_devices.find(self._mounts, self._place / 'root'),
            )
            self._running = running.start(
                command, around, self._groups, tree, came
            )
        finally:
            os.close(tree)

    def do_kill(
        self, _request: Mapping[str, Any], _came: list[int], _send: list[int]
    ) -> None:
        if self._running is not None:
            self._running.kill()

    @staticmethod
    def _make_points(made: mounts.Mounts) -> None:
        files: Any = made.tree
        for point in rootfs.POINTS:
            if not files.is_dir(point):
                files.mkdir_mode(point, 0o755)


_NETWORK_LOST = 'the way out of its network (slirp4netns) ended'


def _described(error: Exception) -> dict[str, Any]:
    """An error as it is sent: its kind and what it is made of."""
    if isinstance(error, UnicodeDecodeError):
        parts = [error.encoding, error.object, error.start, error.end]
        return {'kind': 'name', 'parts': [*parts, error.reason]}
    if isinstance(error, exception.NotForSandbox):
        return {'kind': 'disk', 'parts': error.kwargs}
    if isinstance(error, exception.SandboxFailed):
        return {'kind': 'failed', 'parts': error.kwargs['reason']}
    if isinstance(error, namespaces.Refused | network.Refused):
        return {'kind': 'failed', 'parts': str(error)}
    if type(error) is RuntimeError:
        return {'kind': 'refused', 'parts': str(error)}
    return {'kind': 'failed', 'parts': f'{type(error).__name__}: {error}'}
