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
"""The way out of a sandbox's network namespace: slirp4netns."""

from __future__ import annotations

import os
import select
from typing import NoReturn

from imagebuild.common import user_network

#: Seconds in which it has to begin.
_BEGIN = 15.0

#: What a command has as /etc/resolv.conf.
RESOLVER = f'nameserver {user_network.NAME_SERVER}\n'.encode()


class Refused(Exception):
    """There is no way out; the text is the reason."""


def start(target: int, *, host_loopback: bool) -> int:
    """Start the program that is the way out.

    :param target: a process in the network namespace; needed until this
        returns.
    :param host_loopback: whether the gateway is this host's loopback.
    :returns: its process id, a child of this process.
    :raises Refused: it does not begin.
    """
    reason = ''
    for options in (user_network.CONFINED, ()):
        command = user_network.command(options, host_loopback=host_loopback)
        output = os.memfd_create('slirp4netns')
        try:
            pid = _begin(command, target, output)
            if pid:
                return pid
            os.lseek(output, 0, os.SEEK_SET)
            text = os.read(output, 65536).decode('utf-8', 'replace')
        finally:
            os.close(output)
        reason = (text.strip().splitlines() or ['it ended'])[-1]
    raise Refused(reason)


def _begin(command: list[str], target: int, output: int) -> int:
    """Returns 0 when it ended, or does not begin."""
    ready, theirs = os.pipe()
    try:
        pid = os.fork()
        if not pid:
            _become([*command, f'--ready-fd={theirs}'], target, output, theirs)
        os.close(theirs)
        readable, _, _ = select.select([ready], [], [], _BEGIN)
        if readable and os.read(ready, 1):
            return pid
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        return 0
    finally:
        os.close(ready)


def _become(
    command: list[str], target: int, output: int, ready: int
) -> NoReturn:
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for number, stream in enumerate((null, output, output)):
            os.dup2(stream, number)
        os.set_inheritable(ready, True)
        os.execvp(command[0], [*command, str(target), 'tap0'])  # noqa: S606
    except OSError as error:
        os.write(output, f'{command[0]}: {error.strerror}'.encode())
    finally:
        os._exit(1)
