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
"""The user and network namespace that all commands of a sandbox share.

A process makes them, in the order in which the kernel wants it, and waits
until it is not needed any more; from then on descriptors keep them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import resource
import signal
import socket
import struct
from collections.abc import Iterator
from collections.abc import Sequence
from typing import NoReturn

from imagebuild.common import user_network
from imagebuild.sandbox import identities
from imagebuild.sandbox import sandbox_settings
from imagebuild.sandbox import syscalls

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
#: Kinds of namespaces; a sandbox makes none.
_KINDS = ('cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts')


class Refused(Exception):
    """The namespaces cannot be made; the text is the reason."""


@dataclasses.dataclass(frozen=True)
class Namespaces:
    """Descriptors of namespaces, which keep them.

    :ivar user: in which the guest's ids are ids of this host.
    :ivar network: whose only way out, if there is one, is slirp4netns.
    """

    user: int
    network: int


@contextlib.contextmanager
def make(
    ids: identities.Identities, settings: sandbox_settings.SandboxSettings
) -> Iterator[tuple[int, Namespaces]]:
    """Make the namespaces.

    :returns: the id of a process that is in them during the block, and the
        namespaces.
    :raises Refused: this host does not allow it.
    """
    reasons = []
    # What the owner of a user namespace may, all in it may not exceed,
    # whatever their ids. The host's root has no limit; but some hosts let
    # nobody else make user namespaces.
    for owner in (ids.first, 0):
        maker = _Maker(owner, settings)
        try:
            maker.proceed()
            _write_ids(maker.pid, ids.first)
            maker.proceed()
            made = Namespaces(maker.open('user'), maker.open('net'))
        except (OSError, Refused) as error:
            reasons.append(str(error))
            maker.end()
            continue
        try:
            yield maker.pid, made
        finally:
            maker.end()
        return
    raise Refused('; '.join(dict.fromkeys(reasons)))


def _write_ids(pid: int, first: int) -> None:
    for name in ('uid_map', 'gid_map'):
        with open(f'/proc/{pid}/{name}', 'w', encoding='ascii') as stream:
            stream.write(f'0 {first} {identities.SIZE}\n')


class _Maker:
    """The process in the namespaces.

    It goes one step further each time that it is told to, and says how that
    went: nothing, or the reason why not.
    """

    def __init__(
        self, owner: int, settings: sandbox_settings.SandboxSettings
    ) -> None:
        addresses = user_network.host_addresses()
        self._ours, theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET
        )
        self.pid = os.fork()
        if not self.pid:
            self._ours.close()
            _run(theirs, owner, settings, addresses)
        theirs.close()

    def proceed(self) -> None:
        """Let it do its next step.

        :raises Refused: that was not possible.
        """
        self._ours.send(b'next')
        answer = self._ours.recv(1000)
        if answer != b'done':
            text = answer.decode('utf-8', 'replace')
            raise Refused(text or 'a namespace could not be made')

    def open(self, kind: str) -> int:
        """A descriptor of one of its namespaces."""
        return os.open(f'/proc/{self.pid}/ns/{kind}', os.O_RDONLY)

    def end(self) -> None:
        self._ours.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _run(
    connection: socket.socket,
    owner: int,
    settings: sandbox_settings.SandboxSettings,
    addresses: Sequence[str],
) -> NoReturn:
    try:
        what = 'user'
        connection.recv(1000)
        _enter_user(owner, settings.processes)
        connection.send(b'done')
        what = 'network'
        connection.recv(1000)
        _enter_network(settings, addresses)
        connection.send(b'done')
        connection.recv(1000)
    except OSError as error:
        text = f'no {what} namespace can be made: {error.strerror}'
        connection.send(text.encode())
    finally:
        os._exit(0)


def _enter_user(owner: int, processes: int) -> None:
    if owner:
        _hard_limit(resource.RLIMIT_NPROC, processes)
        os.setgroups([])
        os.setresgid(owner, owner, owner)
        os.setresuid(owner, owner, owner)
    syscalls.unshare(syscalls.CLONE_NEWUSER)


def _hard_limit(what: int, wanted: int) -> None:
    _soft, hard = resource.getrlimit(what)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(what, (limit, limit))


def _enter_network(
    settings: sandbox_settings.SandboxSettings, addresses: Sequence[str]
) -> None:
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    syscalls.unshare(syscalls.CLONE_NEWNET)
    loopback_up()
    if settings.network and not settings.allow_host_network:
        user_network.block_host(addresses)
    _set('net/ipv4/ping_group_range', f'0 {identities.SIZE - 2}')
    # A second lock behind the filter for system calls.
    for kind in _KINDS:
        _set(f'user/max_{kind}_namespaces', '0')


def _set(name: str, value: str) -> None:
    """Set what is a namespace's own; older kernels lack some."""
    with contextlib.suppress(FileNotFoundError):
        with open(f'/proc/sys/{name}', 'w', encoding='ascii') as stream:
            stream.write(value)


def loopback_up() -> None:
    """Turn on the loopback interface of this thread's network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack('16sh14x', b'lo', 0)
        found = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from('h', found, 16)
        request = struct.pack('16sh14x', b'lo', flags | _IFF_UP)
        fcntl.ioctl(control, _SIOCSIFFLAGS, request)
