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
"""A network that leads to the world, but not to this host.

Used where a network namespace has slirp4netns as its only way out: by what
starts a guest's qemu, and by the sandbox. It imports nothing of ours and
little else: it stands in the way of every start of a guest.
"""

from __future__ import annotations

import fcntl
import re
import socket
import struct
from collections.abc import Iterable
from collections.abc import Sequence

#: Nobody's network: link-local, as qemu's own in the guest is.
NETWORK = '169.254.240.0/24'
#: slirp4netns answers there for whatever name server the host has, be it on
#: the host's loopback.
NAME_SERVER = '169.254.240.3'
#: Metadata services of clouds (169.254.169.254 and others).
_LINK_LOCAL = ('169.254.0.0', '255.255.0.0')

PROGRAM = 'slirp4netns'
#: Options that confine slirp4netns itself; they do not work everywhere.
CONFINED = ('--enable-sandbox', '--enable-seccomp')

_SIOCADDRT = 0x890B
_RTF_UP_REJECT = 0x0001 | 0x0200


def command(options: Sequence[str], *, host_loopback: bool) -> list[str]:
    """The command that is the way out, without its target.

    :param options: more of them.
    :param host_loopback: whether the gateway is this host's loopback.
    """
    return [
        PROGRAM,
        '--configure',
        *([] if host_loopback else ['--disable-host-loopback']),
        '--mtu=65520',
        f'--cidr={NETWORK}',
        *options,
    ]


def own_addresses(table: str) -> list[str]:
    """IPv4 addresses of this host, without its loopback's.

    :param table: content of /proc/net/fib_trie.
    """
    found = re.findall(r'\|-- (\S+)\n\s+/32 host LOCAL', table)
    return sorted({a for a in found if not a.startswith('127.')})


def host_addresses() -> list[str]:
    """The same for the network namespace of this process."""
    with open('/proc/net/fib_trie', encoding='ascii') as stream:
        return own_addresses(stream.read())


def block_host(addresses: Iterable[str]) -> None:
    """Let nothing reach these, nor link-local addresses.

    To be called in the new network namespace.

    :param addresses: what :func:`host_addresses` found outside.
    :raises OSError: this process may not.
    """
    _block(*_LINK_LOCAL)
    for address in addresses:
        _block(address, '255.255.255.255')


def _block(address: str, mask: str) -> None:
    def packed(text: str) -> bytes:
        return struct.pack('HH4s8x', socket.AF_INET, 0, socket.inet_aton(text))

    # struct rtentry of net/route.h: this needs no program of the host.
    route = struct.pack(
        '@L16s16s16sHhLBB3hhPLLH6x',
        0, packed(address), bytes(16), packed(mask),
        _RTF_UP_REJECT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCADDRT, route)
