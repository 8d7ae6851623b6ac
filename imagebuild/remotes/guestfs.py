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
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import appliance as appliances
from imagebuild import exception
from imagebuild.remotes import appliance_state
from imagebuild.remotes import base
from imagebuild.remotes import guest_accounts
from imagebuild.remotes import guest_faults
from imagebuild.remotes import guest_files
from imagebuild.remotes import guest_flags
from imagebuild.remotes import guest_leftovers
from imagebuild.remotes import guest_mounts
from imagebuild.remotes import guest_reading
from imagebuild.remotes import guest_resolver
from imagebuild.remotes import guest_selinux
from imagebuild.remotes import guest_shell
from imagebuild.remotes import guest_wrapper
from imagebuild.remotes import output_channel
from imagebuild.remotes import time_limit

LOG = logging.getLogger(__name__)

#: Seconds that a guest is given to stop a command before its appliance is
#: ended: it is emulated and may be slow.
_GRACE = 30.0
#: Seconds that undoing what a command left may take.
_UNDOING = 120.0


@dataclasses.dataclass(frozen=True)
class GuestSettings:
    """How a guest is opened and how long things may take.

    :ivar appliance: settings of its appliance.
    :ivar root_filesystem: device of the operating system that is meant,
        None to find the only one.
    :ivar command_timeout: seconds for one command that names no limit.
    :ivar run_timeout: seconds from the start until everything must be done,
        None for no limit.
    """

    appliance: appliances.ApplianceSettings = dataclasses.field(
        default_factory=appliances.ApplianceSettings
    )
    root_filesystem: str | None = None
    command_timeout: float = 1800.0
    run_timeout: float | None = None


@dataclasses.dataclass(frozen=True)
class _Invocation:
    """One command as the guest's wrapper runs it.

    :ivar shown: what it is called in results and errors.
    :ivar argv: what is run.
    :ivar env: further variables.
    :ivar input_file: what it reads, a path in the guest.
    :ivar remove: directory in the guest that is removed afterwards, '' for
        none.
    """

    shown: Sequence[str]
    argv: Sequence[str]
    env: Mapping[str, str] | None
    input_file: str = '/dev/null'
    remove: str = ''


