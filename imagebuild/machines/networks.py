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
"""Which addresses a service may connect to for its users."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from imagebuild import exception

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Addresses of the conductor's host itself and of its link, such as that of
#: the metadata service, and those of no machine. A network that is wider than
#: one of these does not mean them: 0.0.0.0/0 is "every machine".
_APART: Sequence[Network] = [
    ipaddress.ip_network(each)
    for each in (
        *('0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16'),
        *('224.0.0.0/4', '240.0.0.0/4'),
        *('::/128', '::1/128', 'fe80::/10', 'ff00::/8'),
    )
]


def read_address(text: str) -> Address:
    """Read an IP address; one of IPv4 in IPv6 is that of IPv4.

    :raises ValueError: it is none, or has a zone.
    """
    if '%' in text:
        raise ValueError('an address with a zone')
    found = ipaddress.ip_address(text)
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped or found.sixtofour or found
    return found


def refusal(
    address: str, port: int, networks: Sequence[str], ports: Sequence[int]
) -> str:
    """Why a service may not connect there.

    :param address: an IP address; names are none, since what a name means
        may change between the look and the connection.
    :returns: a message without a full stop, '' if it may.
    """
    try:
        found = read_address(address)
    except ValueError:
        return 'it is not an IP address'
    if port not in ports:
        return f'the operator allows no port {port}'
    if not networks:
        return 'the operator allows no machines to be validated'
    for each in networks:
        try:
            if _has(ipaddress.ip_network(each, strict=False), found):
                return ''
        except ValueError:
            # Nothing is allowed by what cannot be read.
            continue
    return 'it is in none of the networks that the operator allows'


def _has(network: Network, address: Address) -> bool:
    if address not in network:
        return False
    return all(
        address not in apart or network.prefixlen >= apart.prefixlen
        for apart in _APART
    )


def check_networks(networks: Sequence[str]) -> None:
    """Refuse what is no network.

    :raises InvalidInput: one of them is none.
    """
    for each in networks:
        try:
            ipaddress.ip_network(each, strict=False)
        except ValueError as error:
            raise exception.InvalidInput(
                f'[validation] allowed_networks: {error}.'
            ) from None
