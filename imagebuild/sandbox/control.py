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
"""The job's end of the supervisor."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import select
from collections.abc import Sequence
from typing import Any
from typing import Self

from imagebuild import exception
from imagebuild.sandbox import connection
from imagebuild.sandbox import mount_plan
from imagebuild.sandbox import network
from imagebuild.sandbox import sandbox_settings

_PLACE = 'sandbox'


class Supervisor:
    """A process that holds a guest's file systems and runs commands in them.

    Its methods may be called from several threads; one call is served after
    the other.

    :ivar pid: its process id here. When it is killed, everything that it
        started ends, and all it mounted is gone.
    :ivar limited: what the kernel limits: ``memory``, ``pids``, ``cpu``.
    :ivar resolver: what commands want to find in /etc/resolv.conf; b'' when
        they have no network.
    """

    pid: int
    limited: frozenset[str]
    resolver: bytes

    def __init__(self, connected: connection.Connection) -> None:
        self._connection = connected
        self.pid = connected.pid

    @classmethod
    def start(
        cls,
        settings: sandbox_settings.SandboxSettings,
        *,
        workspace: pathlib.Path,
    ) -> Self:
        """Start one; it ends when this process does, however that happens.

        :param workspace: a directory that is ours alone. A directory is made
            in it; what is mounted there is seen by the supervisor only.
        :raises SandboxFailed: it does not start.
        """
        place = workspace / _PLACE
        try:
            place.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise exception.SandboxFailed(
                reason=f'there is no place for it ({error})'
            ) from error
        made = cls(connection.Connection())
        try:
            limited, _ = made._connection.ask(
                'begin',
                settings=dataclasses.asdict(settings),
                place=str(place.absolute()),
            )
        except BaseException:
            made.close()
            raise
        made.limited = frozenset(limited)
        made.resolver = network.RESOLVER if settings.network else b''
        return made

    def spawn(self, argv: Sequence[str]) -> int:
        """Start a daemon beside the mounts, which ends with the supervisor.

        It sees this host's files, and what the supervisor mounts; its output
        goes where this process's errors go.

        :returns: its process id here.
        :raises SandboxFailed: it cannot be started.
        """
        _, came = self._connection.ask('spawn', argv=list(argv))
        try:
            return _process_id(came[0])
        finally:
            for descriptor in came:
                os.close(descriptor)

    def mount(self, plan: mount_plan.Plan) -> None:
        """Make ready to mount what a plan allows.

        From now on :meth:`call` knows the operations of
        :class:`mounts.Mounts` and of its tree. Once for each supervisor.

        :raises NotForSandbox: this host cannot.
        :raises SandboxFailed: the supervisor is gone.
        """
        self._connection.ask('mount', plan=plan.to_json())

    def call(self, operation: str, *args: Any, **kw: Any) -> Any:
        """Call a public method of :class:`mounts.Mounts` or of its tree.

        :param operation: its name.
        :param args: numbers, texts, bytes, booleans and None.
        :raises RuntimeError: the guest's disk refuses, see there.
        :raises UnicodeDecodeError: a name is not UTF-8, see there.
        :raises SandboxFailed: the supervisor is gone.
        """
        value, _ = self._connection.ask(
            'call', operation=operation, args=args, kw=kw
        )
        return value

    def exec(
        self,
        command: sandbox_settings.Command,
        *,
        stdin: int,
        stdout: int,
        stderr: int,
    ) -> Running:
        """Begin to run a command as root of the mounted guest.

        One at a time. Whatever it leaves behind, processes and mounts, ends
        with it.

        :param stdin: descriptor of what it reads; the caller closes it.
        :param stdout: descriptor of what it writes to, likewise.
        :param stderr: the same for errors.
        :raises RuntimeError: the guest has no place for /dev, /proc or /sys.
        :raises SandboxFailed: it cannot be started.
        """
        result, theirs = os.pipe()
        try:
            self._connection.ask(
                'exec',
                [stdin, stdout, stderr, theirs],
                argv=list(command.argv),
                env=dict(command.env),
            )
        except BaseException:
            os.close(result)
            raise
        finally:
            os.close(theirs)
        return Running(self._connection, result)

    def freeze(self) -> None:
        """See :meth:`mounts.Mounts.freeze`."""
        self.call('freeze')

    def thaw(self) -> None:
        """See :meth:`mounts.Mounts.thaw`."""
        self.call('thaw')

    def unmount(self) -> None:
        """Unmount the guest in good order; the disk server is closed next.

        :raises RuntimeError: something is busy, or writes were lost.
        """
        self.call('umount_all')

    def close(self) -> None:
        """End it, with all that runs below and is mounted; never raises."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Running:
    """A command that runs.

    :param connected: with the supervisor that runs it.
    :param result: descriptor on which the supervisor says how it ended.
    """

    def __init__(self, connected: connection.Connection, result: int) -> None:
        self._connection = connected
        self._result: int | None = result
        self._ending: sandbox_settings.Ending | None = None

    def wait(self, timeout: float | None) -> sandbox_settings.Ending | None:
        """Wait for its end.

        :param timeout: seconds, None for no limit.
        :returns: None when it still runs.
        :raises SandboxFailed: the supervisor is gone, or the command could
            not be started.
        """
        if self._result is None:
            return self._ending
        poll = select.poll()
        poll.register(self._result, select.POLLIN)
        if not poll.poll(None if timeout is None else timeout * 1000):
            return None
        content = os.read(self._result, 65536)
        os.close(self._result)
        self._result = None
        if not content:
            raise exception.SandboxFailed(
                reason='its supervisor was ended from outside'
            )
        ending = json.loads(content)
        if ending['error']:
            raise exception.SandboxFailed(reason=ending['error'])
        self._ending = sandbox_settings.Ending(
            ending['code'], ending['reason']
        )
        return self._ending

    def kill(self) -> None:
        """End it with everything that it started; :meth:`wait` tells when.

        :raises SandboxFailed: the supervisor is gone.
        """
        if self._result is not None:
            self._connection.ask('kill')


def _process_id(handle: int) -> int:
    """The process id, here, of what a handle from another namespace means."""
    text = pathlib.Path(f'/proc/self/fdinfo/{handle}').read_text()
    found = re.search(r'^Pid:\s+(-?\d+)$', text, re.MULTILINE)
    if found is None or int(found[1]) <= 0:
        raise exception.SandboxFailed(reason='what it started has ended')
    return int(found[1])
