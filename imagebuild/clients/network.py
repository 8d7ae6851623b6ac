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
"""The network service: floating addresses of servers.

Asked as the service user, in the service user's project. Only what drivers
need of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import ClassVar

from imagebuild import exception
from imagebuild.clients import rest


class Network(rest.Service):
    """Neutron; see :class:`rest.Service`."""

    service: ClassVar[str] = 'network'
    thing: ClassVar[str] = 'floating address'
    needed: ClassVar[str] = 'floating addresses need'
    versions: ClassVar[Mapping[str, Any]] = {
        'min_version': '2',
        'max_version': '2.latest',
    }
    full: ClassVar[tuple[int, ...]] = (403, 409, 413)

    def ports(self, server_id: str) -> list[dict[str, Any]]:
        """The ports of a server."""
        return list(self._each('/ports', 'ports', device_id=server_id))

    def create_floating_address(
        self, network: str, port: str, description: str
    ) -> dict[str, Any]:
        """Make a floating address that leads to a port.

        :param network: id of the external network.
        :param description: by which it is found again.
        :returns: with ``id`` and ``floating_ip_address``.
        :raises Refused: with the reason.
        :raises Fault: a quota is used up.
        """
        asked = {
            'floating_network_id': network,
            'port_id': port,
            'description': description,
        }
        try:
            answer = self._call('POST', '/floatingips', {'floatingip': asked})
        except exception.NotFound as error:
            # Of the network, or of a router to it, in Neutron's words.
            raise rest.Refused(
                service=self.service, reason=error.kwargs['id']
            ) from error
        with self._translated():
            found = rest.as_object(answer['floatingip'])
            return {
                'id': str(found['id']),
                'floating_ip_address': str(found['floating_ip_address']),
            }

    def floating_addresses(self, project: str) -> Iterator[dict[str, Any]]:
        """The floating addresses of a project.

        :param project: id of the service user's; '' for all that are shown.
        """
        query = {'project_id': project} if project else {}
        for each in self._each('/floatingips', 'floatingips', **query):
            if not project or each.get('project_id', project) == project:
                yield each

    def delete_floating_address(self, address_id: str) -> None:
        """Give an address back.

        :raises NotFound: there is none.
        """
        self._call('DELETE', f'/floatingips/{address_id}')

    def _is_last(self, answer: Mapping[str, Any], key: str) -> bool:
        # Some plugins know no pages, and answer with all there is.
        links = answer.get(f'{key}_links') or ()
        return not any(each['rel'] == 'next' for each in links)

    def _is_full(self, reason: str) -> bool:
        words = ('quota exceeded', 'no more ip addresses')
        return any(each in reason.lower() for each in words)