class GuestfsRemote(base.Remote):
    """A disk image, mounted in an appliance.

    :param drives: the disks of the guest; they are written to.
    :param image: the image's path, for messages.
    :param settings: which system is meant, limits, the appliance's settings.
    :param workspace: directory for temporary files; its file system's free
        space is watched.
    :param on_notice: called with messages that the user should see.
    :param on_started: called with the appliance before it is looked into.
    :raises InvalidInput: there is no operating system to be found, or
        several; see :func:`guest_mounts.mount_all`.
    :raises EnvironmentFault: the appliance does not start.
    """

    def __init__(
        self,
        drives: Sequence[appliances.Drive],
        *,
        image: str = '',
        settings: GuestSettings | None = None,
        workspace: pathlib.Path | None = None,
        on_notice: Callable[[str], None] | None = None,
        on_started: Callable[[appliances.Appliance], None] | None = None,
    ) -> None:
        settings = settings or GuestSettings()
        run_timeout = settings.run_timeout
        self._command_timeout = settings.command_timeout
        self._run_timeout = run_timeout
        self._end = time.monotonic() + run_timeout if run_timeout else None
        self._accounts = guest_accounts.Accounts(self)
        self._channel = output_channel.OutputChannel()
        self._before: appliance_state.State | None = None
        self._has_run = False
        self._flags = ''
        self._image = image or str(drives[0].path)
        try:
            self.appliance = appliances.launch(
                drives,
                _within(settings.appliance, run_timeout),
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
            # libguestfs' own condition for its swap of /etc/resolv.conf.
            self._swaps = bool(self._call(self._handle.get_network))
            self.root = self._call(
                guest_mounts.mount_all,
                self._handle,
                image=self._image,
                wanted=settings.root_filesystem,
                on_notice=on_notice or LOG.warning,
            )
        except exception.StepError as error:
            self.close()
            raise exception.InvalidImage(
                path=self._image, reason=error
            ) from error
        except BaseException:
            self.close()
            raise

    @property
    def _handle(self) -> Any:
        return self.appliance.handle

    def _call(
        self, function: Callable[..., Any], *args: Any, **kw: Any
    ) -> Any:
        """A short call: it is given five minutes."""
        return self.appliance.call(
            function, *args, timeout=self._remaining(300.0), **kw
        )

    def _remaining(self, limit: float) -> float:
        if self._end is None:
            return limit
        left = self._end - time.monotonic()
        if left <= 0:
            self.appliance.kill()
            raise exception.RunTimeout(seconds=self._run_timeout)
        return min(limit, left)

    # -- commands -----------------------------------------------------------

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b'',
        timeout: float | None = None,
        check: bool = True,
        on_output: base.OutputCallback | None = None,
    ) -> base.CommandResult:
        directory = ''
        input_file = '/dev/null'
        if stdin:
            directory = self._make_directory()
            input_file = f'{directory}/input'
            self._guest_call(self._handle.write, input_file, stdin)
        return self._run(
            _Invocation(argv, argv, env, input_file, directory),
            timeout=timeout,
            check=check,
            on_output=on_output,
        )

    def run_script(
        self,
        content: bytes,
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        check: bool = True,
        on_output: base.OutputCallback | None = None,
    ) -> base.CommandResult:
        directory = self._make_directory()
        path = f'{directory}/{_file_name(name)}'
        self._guest_call(self._place_script, path, content)
        return self._run(
            _Invocation(
                (name,),
                ['/bin/sh', '-c', guest_wrapper.BY_SHEBANG, name, path],
                env,
                remove=directory,
            ),
            timeout=timeout,
            check=check,
            on_output=on_output,
        )

    def _make_directory(self) -> str:
        directory = f'/tmp/.imagebuild-{secrets.token_hex(8)}'  # noqa: S108
        self._guest_call(self._new_directory, directory)
        return directory

    def _new_directory(self, directory: str) -> None:
        if not self._handle.is_dir('/tmp', followsymlinks=True):  # noqa: S108
            real = guest_files.make_directory(self._handle, '/tmp')  # noqa: S108
            self._handle.chmod(0o1777, real)
        self._handle.mkdir_mode(directory, 0o700)

    def _place_script(self, path: str, content: bytes) -> None:
        self._handle.write(path, content)
        self._handle.chmod(0o700, path)

    def _run(
        self,
        invocation: _Invocation,
        *,
        timeout: float | None,
        check: bool,
        on_output: base.OutputCallback | None,
    ) -> base.CommandResult:
        shown = invocation.shown
        own_limit = self._command_timeout if timeout is None else timeout
        limit = self._remaining(own_limit)
        token = secrets.token_hex(16)
        command = guest_wrapper.command(
            invocation.argv,
            invocation.env,
            token=token,
            input_file=invocation.input_file,
            remove=invocation.remove,
            aside=guest_resolver.aside(token) if self._swaps else '',
        )
        guest_wrapper.refuse_long(command, shown)
        before = self.prepare()
        collector = output_channel.Collector(self._channel, token, on_output)
        self._has_run = True
        start = time.monotonic()
        watch = time_limit.TimeLimit(self._channel, token, limit)
        ending = self._command(shown[0], command, collector, watch, limit)
        self._undo(shown[0], before)
        self._accounts.forget()
        if ending.resolver:
            self._guest_call(guest_resolver.keep, self._handle, token)
        result = base.CommandResult(
            tuple(shown),
            ending.code,
            collector.text('stdout'),
            collector.text('stderr'),
            time.monotonic() - start,
        )
        if ending.stopped and watch.reached:
            self._remaining(1)
            raise exception.RemoteCommandTimeout(
                command=shown[0], seconds=round(limit)
            )
        if check and ending.code:
            raise exception.RemoteCommandFailed(
                shown, ending.code, result.stdout, result.stderr
            )
        return result

    def prepare(self) -> appliance_state.State:
        """Look whether commands can run, and what runs without them.

        Done before the first command, unless it was called sooner, and once.

        :raises InvalidImage: the image's shell cannot be run.
        """
        if self._before is not None:
            return self._before
        self._call(guest_shell.check, self._handle, self._image)
        self._flags = self._call(guest_flags.clear, self._handle)
        self._before = self._call(appliance_state.look, self._handle)
        return self._before

    def _command(
        self,
        shown: str,
        command: Sequence[str],
        collector: output_channel.Collector,
        watch: time_limit.TimeLimit,
        limit: float,
    ) -> guest_wrapper.Ending:
        def tick() -> None:
            watch.check()
            collector.drain()

        try:
            output = self.appliance.call(
                self._handle.command,
                list(command),
                timeout=limit + _GRACE,
                on_timeout=lambda: self._hung(shown),
                on_tick=tick,
            )
        except RuntimeError as error:
            raise guest_faults.not_started(error) from error
        except exception.ApplianceFailed as error:
            raise self._blamed(error, shown) from error
        try:
            collector.finish()
            return guest_wrapper.parse(output)
        except (exception.ApplianceFailed, IndexError, ValueError) as error:
            raise guest_faults.output_lost(shown) from error

    def _undo(self, shown: str, before: appliance_state.State) -> None:
        """Undo what a command left.

        :raises GuestBroken: it cannot be undone.
        """
        try:
            left = self.appliance.call(
                guest_leftovers.undo,
                self._handle,
                before,
                timeout=self._remaining(_UNDOING),
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
        self, error: exception.ApplianceFailed, shown: str
    ) -> Exception:
        broken = guest_faults.ended_by_guest(
            shown,
            self.appliance.console,
            by_guest=self._channel.events.ended_by_guest(),
        )
        return broken or error

    def _hung(self, shown: str) -> Exception:
        if self._end is not None and time.monotonic() > self._end:
            return exception.RunTimeout(seconds=self._run_timeout)
        return guest_faults.never_ended(shown)

    # -- files --------------------------------------------------------------

    def _guest_call(
        self, function: Callable[..., Any], *args: Any, **kw: Any
    ) -> Any:
        """A call whose failure is the guest's: its disk refuses."""
        try:
            return self._call(function, *args, **kw)
        except RuntimeError as error:
            raise exception.StepError(
                f'the image refuses: {" ".join(str(error).split())}'
            ) from error

    def read_file(self, path: str) -> bytes:
        content: bytes | None = self._guest_call(
            guest_reading.read, self._handle, path
        )
        if content is None:
            raise exception.RemoteFileNotFound(path=path)
        return content

    def write_file(
        self,
        path: str,
        content: bytes,
        *,
        mode: int = 0o644,
        owner: str = 'root',
        group: str = 'root',
    ) -> None:
        ids = {
            'uid': self._accounts.user(owner),
            'gid': self._accounts.group(group),
        }
        self._guest_call(
            guest_files.write, self._handle, path, content, mode=mode, **ids
        )

    def remove_file(self, path: str) -> None:
        self._guest_call(self._handle.rm_f, path)

    # -- the end ------------------------------------------------------------

    def relabel_selinux(self) -> str:
        """Give every file its SELinux label, where the guest uses SELinux.

        :returns: what was done, as a message; '' when the guest does not
            use it.
        """
        contexts: str = self._guest_call(
            guest_selinux.file_contexts, self._handle
        )
        if not contexts:
            return ''
        if guest_selinux.set_labels(self, contexts):
            return 'The files were given their SELinux labels.'
        self._guest_call(self._handle.touch, '/.autorelabel')
        return 'SELinux labels will be set at the first boot.'

    def trim(self) -> None:
        """Tell the overlay which blocks are free; no error if it cannot."""

        def trim() -> None:
            for target in self._handle.mountpoints().values():
                try:
                    self._handle.fstrim(target)
                except RuntimeError as error:
                    LOG.debug('%s cannot be trimmed: %s', target, error)

        self._call(trim)

    def shutdown(self) -> None:
        """Unmount and end the appliance: everything is on the disk.

        :raises EnvironmentFault: it is not; the disk must not be used.
        :raises GuestBroken: nor is it then, and what ran is to blame.
        """
        try:
            self._call(guest_flags.put_back, self._handle, self._flags)
            self._call(self._handle.umount_all)
        except RuntimeError as error:
            if self._has_run:
                raise guest_faults.still_busy(error) from error
            raise exception.ApplianceFailed(
                reason=f'the file systems could not be unmounted ({error})'
            ) from error
        self.appliance.shutdown()
        self.close()

    def close(self) -> None:
        self._channel.close()
        self.appliance.close()


def _within(
    settings: appliances.ApplianceSettings, run_timeout: float | None
) -> appliances.ApplianceSettings:
    """The start may not take longer than the whole run."""
    if run_timeout is None or run_timeout >= settings.launch_timeout:
        return settings
    return dataclasses.replace(settings, launch_timeout=run_timeout)


def _file_name(name: str) -> str:
    """The last component of a name, if it can be that of a file."""
    last = name.rsplit('/', 1)[-1].replace('\0', '')
    if last in ('', '.', '..') or len(last.encode()) > 200:
        return 'script'
    return last
