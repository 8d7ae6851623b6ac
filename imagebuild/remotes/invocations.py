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
"""One command, as a way to a system is told to run it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import exception

#: What every command is given, as documented at Remote.run.
ENVIRONMENT: Mapping[str, str] = {
    'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'HOME': '/root',
    'LC_ALL': 'C.UTF-8',
    'DEBIAN_FRONTEND': 'noninteractive',
    'TERM': 'dumb',
}

#: Bytes of one argument that the kernel takes (MAX_ARG_STRLEN), and of all
#: of them with the variables: a quarter of the usual limit of a stack, less
#: what a Remote's own wrapper needs.
LONGEST_ARGUMENT = 128 * 1024 - 1
LONGEST_OF_ALL = 2 * 1024 * 1024 - 64 * 1024
#: What the kernel counts for each of them beside its bytes and their end.
POINTER = 8
#: "env" would take others for options, or two for one.
_VARIABLE = re.compile(r'[^-=\0][^=\0]*')


@dataclasses.dataclass(frozen=True)
class Invocation:
    """One command, as a way to a system is told to run it.

    It runs as root with ``/`` as working directory and the umask 022, without
    a terminal, in a session or job that ends with it.

    :ivar shown: what it is called in errors.
    :ivar argv: program, which PATH finds, and arguments.
    :ivar env: all of its variables.
    :ivar stdin: what it can read.
    :ivar directory: of the guest, to be removed when it has ended; '' for
        none.
    :ivar seconds: how long it may run.
    """

    shown: str
    argv: Sequence[str]
    env: Mapping[str, str]
    stdin: bytes = b''
    directory: str = ''
    seconds: float = 1800.0


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a command ended.

    :ivar code: 0 to 255; 126 or 127 when it cannot be started, 128 + n when
        signal n ended it.
    :ivar stopped: whether it was stopped because its time was up.
    :ivar stdout: what it printed, see :meth:`output.Collector.text`.
    :ivar stderr: what it printed there.
    :ivar reason: why it was ended by what it ran in (one sentence without a
        full stop: it used too much memory), '' if it was not.
    """

    code: int
    stopped: bool
    stdout: str
    stderr: str
    reason: str = ''


def refuse_long(
    shown: str, argv: Sequence[str], env: Mapping[str, str]
) -> None:
    """Refuse what a kernel or shell would not take as it is.

    :param shown: what to call the command.
    :raises StepError: an argument or variable, or all of them, are too long,
        hold a NUL character, or a variable's name is none.
    """
    for name in env:
        if not _VARIABLE.fullmatch(name):
            raise exception.StepError(
                f'{shown} cannot be given a variable of the name {name!r}'
            )
    every = [*argv, *(f'{name}={value}' for name, value in env.items())]
    sizes = [len(each.encode('utf-8', 'surrogatepass')) + 1 for each in every]
    if max(sizes) > LONGEST_ARGUMENT + 1:
        raise exception.StepError(
            f'an argument or variable of {shown} is longer than 128 KiB'
        )
    if sum(sizes) + POINTER * len(sizes) > LONGEST_OF_ALL:
        raise exception.StepError(
            f'the arguments and variables of {shown} are longer than '
            f'{LONGEST_OF_ALL // 1024} KiB together'
        )
    if any('\0' in each for each in every):
        raise exception.StepError(
            f'an argument or variable of {shown} holds a NUL character'
        )
