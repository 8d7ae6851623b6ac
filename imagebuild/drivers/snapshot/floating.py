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
"""A floating address, by which a conductor reaches a server.

Its description is the name of the attempt, by which it is found again.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.clients import network
from imagebuild.clients import rest
from imagebuild.drivers.snapshot import resource
from imagebuild.drivers.snapshot import settings
from imagebuild.drivers.snapshot.resource import ServerFailed

LOG = logging.getLogger(__name__)


class FloatingAddress(resource.Resource[network.Network]):
    """An address; see :class:`resource.Resource`.

    :ivar address: the address, '' where it is only to be deleted.
    """

    address = ''

    def delete(self) -> None:
        """Give it back; no error when that was done."""
        with contextlib.suppress(exception.NotFound):
            self.retried(lambda: self._client.delete_floating_address(self.id))


def made(
    client: network.Network,
    server_id: str,
    stamp: artifacts.AttemptStamp,
    limits: settings.SnapshotSettings,
    retry_timeout: float,
) -> FloatingAddress:
    """Make one that leads to a server, by the first port that one can lead to.

    :raises ServerFailed: there is none that leads there.
    :raises Fault: a quota is used up, or the network has no address left.
    """
    why = 'the server has no port'
    for port in client.ports(server_id):
        try:
            found = client.create_floating_address(
                limits.floating_network, str(port['id']), stamp.name
            )
        except rest.Refused as error:
            why = str(error)
            continue
        address = FloatingAddress(
            client, found['id'], stamp, limits, retry_timeout
        )
        address.address = found['floating_ip_address']
        return address
    raise ServerFailed(
        reason='The server was given no floating address of network '
        f'{limits.floating_network} ([snapshot] floating_network): {why}'
    )


def left(
    client: network.Network, service: str
) -> Iterator[tuple[artifacts.AttemptStamp, str]]:
    """The addresses of a service's attempts; none where there is no Neutron.

    :param service: id of the service.
    :returns: of each the stamp and its id.
    """
    if not service or not client.is_there():
        return
    # A Neutron without routers has no such list.
    with contextlib.suppress(exception.NotFound):
        for found in client.floating_addresses(client.project_id()):
            name = str(found.get('description'))
            stamp = artifacts.AttemptStamp.from_name(name, service)
            if stamp is not None:
                yield stamp, str(found['id'])
