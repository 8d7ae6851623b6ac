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
"""Reach inside a running machine over SSH.

Each command has a channel of its own, in which a shell of root waits for what
to do (:mod:`ssh_shell`). Nothing is sent before that shell has said that it
is there, and nothing but one fixed line is seen in the machine's process
lists and logs. When the connection breaks, or a command's time is up, the
shell sees the end of its standard input and ends the command with all that it
started. A daemon that has left the session of a command which ended by itself
goes on: a machine that runs has services.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from imagebuild import exception
from imagebuild.common import guest_scripts
from imagebuild.remotes import base
from imagebuild.remotes import guest_faults
from imagebuild.remotes import guest_reading
from imagebuild.remotes import invocations
from imagebuild.remotes import output
from imagebuild.remotes import posix
from imagebuild.remotes import ssh_channel
from imagebuild.remotes import ssh_connection
from imagebuild.remotes import ssh_settings
from imagebuild.remotes import ssh_shell
from imagebuild.remotes import time_limit

#: Seconds between two looks at the clock.
_TICK = 0.1
#: Seconds that the machine is given to stop a command.
_GRACE = 30.0
#: Seconds until a machine that is not reached any more is given up.
_UNTIL_SEEN = 25.0
#: Seconds for reading or writing one file.
_FILE = 300.0
#: Bytes that may be printed before the shell is there.
_MOST_BEFORE = 64 * 1024


class SshRemote(posix.PosixRemote):
    """A running machine.

    :param target: the machine and how to get in.
    :param on_lost: called when it is not to be used any more; returns what
        is raised. None for the error as it is.
    :raises HostUnreachable: it does not let us in.
    :raises InvalidInput: a key cannot be used.
    """

    runs = True

    def __init__(
        self,
        target: ssh_settings.Target,
        *,
        on_lost: Callable[[ssh_settings.Loss], Exception] | None = None,
    ) -> None:
        super().__init__(
            str(target.address),
            command_timeout=target.settings.command_timeout,
            run_timeout=target.settings.run_timeout,
        )
        self._target = target
        self._connection = ssh_connection.Connection(target)
        self._on_lost = on_lost
        self._ran = ''
        self._seen_again: str | None = None
        self._prefix = ''
        self._asks = False
        #: A directory of the machine in which programs may be.
        self._base = '/tmp'  # noqa: S108

    # -- becoming root -------------------------------------------------------

    def _prepare(self) -> None:
        """Look how to become root, and where scripts can be.

        :raises HostUnreachable: it cannot be done.
        """
        user = self._ask('id -u')
        if not user.isdigit():
            # An image of a cloud says here who logs in instead of root.
            raise ssh_connection.unreachable(
                self._name,
                'its shell runs no commands '
                f'({ssh_connection.said(user or "it says nothing")})',
            )
        if user != '0':
            self._become_root()
        found = self._run_quietly(
            ['/bin/sh', '-c', ssh_shell.FIND_ROOM, 'sh', _new_name()]
        )
        if found.code == 0:
            self._base = found.stdout.strip()

    def _become_root(self) -> None:
        self._prefix = 'sudo -n '
        try:
            self._open().close()
        except ssh_connection.HostUnreachable as error:
            if self._sudo_password is None:
                raise ssh_connection.unreachable(
                    self._name,
                    'sudo needs a password, or does not allow it: '
                    f'{_reason(error)}',
                ) from error
            self._asks = True
            self._open().close()

    @property
    def _sudo_password(self) -> str | None:
        login = self._target.login
        if login.sudo_password is not None:
            return login.sudo_password
        return login.password

    def _ask(self, question: str) -> str:
        """What a command of the user, not of root, prints as its last line.

        What is no single word comes whole, standard error included.
        """
        channel = self._connection.open(
            # On a line of its own, whatever was printed before.
            f"exec /bin/sh -c 'echo;{question}'"
        )
        try:
            collector = output.Collector(channel, None)
            self._wait(channel, collector, 'its shell')
            lines = collector.text('stdout').split('\n')
            answer = [line.strip() for line in lines if line.strip()][-1:]
            if answer and ' ' not in answer[0]:
                return answer[0]
            return ' '.join(
                collector.text(stream) for stream in output.STREAMS
            ).strip()
        finally:
            channel.close()

    def _wait(
        self,
        channel: ssh_channel.Channel,
        collector: output.Collector,
        what: str,
    ) -> None:
        limit = self._target.settings.connect_timeout
        end = time.monotonic() + limit
        while not collector.ended:
            collector.drain(_TICK)
            if time.monotonic() > end:
                raise ssh_connection.unreachable(
                    self._name, f'{what} did not answer in {limit:.10g} s'
                )

    # -- commands -----------------------------------------------------------

    def _open(self) -> ssh_channel.Channel:
        """A shell of root that waits for what to do.

        :raises HostUnreachable: there is none.
        """
        nonce = secrets.token_hex(8)
        prompt = f'[imagebuild-{nonce}] '
        prefix = self._prefix
        if self._asks:
            prefix = f"sudo -k -S -p '{prompt}' "
        channel = self._connection.open(ssh_shell.begin(nonce, prefix))
        opening = _Opening(nonce, prompt, self._sudo_password or '')
        end = time.monotonic() + self._target.settings.connect_timeout
        try:
            while not opening.ready:
                piece = channel.next_piece(_TICK)
                reason = opening.take(piece, channel)
                heard = True
                if channel.ended and not opening.ready:
                    reason = f'its shell does not start{opening.said()}'
                    heard = ssh_connection.is_by_machine(channel.error)
                elif time.monotonic() > end:
                    reason = f'its shell does not answer{opening.said()}'
                    heard = False
                if reason:
                    raise ssh_connection.unreachable(
                        self._name, reason, by_machine=heard
                    )
        except BaseException:
            channel.close()
            raise
        return channel

    def _exec(
        self,
        invocation: invocations.Invocation,
        on_output: base.OutputCallback | None,
    ) -> invocations.Ending:
        self._ran = invocation.shown
        ending, _ = self._exchange(invocation, on_output)
        return ending

    def _exchange(
        self,
        invocation: invocations.Invocation,
        on_output: base.OutputCallback | None = None,
    ) -> tuple[invocations.Ending, output.Collector]:
        try:
            return self._exchanged(invocation, on_output)
        except ssh_connection.HostUnreachable as error:
            if self._on_lost is None:
                raise
            lost = error.by_machine
            loss = ssh_settings.Loss(
                self._ran, error, lost, lambda: self._again(lost)
            )
            raise self._on_lost(loss) from error

    def _again(self, lost: bool) -> str:
        # Once: all that follows would wait as long.
        if self._seen_again is None:
            self._seen_again = ssh_connection.again(
                self._target, _UNTIL_SEEN, lost
            )
        return self._seen_again

    def _exchanged(
        self,
        invocation: invocations.Invocation,
        on_output: base.OutputCallback | None,
    ) -> tuple[invocations.Ending, output.Collector]:
        token = secrets.token_hex(16)
        channel = self._open()
        try:
            directory = invocation.directory or self._new_directory()
            channel.write(
                ssh_shell.program(
                    invocation.argv,
                    invocation.env,
                    token=token,
                    mark=secrets.token_hex(8),
                    room=directory,
                    is_made=bool(invocation.directory),
                    length=len(invocation.stdin),
                )
            )
            channel.write(invocation.stdin)
            collector = output.Collector(
                channel, on_output, mark=token.encode()
            )
            watch = time_limit.TimeLimit(channel.write_eof, invocation.seconds)
            self._follow(channel, collector, watch, invocation.shown)
            channel.write(ssh_shell.DONE)
            code = channel.exit_code(_GRACE)
        finally:
            channel.close()
        if code is None:
            raise guest_faults.never_ended(invocation.shown)
        ending = invocations.Ending(
            code,
            watch.reached,
            collector.text('stdout'),
            collector.text('stderr'),
        )
        return ending, collector

    def _follow(
        self,
        channel: ssh_channel.Channel,
        collector: output.Collector,
        watch: time_limit.TimeLimit,
        shown: str,
    ) -> None:
        """Wait until all that a command prints has arrived."""
        while not collector.ended:
            collector.drain(_TICK)
            watch.check()
            if collector.ended:
                return
            if channel.ended:
                self._lost(channel, shown)
            if watch.is_over(_GRACE):
                # Where it can be reached, that is the command's doing.
                raise ssh_connection.unreachable(
                    self._name,
                    f'it does not stop {shown}, whose time is up',
                    by_machine=True,
                )

    def _lost(self, channel: ssh_channel.Channel, shown: str) -> None:
        if channel.error is None and channel.exit_code(1) not in (None, 255):
            raise guest_faults.output_lost(shown)
        why = f' ({ssh_connection.said(channel.error)})' * bool(channel.error)
        raise ssh_connection.unreachable(
            self._name,
            f'the connection was lost during {shown}{why}',
            by_machine=ssh_connection.is_by_machine(channel.error),
        )

    def _new_directory(self) -> str:
        return f'{self._base}/{_new_name()}'

    def _run_quietly(
        self, argv: list[str], stdin: bytes = b''
    ) -> invocations.Ending:
        return self._exchange(self._of_file(argv, stdin))[0]

    # -- files --------------------------------------------------------------

    def _of_file(
        self, argv: list[str], stdin: bytes = b''
    ) -> invocations.Invocation:
        invocations.refuse_long(argv[-1], argv, invocations.ENVIRONMENT)
        return invocations.Invocation(
            'a look at its files',
            argv,
            invocations.ENVIRONMENT,
            stdin=stdin,
            seconds=self._within(_FILE),
        )

    def _on_files(
        self, script: str, *args: str, stdin: bytes = b''
    ) -> output.Collector:
        """Run one of the scripts for files.

        :raises StepError: the machine refuses.
        """
        self.prepare()
        ending, collector = self._exchange(
            self._of_file(['/bin/sh', '-c', script, 'sh', *args], stdin)
        )
        if ending.stopped:
            raise exception.StepError(
                f'{self._name} did not end with {args[0]} in {_FILE:.0f} s'
            )
        if ending.code == ssh_shell.NO_FILE:
            raise exception.RemoteFileNotFound(path=args[0])
        if ending.code == ssh_shell.LARGER:
            raise exception.StepError(
                f'{args[0]} is larger than the '
                f'{guest_reading.LARGEST // 1024} KiB that are read of such '
                'a file'
            )
        if ending.code:
            why = ' '.join(ending.stderr.split()) or 'it does not say why'
            raise exception.StepError(f'{self._name} refuses: {why}')
        return collector

    def _place_script(self, directory: str, path: str, content: bytes) -> None:
        self._on_files(ssh_shell.PLACE, directory, path, stdin=content)

    def read_file(self, path: str) -> bytes:
        most = str(guest_reading.LARGEST + 1)
        return self._on_files(ssh_shell.READ, path, most).content('stdout')

    def write_file(
        self,
        path: str,
        content: bytes,
        *,
        mode: int = 0o644,
        owner: str = 'root',
        group: str = 'root',
    ) -> None:
        self._on_files(
            guest_scripts.WRITE,
            path,
            f'{mode:o}',
            owner,
            group,
            secrets.token_hex(8),
            stdin=content,
        )

    def remove_file(self, path: str) -> None:
        self._on_files(ssh_shell.REMOVE, path)

    # -- the end ------------------------------------------------------------

    def _give_up(self) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()


class _Opening:
    """Waits for the shell, and tells sudo the password once."""

    def __init__(self, nonce: str, prompt: str, password: str) -> None:
        self._line = f'{nonce}-{ssh_shell.READY}\n'.encode()
        self._prompt = prompt.encode()
        self._password = password
        self._printed: dict[base.Stream, bytes] = {
            'stdout': b'',
            'stderr': b'',
        }
        self._prompts = 0
        self.ready = False

    def take(
        self,
        piece: tuple[base.Stream, bytes] | None,
        channel: ssh_channel.Channel,
    ) -> str:
        """Look at what was printed.

        :returns: why it is in vain, '' if it is not.
        """
        if piece is None:
            return ''
        stream, data = piece
        self._printed[stream] += data
        if len(self._printed[stream]) > _MOST_BEFORE:
            return 'it prints without end before its shell is there'
        # Whatever comes with it is no output either: nothing runs yet.
        self.ready = all(
            self._line in printed for printed in self._printed.values()
        )
        prompts = self._printed['stderr'].count(self._prompt)
        if prompts > 1:
            return 'sudo refuses the password'
        if prompts > self._prompts:
            self._prompts = prompts
            channel.write(f'{self._password}\n'.encode())
        return ''

    def said(self) -> str:
        """What the far end complains of, in parentheses."""
        text = self._printed['stderr'].replace(self._prompt, b'')
        text = text.replace(self._line, b'')
        lines = text.decode('utf-8', 'replace').split('\n')
        last = [line for line in lines if line.strip()][-1:]
        return f' ({ssh_connection.said(last[0])})' if last else ''


def _new_name() -> str:
    return posix.new_name().rpartition('/')[2]


def _reason(error: ssh_connection.HostUnreachable) -> str:
    return str(error.kwargs['reason'])
