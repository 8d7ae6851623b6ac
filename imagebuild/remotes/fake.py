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
"""A Remote for tests: scripted answers, files in memory, a full record.

::

    remote = fake.FakeRemote.of('debian', '12')
    remote.on(['systemctl', 'is-enabled'], fake.Answer('enabled\n'))
    remote.on_script('setup.sh', fake.Answer(exit_code=3))
    manifest.load('image.yaml').run(remote)
    assert remote.commands[-1].env['reconcile'] == '1'

A command that no rule answers is an error that names it: a test never
passes because something unexpected quietly succeeded.
"""

from __future__ import annotations

import dataclasses
import posixpath
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Self

from imagebuild import exception
from imagebuild.remotes import base
from imagebuild.remotes import fake_answers
from imagebuild.remotes.fake_answers import Answer
from imagebuild.remotes.fake_answers import Command
from imagebuild.remotes.fake_answers import Reply

__all__ = [
    'Answer',
    'Command',
    'FakeRemote',
    'File',
    'Reply',
    'UnscriptedCommand',
]

#: ``ID_LIKE`` of releases that tests ask for by name.
_LIKE = {
    'almalinux': 'rhel centos fedora',
    'centos': 'rhel fedora',
    'ol': 'fedora',
    'opensuse-leap': 'suse opensuse',
    'rhel': 'fedora',
    'rocky': 'rhel centos fedora',
    'sles': 'suse',
    'ubuntu': 'debian',
}


class UnscriptedCommand(AssertionError):  # noqa: N818 - it is a test's fault
    """Something was run that no rule of the fake answers."""


@dataclasses.dataclass
class File:
    """A file of the fake's.

    :ivar content: bytes.
    :ivar mode: permission bits.
    :ivar owner: user name, or number as text.
    :ivar group: group name, or number as text.
    """

    content: bytes = b''
    mode: int = 0o644
    owner: str = 'root'
    group: str = 'root'


