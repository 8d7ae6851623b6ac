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
"""What is asked of a fake Remote, and what it answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping

from imagebuild.remotes import base

#: Characters that ``on_output`` is given at a time: few, so that code
#: which looks for words must put them together.
PIECE = 7


@dataclasses.dataclass(frozen=True)
class Command:
    """What was asked of the fake.

    :ivar argv: the command; for a script ``(name,)``.
    :ivar env: the variables given with it.
    :ivar stdin: what it could read.
    :ivar timeout: its time limit, None for the Remote's own.
    :ivar script: the content of a script, None for a command.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stdin: bytes = b''
    timeout: float | None = None
    script: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command does.

    :ivar stdout: what it prints.
    :ivar stderr: what it prints to standard error.
    :ivar exit_code: 0 to 255.
    :ivar pieces: output in the order and pieces it comes in; instead of
        ``stdout`` and ``stderr``. A generator may take its time.
    :ivar seconds: how long it pretends to take; more than its limit, and
        its time is up.
    :ivar times_out: its time is up, whatever the limit.
    :ivar error: raised instead, such as an EnvironmentFault.
    """

    stdout: str = ''
    stderr: str = ''
    exit_code: int = 0
    pieces: Iterable[tuple[base.Stream, str]] = ()
    seconds: float = 0.0
    times_out: bool = False
    error: Exception | None = None

    def output(self) -> Iterable[tuple[base.Stream, str]]:
        """The pieces, in order."""
        yield from self.pieces
        for start in range(0, len(self.stdout), PIECE):
            yield 'stdout', self.stdout[start : start + PIECE]
        for start in range(0, len(self.stderr), PIECE):
            yield 'stderr', self.stderr[start : start + PIECE]


#: An answer, or what computes it (and may change the fake's files).
Reply = Answer | Callable[[Command], Answer]


@dataclasses.dataclass
class Rule:
    """Replies to the commands that it matches, one by one."""

    matches: Callable[[Command], bool]
    replies: list[Reply]

    def reply(self) -> Reply:
        """The next one; the last for every further call."""
        return self.replies.pop(0) if self.replies[1:] else self.replies[0]
