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
"""How a machine is reached over SSH: data, without the library."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Callable
from collections.abc import Sequence

from imagebuild import exception

PORT = 22
_MOST_PORTS = 65535
#: USER@HOST:PORT, where an IPv6 address with a port is in brackets.
_ADDRESS = re.compile(
    r'(?:(?P<user>[^@\s:/\0]+)@)?'
    r'(?:\[(?P<ip6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\[\]@\s:/\0]+)'
    r'|(?P<bare>[0-9A-Fa-f:.]+(?:%\w+)?))'
    r'(?::(?P<port>[0-9]+))?'
)


#: What a shell reads as more than itself. The SSH configuration of whoever
#: runs this may hand host and user to one ("Match exec", "ProxyCommand"), and
#: an inventory may be somebody else's; ssh(1) refuses these as well.
_NOT_IN_HOSTS = frozenset('\'"`$\\;&<>|(){},*?!#')
_NOT_IN_USERS = _NOT_IN_HOSTS - frozenset('$\\,*?!#')


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a machine is.

    :ivar host: its name, or an IPv4 or IPv6 address without brackets.
    :ivar port: None for that of the SSH configuration, else 22.
    :ivar user: None for that of the SSH configuration, else who runs this.
    """

    host: str
    port: int | None = None
    user: str | None = None

    def __str__(self) -> str:
        host = f'[{self.host}]' if ':' in self.host else self.host
        user = f'{self.user}@' if self.user else ''
        port = f':{self.port}' if self.port not in (None, PORT) else ''
        return f'{user}{host}{port}'


def address(text: str) -> Address:
    """Read ``[USER@]HOST[:PORT]``; an IPv6 address may be in brackets.

    >>> address('root@[2001:db8::1]:2222')
    Address(host='2001:db8::1', port=2222, user='root')

    :raises InvalidInput: it is none.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or (match['host'] or '').startswith('-'):
        raise exception.InvalidInput(
            f'{text!r} is not an address: USER@HOST or USER@HOST:PORT, '
            'an IPv6 address with a port in brackets.'
        )
    port = int(match['port']) if match['port'] else None
    if port is not None and not 0 < port <= _MOST_PORTS:
        raise exception.InvalidInput(
            f'{text!r}: the port {port} is not from 1 to {_MOST_PORTS}.'
        )
    host = match['ip6'] or match['host'] or match['bare']
    if not host.isprintable() or _NOT_IN_HOSTS & set(host):
        raise exception.InvalidInput(
            f'{text!r}: {host!r} is not the name of a host.'
        )
    if match['user'] is not None:
        refuse_user(match['user'])
    return Address(host, port, match['user'])


def refuse_user(name: str) -> None:
    """Refuse what is not the name of a user.

    :raises InvalidInput: it is none.
    """
    if (
        name.startswith('-')
        or not name.isprintable()
        or _NOT_IN_USERS & set(name)
    ):
        raise exception.InvalidInput(f'{name!r} is not the name of a user.')


@dataclasses.dataclass(frozen=True)
class Login:
    """By what one gets in; no value of it is ever shown.

    :ivar keys: private keys, each as the text of its file.
    :ivar passphrase: of these keys, None where they have none.
    :ivar password: for the login, None to try none.
    :ivar sudo_password: None for the one of the login.
    :ivar own: whether to use what the user who runs this has: an agent, the
        keys and the configuration in ``~/.ssh``.
    """

    keys: Sequence[str] = dataclasses.field(default=(), repr=False)
    passphrase: str | None = dataclasses.field(default=None, repr=False)
    password: str | None = dataclasses.field(default=None, repr=False)
    sudo_password: str | None = dataclasses.field(default=None, repr=False)
    own: bool = False


@dataclasses.dataclass(frozen=True)
class HostKeys:
    """By what a machine is known.

    :ivar files: in the format of ``known_hosts``; those that are missing are
        passed over.
    :ivar pinned: fingerprint of the machine's key, ``SHA256:...``; the files
        are not looked at then.
    :ivar accept_new: the key of a machine that is not known yet is accepted,
        and written to the first of the files if there is one. A key that has
        changed never is.
    """

    files: Sequence[pathlib.Path] = ()
    pinned: str | None = None
    accept_new: bool = False


@dataclasses.dataclass(frozen=True)
class SshSettings:
    """Limits, in seconds.

    :ivar connect_timeout: until a machine has let one in.
    :ivar command_timeout: for one command that names no limit.
    :ivar run_timeout: for everything, None for no limit.
    :ivar keepalive: between two questions whether the machine is still
        there; it is taken for gone after three without an answer.
    """

    connect_timeout: float = 30.0
    command_timeout: float = 1800.0
    run_timeout: float | None = None
    keepalive: float = 15.0


@dataclasses.dataclass(frozen=True)
class Target:
    """A machine, and all that is needed to get in.

    :ivar jumps: the machines to go through, the first one first.
    """

    address: Address
    login: Login = dataclasses.field(default_factory=Login)
    host_keys: HostKeys = dataclasses.field(default_factory=HostKeys)
    jumps: Sequence[Address] = ()
    settings: SshSettings = dataclasses.field(default_factory=SshSettings)


@dataclasses.dataclass(frozen=True)
class Loss:
    """A machine has let us in, and is not to be used any more.

    :ivar ran: what ran last, '' for nothing.
    :ivar error: what is known.
    :ivar by_machine: whether it was the machine that ended or refused
        something, and not silence, which may be that of the network.
    :ivar again: tries to get in, for some time; returns what shows that the
        network is well and the machine is to blame, '' when nothing does.
    """

    ran: str
    error: exception.EnvironmentFault
    by_machine: bool
    again: Callable[[], str]