class FakeRemote(base.Remote):
    """A system that exists in a test only.

    :param files: what is there at the start, path to content.
    :param limit: seconds after which a command is stopped when it has no
        limit of its own.

    :ivar commands: everything that was run, in order.
    :ivar files: path to :class:`File`.
    :ivar links: symbolic links, path to absolute target.
    :ivar users: known user names.
    :ivar groups: known group names.
    :ivar written: paths given to :meth:`write_file`, in order.
    :ivar removed: paths given to :meth:`remove_file`, in order.
    :ivar closed: whether it has been closed.
    """

    def __init__(
        self,
        files: Mapping[str, bytes | str] | None = None,
        *,
        limit: float = 600.0,
    ) -> None:
        self.limit = limit
        self.commands: list[Command] = []
        self.files: dict[str, File] = {}
        self.links: dict[str, str] = {}
        self.users = {'root'}
        self.groups = {'root'}
        self.written: list[str] = []
        self.removed: list[str] = []
        self.closed = False
        self._rules: list[fake_answers.Rule] = []
        for path, content in (files or {}).items():
            self.files[path] = File(
                content.encode() if isinstance(content, str) else content
            )

    @classmethod
    def of(
        cls, name: str, version: str = '', *, like: str | None = None
    ) -> Self:
        """A system with an os-release file and nothing else.

        :param name: ``ID``, such as ``debian``.
        :param version: ``VERSION_ID``, such as ``12``.
        :param like: ``ID_LIKE``; that of the well-known ones by default.
        """
        like = _LIKE.get(name, '') if like is None else like
        lines = [f'ID={name}', f'PRETTY_NAME="{name} {version}"']
        if like:
            lines.append(f'ID_LIKE="{like}"')
        if version:
            lines.append(f'VERSION_ID="{version}"')
        return cls({'/etc/os-release': '\n'.join(lines) + '\n'})

    # -- rules --------------------------------------------------------------

    def when(
        self, matches: Callable[[Command], bool], *replies: Reply
    ) -> None:
        """Answer what a function picks.

        Of several rules that match, the one added last answers.

        :param matches: called with the command.
        :param replies: one per call, the last for every further call;
            success without output by default.
        """
        self._rules.insert(
            0, fake_answers.Rule(matches, list(replies) or [Answer()])
        )

    def on(self, prefix: Sequence[str], *replies: Reply) -> None:
        """Answer commands that begin like this."""
        wanted = tuple(prefix)
        self.when(
            lambda command: (
                command.script is None
                and command.argv[: len(wanted)] == wanted
            ),
            *replies,
        )

    def on_exact(self, argv: Sequence[str], *replies: Reply) -> None:
        """Answer one command, word by word."""
        wanted = tuple(argv)
        self.when(
            lambda command: command.script is None and command.argv == wanted,
            *replies,
        )

    def on_script(self, what: str | bytes, *replies: Reply) -> None:
        """Answer a script.

        :param what: its name, or (bytes) its content.
        """
        self.when(
            lambda command: (
                command.script is not None
                and (
                    command.script == what
                    if isinstance(what, bytes)
                    else command.argv == (what,)
                )
            ),
            *replies,
        )

    # -- the contract -------------------------------------------------------

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
        command = Command(tuple(argv), dict(env or {}), stdin, timeout)
        return self._run(command, check, on_output)

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
        command = Command((name,), dict(env or {}), b'', timeout, content)
        return self._run(command, check, on_output)

    def _run(
        self,
        command: Command,
        check: bool,
        on_output: base.OutputCallback | None,
    ) -> base.CommandResult:
        self._check_open()
        self.commands.append(command)
        start = time.monotonic()
        answer = self._answer(command)
        printed: dict[base.Stream, str] = {'stdout': '', 'stderr': ''}
        for stream, text in answer.output():
            printed[stream] += text
            if on_output is not None:
                on_output(stream, text)
        if answer.error is not None:
            raise answer.error
        limit = self.limit if command.timeout is None else command.timeout
        if answer.times_out or answer.seconds > limit:
            raise exception.RemoteCommandTimeout(
                command=command.argv[0], seconds=limit
            )
        if check and answer.exit_code:
            raise exception.RemoteCommandFailed(
                command.argv,
                answer.exit_code,
                printed['stdout'],
                printed['stderr'],
            )
        return base.CommandResult(
            command.argv,
            answer.exit_code,
            printed['stdout'],
            printed['stderr'],
            answer.seconds or time.monotonic() - start,
        )

    def _answer(self, command: Command) -> Answer:
        for rule in self._rules:
            if rule.matches(command):
                reply = rule.reply()
                return reply if isinstance(reply, Answer) else reply(command)
        kind = 'command' if command.script is None else 'script'
        shown = ' '.join(map(repr, command.argv))
        raise UnscriptedCommand(f'no answer to the {kind} {shown}')

    def read_file(self, path: str) -> bytes:
        self._check_open()
        found = self.files.get(self._real(path))
        if found is None:
            raise exception.RemoteFileNotFound(path=path)
        return found.content

    def write_file(
        self,
        path: str,
        content: bytes,
        *,
        mode: int = 0o644,
        owner: str = 'root',
        group: str = 'root',
    ) -> None:
        self._check_open()
        real = self._target(path)
        for what, name, known in (
            ('user', owner, self.users),
            ('group', group, self.groups),
        ):
            if name not in known and not name.isdecimal():
                raise exception.StepError(f'there is no {what} {name}')
        if self._is_directory(real):
            raise exception.StepError(f'{path} is a directory')
        self.written.append(path)
        self.files[real] = File(content, mode, owner, group)

    def _target(self, path: str) -> str:
        """Where a file is written; a link to nothing, or /run, goes."""
        parent, name = posixpath.split(path)
        parent = self._real(parent)
        above = parent
        while above != '/':
            if above in self.files:
                raise exception.StepError(f'{above} is not a directory')
            above = posixpath.dirname(above)
        here = posixpath.join(parent, name)
        try:
            real = self._real(here)
        except exception.StepError:
            real = 'a loop'
        lasting = here not in self.links or not real.startswith('/run/')
        if lasting and (real in self.files or self._is_directory(real)):
            return real
        self.links.pop(here, None)
        return here

    def _is_directory(self, path: str) -> bool:
        return any(other.startswith(path + '/') for other in self.files)

    def remove_file(self, path: str) -> None:
        self._check_open()
        # A link itself is removed, not what it points to.
        parent, name = posixpath.split(path)
        real = posixpath.join(self._real(parent), name)
        self.removed.append(path)
        if self.links.pop(real, None) is None:
            self.files.pop(real, None)

    def close(self) -> None:
        self.closed = True

    def _check_open(self) -> None:
        if self.closed:
            raise exception.EnvironmentFault('the remote is closed')

    def _real(self, path: str) -> str:
        """Follow symbolic links, at most 40 as Linux does."""
        if not path.startswith('/'):
            raise ValueError(f'{path!r} is not absolute')
        path = posixpath.normpath(path)
        for _ in range(40):
            for link, target in self.links.items():
                if path == link or path.startswith(link + '/'):
                    path = posixpath.normpath(
                        posixpath.join(posixpath.dirname(link), target)
                        + path[len(link) :]
                    )
                    break
            else:
                return path
        raise exception.StepError(f'{path}: too many symbolic links')
