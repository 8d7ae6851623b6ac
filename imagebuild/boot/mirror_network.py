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
"""A network in which there is nothing but a proxy, which leads to mirrors.

QEMU's own network makes connections of the machine into connections of QEMU,
and its gateway is the loopback interface. So QEMU is put into a network
namespace that has no other interface, and on its loopback interface there
listens :mod:`imagebuild.boot.mirror_proxy`, which itself is in the network of
this host. No name server is needed: the proxy looks names up.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.boot import confinement
from imagebuild.boot import mirror_proxy
from imagebuild.common import os_errors
from imagebuild.disks import kept_process
from imagebuild.disks import workspaces
from imagebuild.sandbox import namespaces
from imagebuild.sandbox import syscalls

_PORT = 3142
#: What the machine reaches it by: the gateway of QEMU's network.
PROXY = f'http://10.0.2.2:{_PORT}'
#: Seconds until the proxy must serve.
_START = 60.0
#: MiB, with the interpreter.
_MEMORY = 256
#: Bytes of what it prints.
_LONGEST_LOG = 1024 * 1024
_LONGEST_MESSAGE = 65536


class MirrorNetwork:
    """One that is there.

    :ivar descriptor: of the namespace.
    """

    def __init__(
        self,
        descriptor: int,
        log: pathlib.Path,
        proxy: kept_process.KeptProcess,
    ) -> None:
        self.descriptor = descriptor
        self._log = log
        self._proxy = proxy

    @property
    def failed(self) -> str:
        """How the proxy has ended; '' while it serves."""
        if not self._proxy.has_exited:
            return ''
        code = self._proxy.exit_code
        if code is not None and code > 128:
            return f'it was ended by signal {code - 128}'
        return 'it ended'

    def said(self) -> list[str]:
        """What mirrors did not have, and what was refused."""
        with contextlib.suppress(OSError), self._log.open('rb') as file:
            text = file.read(_LONGEST_MESSAGE).decode('utf-8', 'replace')
            return text.splitlines()[1:]
        return []


@contextlib.contextmanager
def opened(
    mirrors: Sequence[str], workspace: workspaces.Workspace
) -> Iterator[MirrorNetwork]:
    """Have a network for as long as the block lasts.

    :param mirrors: URLs of what is in reach.
    :param workspace: for what the proxy prints.
    :raises EnvironmentFault: this host gives none.
    """
    with contextlib.ExitStack() as stack:
        listener, descriptor = _made()
        stack.callback(os.close, descriptor)
        stack.enter_context(listener)
        user = stack.enter_context(confinement.own_user(memory=_MEMORY))
        directory = workspace.path / 'proxy'
        with os_errors.on_write(directory):
            directory.mkdir(mode=0o700)
        number = listener.fileno()
        process = kept_process.KeptProcess(
            [
                sys.executable,
                *('-I', '-S', mirror_proxy.__file__),
                *(str(number), *mirrors),
            ],
            directory,
            'proxy',
            through=confinement.command(
                '/', user, written=_LONGEST_LOG, kvm=False, own_network=False
            ),
            pass_fds=(number,),
        )
        stack.callback(process.kill)
        workspace.record_process(process.pid)
        _wait(process)
        yield MirrorNetwork(descriptor, directory / 'proxy.log', process)


def _wait(process: kept_process.KeptProcess) -> None:
    """Wait until the proxy serves.

    :raises EnvironmentFault: it does not.
    """
    end = time.monotonic() + _START
    while process.said.split(' ')[0] != mirror_proxy.READY:
        late = time.monotonic() > end
        if late or process.wait(0.02):
            reason = f'it did not start within {_START:.0f} seconds'
            shown = process.describe(reason if late else 'it ended')
            raise exception.EnvironmentFault(
                f'The proxy that leads a machine to mirrors failed: {shown}.'
            )


def _made() -> tuple[socket.socket, int]:
    """A namespace with something that listens in it.

    A thread goes there, and ends: the others stay where they are.
    """
    found: list[tuple[socket.socket, int]] = []
    errors: list[OSError] = []

    def make() -> None:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            namespaces.loopback_up()
            descriptor = os.open(
                '/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC
            )
            listener = socket.create_server(('127.0.0.1', _PORT), backlog=64)
            found.append((listener, descriptor))
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if errors:
        raise exception.EnvironmentFault(
            'This host gives no network of its own to a machine: '
            f'{os_errors.reason_of(errors[0])}.'
        ) from errors[0]
    return found[0]
