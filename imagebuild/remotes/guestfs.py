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
"""Reach inside a disk image through the libguestfs appliance."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import secrets
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import TypeVar

from imagebuild import appliance as appliances
from imagebuild import exception
from imagebuild.common.counts import counted
from imagebuild.remotes import appliance_disks
from imagebuild.remotes import appliance_state
from imagebuild.remotes import base
from imagebuild.remotes import disk_remote
from imagebuild.remotes import guest_faults
from imagebuild.remotes import guest_files
from imagebuild.remotes import guest_leftovers
from imagebuild.remotes import guest_mounts
from imagebuild.remotes import guest_resolver
from imagebuild.remotes import guest_settings
from imagebuild.remotes import guest_wrapper
from imagebuild.remotes import handled
from imagebuild.remotes import invocations
from imagebuild.remotes import output
from imagebuild.remotes import output_channel
from imagebuild.remotes import posix
from imagebuild.remotes import time_limit

LOG = logging.getLogger(__name__)
T = TypeVar('T')

#: Seconds that a guest is given to stop a command before its appliance is
#: ended: it is emulated and may be slow.
_GRACE = 30.0
#: Seconds that undoing what a command left may take.
_UNDOING = 120.0
#: Seconds for a short call.
_SHORT = 300.0


class GuestfsRemote(disk_remote.DiskRemote):
    """A disk image, mounted in an appliance.

    :param drives: the disks of the guest; they are written to.
    :param image: the image's path, for messages.
    :param settings: which system is meant, limits, the appliance's settings.
    :param workspace: directory for temporary files; its file system's free
        space is watched.
    :param on_notice: called with messages that the user should see.
    :param on_started: called with the appliance before it is looked into.
    :param before_mount: called with the appliance's handle then; it may
        change the disk.

    :ivar before: the appliance's state before the first command.
    :raises InvalidInput: there is no operating system to be found, or
        several; see :func:`guest_mounts.mount_all`.
    :raises GuestBroken: a look at the disk ended the appliance, or had no
        end.
    :raises EnvironmentFault: the appliance does not start.
    """

    def __init__(
        self,
        drives: Sequence[appliances.Drive],
        *,
        image: str = '',
        settings: guest_settings.GuestSettings | None = None,
        workspace: pathlib.Path | None = None,
        on_notice: Callable[[str], None] | None = None,
        on_started: Callable[[appliances.Appliance], None] | None = None,
        before_mount: Callable[[Any], object] | None = None,
    ) -> None:
        settings = settings or guest_settings.GuestSettings()
        super().__init__(
            image or str(drives[0].path),
            command_timeout=settings.command_timeout,
            run_timeout=settings.run_timeout,
        )
        self._channel = output_channel.OutputChannel()
        try:
            self.appliance = appliances.launch(
                drives,
                _no_longer(settings.appliance, settings.run_timeout),
                workspace=workspace,
                configure=self._channel.configure,
                on_notice=on_notice,
            )
        except BaseException:
            self._channel.close()
            raise
        try:
            if on_started:
                on_started(self.appliance)
            self._channel.connected()
            if before_mount:
                self.with_handle(before_mount)
            # libguestfs' own condition for its swap of /etc/resolv.conf.
            self._swaps = bool(self._call(self._handle.get_network))
            self.root = self._guest_call(
                guest_mounts.mount_all,
                self._handle,
                image=self._name,
                wanted=settings.root_filesystem,
                on_notice=on_notice or LOG.warning,
                filesystems=self._guest_call(
                    appliance_disks.filesystems, self._handle
                ),
            )
        except exception.StepError as error:
            self.close()
            raise exception.InvalidImage(
                path=self._name, reason=error
            ) from error
        except BaseException:
            self.close()
            raise

    # An int of C.
    most_owner = 2**31 - 1

    @property
    def _handle(self) -> Any:
        return self.appliance.handle

    def _call(self, function: Callable[..., T], *args: Any, **kw: Any) -> T:
        """A short call; see :meth:`handled.HandleRemote._call`.

        :raises GuestBroken: what is on the disk ended the appliance, or the
            call had no end.
        """
        return self._within_seconds(
            _SHORT, guest_faults.no_answer, function, *args, **kw
        )

    def _host_call(self, function: Callable[..., T], *args: Any) -> T:
        """See :meth:`disk_remote.DiskRemote._host_call`.

        :raises ApplianceFailed: it had no end.
        """
        return self._within_seconds(_SHORT, _stalled, function, *args)

    def _within_seconds(
        self,
        seconds: float,
        endless: Callable[[float], Exception],
        function: Callable[..., T],
        *args: Any,
        **kw: Any,
    ) -> T:
        given = self._within(seconds)
        try:
            return self.appliance.call(
                function,
                *args,
                timeout=given,
                on_timeout=lambda: self._no_answer(endless(given)),
                **kw,
            )
        except exception.ApplianceFailed as error:
            raise self._blamed(error) from error

    def with_handle(self, function: Callable[..., T], *args: Any) -> T:
        """Call what may take as long as a command.

        :param function: is given the appliance's handle.
        :param args: follow the handle.
        :raises StepError: the guest's disk refuses.
        :raises GuestBroken: as of a short call.
        """
        try:
            return self._within_seconds(
                self._command_timeout,
                guest_faults.no_answer,
                function,
                self._handle,
                *args,
            )
        except RuntimeError as error:
            raise handled.refused(error) from error

    def _give_up(self) -> None:
        self.appliance.kill()

    # -- commands -----------------------------------------------------------

    def _prepare(self) -> None:
        """See :meth:`disk_remote.DiskRemote._prepare`."""
        super()._prepare()
        try:
            self.before = self._call(appliance_state.look, self._handle)
        except (RuntimeError, ValueError) as error:
            raise guest_faults.unreadable('What is mounted', error) from error

    def _exec(
        self,
        invocation: invocations.Invocation,
        on_output: base.OutputCallback | None,
    ) -> invocations.Ending:
        token = secrets.token_hex(16)
        input_file, directory = self._input(invocation)
        command = guest_wrapper.command(
            invocation.argv,
            invocation.env,
            token=token,
            input_file=input_file,
            remove=directory,
            aside=guest_resolver.aside(token) if self._swaps else '',
        )
        collector = output.Collector(
            self._channel, on_output, mark=token.encode()
        )
        # Once: the port keeps it until the wrapper reads it.
        watch = time_limit.TimeLimit(
            lambda: self._channel.stop(token), invocation.seconds
        )
        # What it printed and outlived is no reason for its end.
        self.appliance.forget_console()
        ending = self._command(invocation, command, collector, watch)
        self._undo(invocation.shown)
        self.appliance.forget_console()
        self._keep_resolver(ending, token, invocation.shown)
        return invocations.Ending(
            ending.code,
            ending.stopped and watch.reached,
            collector.text('stdout'),
            collector.text('stderr'),
        )

    def _keep_resolver(
        self, ending: guest_wrapper.Ending, token: str, shown: str
    ) -> None:
        """What a command made of /etc/resolv.conf becomes the guest's own.

        :raises GuestBroken: nothing can be put in its place any more.
        """
        if ending.stuck:
            what = 'an /etc/resolv.conf that cannot be replaced (chattr +i)'
            raise guest_faults.left_behind(shown, what)
        self._flags = ''.join(sorted({*self._flags, *ending.flags}))
        if ending.resolver:
            self._guest_call(guest_resolver.keep, self._handle, token)

    def _input(self, invocation: invocations.Invocation) -> tuple[str, str]:
        """A file of the guest that the command reads.

        :returns: its path, and the directory to remove afterwards.
        """
        directory = invocation.directory
        if not invocation.stdin:
            return '/dev/null', directory
        if not directory:
            directory = posix.new_name()
            self._make_directory(directory)
        path = f'{directory}/input'
        self._guest_call(guest_files.put, self._handle, path, invocation.stdin)
        return path, directory

    def _command(
        self,
        invocation: invocations.Invocation,
        command: Sequence[str],
        collector: output.Collector,
        watch: time_limit.TimeLimit,
    ) -> guest_wrapper.Ending:
        shown = invocation.shown

        def tick() -> None:
            watch.check()
            collector.drain()

        try:
            ending = self.appliance.call(
                self._handle.command,
                list(command),
                timeout=invocation.seconds + _GRACE,
                on_timeout=lambda: self._hung(shown),
                on_tick=tick,
            )
        except RuntimeError as error:
            if isinstance(error.__cause__, UnicodeDecodeError):
                # It wrote where the wrapper says how it ended.
                raise guest_faults.output_lost(shown) from error
            raise guest_faults.not_started(error) from error
        except exception.ApplianceFailed as error:
            raise self._blamed(error, shown) from error
        try:
            collector.finish()
            return guest_wrapper.parse(ending)
        except (output.OutputLost, IndexError, ValueError) as error:
            raise guest_faults.output_lost(shown) from error

    def _undo(self, shown: str) -> None:
        """Undo what a command left.

        :raises GuestBroken: it cannot be undone.
        """
        try:
            left = self.appliance.call(
                guest_leftovers.undo,
                self._handle,
                self.before,
                timeout=self._within(_UNDOING),
                on_timeout=lambda: self._hung(shown),
            )
        except (RuntimeError, ValueError) as error:
            raise guest_faults.unreadable(shown, error) from error
        except exception.ApplianceFailed as error:
            raise self._blamed(error, shown) from error
        if left:
            what = guest_leftovers.summary(left)
            raise guest_faults.left_behind(shown, what)

    def _blamed(
        self, error: exception.ApplianceFailed, shown: str = ''
    ) -> Exception:
        """Whose fault the end of the appliance is.

        :param shown: the command that ran in it, '' if none did.
        """
        console = self.appliance.console
        by_guest = self._channel.events.ended_by_guest()
        broken = (
            guest_faults.ended_by_guest(shown, console, by_guest=by_guest)
            if shown
            else guest_faults.ended_by_disk(console, by_guest=by_guest)
        )
        return broken or error

    def _no_answer(self, error: Exception) -> Exception:
        if self._run_limit.is_over:
            return self._run_limit.timeout()
        return error

    def _hung(self, shown: str) -> Exception:
        if self._run_limit.is_over:
            return self._run_limit.timeout()
        return guest_faults.never_ended(shown)

    # -- the end ------------------------------------------------------------

    def _quiesce(self) -> None:
        self._host_call(self._handle.sync)

    def _let_go(self) -> None:
        # Whose fault its end is, is not to be seen: it ends by itself now.
        self.appliance.shutdown()

    def close(self) -> None:
        self._channel.close()
        self.appliance.close()


def _stalled(seconds: float) -> exception.ApplianceFailed:
    return exception.ApplianceFailed(
        reason=f'no answer within {counted(seconds, "second")}'
    )


def _no_longer(
    settings: appliances.ApplianceSettings, run_timeout: float | None
) -> appliances.ApplianceSettings:
    """The start may not take longer than the whole run."""
    if run_timeout is None or run_timeout >= settings.launch_timeout:
        return settings
    return dataclasses.replace(settings, launch_timeout=run_timeout)
