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
"""What all Remotes share whose system is POSIX: commands and scripts.

Everything that does not depend on the way to a system is here: what a command
is given (environment, working directory, standard input), by what a script is
run, how long things may take, what comes of exit codes. A way to a system is
a subclass with a small part: :meth:`PosixRemote._exec` runs one command to its
end, files are read and written, and :meth:`PosixRemote._prepare` looks once
whether all of it can work. :mod:`handled` has the files of systems that are
reached by a :class:`guest_handle.GuestHandle`.
"""

from __future__ import annotations

import abc
import dataclasses
import secrets
import time
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.common import guest_scripts
from imagebuild.remotes import base
from imagebuild.remotes import invocations
from imagebuild.remotes import time_limit


class PosixRemote(base.Remote):
    """A system with a POSIX shell and coreutils or busybox.

    :param name: of the system, for messages.
    :param command_timeout: seconds for one command that names no limit.
    :param run_timeout: seconds from now until everything must be done, None
        for no limit.
    """

    def __init__(
        self,
        name: str,
        *,
        command_timeout: float = 1800.0,
        run_timeout: float | None = None,
    ) -> None:
        self._name = name
        self._command_timeout = command_timeout
        self._run_limit = time_limit.RunLimit(run_timeout)
        self._is_prepared = False
        #: Whether a command has run.
        self._has_run = False

    # -- the small part -----------------------------------------------------

    @abc.abstractmethod
    def _exec(
        self,
        invocation: invocations.Invocation,
        on_output: base.OutputCallback | None,
    ) -> invocations.Ending:
        """Run one command to its end, and end all that it started.

        Afterwards nothing that it started runs, what it left is undone, and
        ``invocation.directory`` is gone.

        :param invocation: what to run; it was looked at, see
            :func:`invocation.refuse_long`.
        :param on_output: called with pieces of output, in this thread.
        :raises GuestBroken: the command took away what it ran in.
        :raises EnvironmentFault: the way to the system broke.
        """

    def _prepare(self) -> None:
        """Look whether commands can run; called once, before the first.

        :raises InvalidImage: they cannot.
        """

    def _new_directory(self) -> str:
        """The name of a directory that a script can be in."""
        return new_name()

    @abc.abstractmethod
    def _place_script(self, directory: str, path: str, content: bytes) -> None:
        """Make a script that root can run, in a directory of its own.

        :param directory: of :func:`new_name`; only root may look into it.
        :param path: of the script, in this directory.
        :raises StepError: the system refuses.
        """

    def _after_command(self) -> None:
        """A command has ended, whatever it did to the system."""

    def _give_up(self) -> None:
        """The time of the run is up: nothing is called any more."""

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
        invocation = self._invocation(argv[0], argv, env, timeout)
        self.prepare()
        return self._run(
            dataclasses.replace(invocation, stdin=stdin),
            argv,
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
        directory = self._new_directory()
        path = f'{directory}/{_file_name(name)}'
        argv = ['/bin/sh', '-c', guest_scripts.BY_SHEBANG, name, path]
        invocation = self._invocation(name, argv, env, timeout)
        self.prepare()
        self._place_script(directory, path, content)
        return self._run(
            dataclasses.replace(invocation, directory=directory),
            (name,),
            check=check,
            on_output=on_output,
        )

    def prepare(self) -> None:
        """Look whether commands can run.

        Done before the first command, unless it was called sooner, and once.

        :raises InvalidImage: the image's shell cannot be run.
        """
        if not self._is_prepared:
            self._prepare()
            self._is_prepared = True

    def _invocation(
        self,
        shown: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        timeout: float | None,
    ) -> invocations.Invocation:
        variables = {**invocations.ENVIRONMENT, **(env or {})}
        invocations.refuse_long(shown, argv, variables)
        limit = self._command_timeout if timeout is None else timeout
        return invocations.Invocation(
            shown, tuple(argv), variables, seconds=limit
        )

    def _run(
        self,
        invocation: invocations.Invocation,
        argv: Sequence[str],
        *,
        check: bool,
        on_output: base.OutputCallback | None,
    ) -> base.CommandResult:
        limit = invocation.seconds
        start = time.monotonic()
        self._has_run = True
        ending = self._exec(
            dataclasses.replace(invocation, seconds=self._within(limit)),
            on_output,
        )
        self._after_command()
        result = base.CommandResult(
            tuple(argv),
            ending.code,
            ending.stdout,
            ending.stderr,
            time.monotonic() - start,
        )
        if ending.stopped:
            self._within(1)
            raise exception.RemoteCommandTimeout(
                command=argv[0], seconds=round(limit)
            )
        if check and ending.code:
            why = f'{argv[0]} was ended: {ending.reason}'
            raise exception.RemoteCommandFailed(
                argv,
                ending.code,
                result.stdout,
                result.stderr,
                reason=why if ending.reason else '',
            )
        return result

    def _within(self, limit: float) -> float:
        """See :meth:`time_limit.RunLimit.within`."""
        try:
            return self._run_limit.within(limit)
        except exception.RunTimeout:
            self._give_up()
            raise


def new_name() -> str:
    """A directory of the guest that nobody can have made before."""
    return f'/tmp/.imagebuild-{secrets.token_hex(8)}'  # noqa: S108


def _file_name(name: str) -> str:
    """The last component of a name, if it can be that of a file."""
    last = name.rsplit('/', 1)[-1].replace('\0', '')
    if last in ('', '.', '..') or len(last.encode()) > 200:
        return 'script'
    return last
