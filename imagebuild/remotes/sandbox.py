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
"""Reach inside a disk image whose file systems this host has mounted."""

from __future__ import annotations

import contextlib
import logging
import platform
import secrets
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import TypeVar
from typing import cast

from imagebuild import exception
from imagebuild import sandbox
from imagebuild.remotes import base
from imagebuild.remotes import disk_remote
from imagebuild.remotes import guest_faults
from imagebuild.remotes import guest_handle
from imagebuild.remotes import guest_mounts
from imagebuild.remotes import guest_settings
from imagebuild.remotes import guest_shell
from imagebuild.remotes import invocations
from imagebuild.remotes import piped
from imagebuild.remotes import resolver_exchange
from imagebuild.remotes import time_limit
from imagebuild.sandbox import mount_plan

LOG = logging.getLogger(__name__)

T = TypeVar('T')


class SandboxRemote(disk_remote.DiskRemote):
    """A disk image, mounted by a supervisor.

    :param supervisor: whose daemon serves the disk; it is closed with this.
    :param plan: what may be mounted.
    :param image: the image's path, for messages.
    :param settings: which system is meant, and the limit of a command; not
        what the appliance is.
    :param run_limit: when everything must be done; it began with the start
        of the supervisor. None for no limit.
    :param on_notice: called with messages that the user should see.
    :param on_unmounted: called when everything is unmounted in good order: to
        end what serves the disk. It raises when that fails.
    :raises InvalidInput: there is no operating system to be found, or
        several; see :func:`guest_mounts.mount_all`.
    :raises NotForSandbox: this host's kernel cannot mount what an appliance's
        may.
    :raises RunTimeout: its time is up.
    :raises EnvironmentFault: the supervisor is gone.
    """

    # The kernel lets only this host's root do it where it has no SELinux.
    commands_set_labels = False

    def __init__(
        self,
        supervisor: sandbox.Supervisor,
        plan: mount_plan.Plan,
        *,
        image: str,
        settings: guest_settings.GuestSettings | None = None,
        run_limit: time_limit.RunLimit | None = None,
        on_notice: Callable[[str], None] | None = None,
        on_unmounted: Callable[[], None] = lambda: None,
    ) -> None:
        settings = settings or guest_settings.GuestSettings()
        super().__init__(image, command_timeout=settings.command_timeout)
        self._run_limit = run_limit or self._run_limit
        self.supervisor = supervisor
        self._files = cast(guest_handle.MountHandle, _Handle(supervisor))
        self._on_unmounted = on_unmounted
        # On an error the supervisor is left to who started it: with it would
        # go what serves the disk, which then looked like the reason.
        try:
            # What came before may have taken all of it.
            self._run_limit.within(settings.command_timeout)
            supervisor.mount(plan)
            self._mount(settings.root_filesystem, on_notice or LOG.warning)
        except exception.StepError as error:
            raise exception.InvalidImage(path=image, reason=error) from error

    def _mount(
        self, wanted: str | None, on_notice: Callable[[str], None]
    ) -> None:
        try:
            self.root = self._guest_call(
                guest_mounts.mount_all,
                self._handle,
                image=self._name,
                wanted=wanted,
                on_notice=on_notice,
            )
        except exception.InvalidInput as error:
            self._refuse_unmounted(error)
            raise
        # Nor may it be done without what is left out with a notice
        # (/boot/efi): what a package writes there would go astray.
        self._refuse_unmounted(None)

    def _refuse_unmounted(self, cause: exception.InvalidInput | None) -> None:
        refused = self.supervisor.call('refused')
        for device, reason in refused.items():
            raise exception.NotForSandbox(
                path=self._name,
                reason=f'this host cannot mount {device} ({reason})',
            ) from cause

    def _prepare(self) -> None:
        """See :meth:`disk_remote.DiskRemote._prepare`.

        :raises NotForSandbox: its programs have no sockets here.
        """
        super()._prepare()
        machine = self._guest_call(guest_shell.machine, self._handle)
        if machine == 'i386' and platform.machine() != 'i686':
            raise exception.NotForSandbox(
                path=self._name,
                reason='its programs are for i386, and have no network there',
            )

    def with_handle(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function with the handle of the guest's file systems.

        :param args: follow the handle.
        :raises StepError: the guest's disk refuses.
        """
        return self._guest_call(function, self._handle, *args)

    @property
    def _handle(self) -> guest_handle.MountHandle:
        return self._files

    # -- commands -----------------------------------------------------------

    def _exec(
        self,
        invocation: invocations.Invocation,
        on_output: base.OutputCallback | None,
    ) -> invocations.Ending:
        command = sandbox.Command(tuple(invocation.argv), invocation.env)

        def start(stdin: int, stdout: int, stderr: int) -> sandbox.Running:
            return self.supervisor.exec(
                command, stdin=stdin, stdout=stdout, stderr=stderr
            )

        with self._name_server():
            try:
                ending = piped.run(start, invocation, on_output)
            except RuntimeError as error:
                raise guest_faults.not_started(error) from error
        if invocation.directory:
            self._guest_call(self._handle.rm_rf, invocation.directory)
        return ending

    @contextlib.contextmanager
    def _name_server(self) -> Iterator[None]:
        """The command has a name server when it has a network."""
        content = self.supervisor.resolver
        if not content or not self._guest_call(self._handle.is_dir, '/etc'):
            yield
            return
        try:
            exchange = self._call(
                resolver_exchange.Exchange,
                self._handle,
                secrets.token_hex(16),
                content,
            )
        except RuntimeError as error:
            raise guest_faults.not_started(error) from error
        yield
        # Nothing more is done to a disk on which a command has no end.
        self._guest_call(exchange.end)

    # -- the end ------------------------------------------------------------

    def _give_up(self) -> None:
        self.supervisor.close()

    def _quiesce(self) -> None:
        self._call(self.supervisor.freeze)

    def _unquiesce(self) -> None:
        self._call(self.supervisor.thaw)

    def _let_go(self) -> None:
        self._on_unmounted()

    def close(self) -> None:
        self.supervisor.close()


class _Handle:
    """A guest's files and file systems, over a supervisor."""

    def __init__(self, supervisor: sandbox.Supervisor) -> None:
        self._supervisor = supervisor

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kw: Any) -> Any:
            return self._supervisor.call(name, *args, **kw)

        return call
