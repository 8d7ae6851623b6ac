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
"""The compute service: servers and their consoles.

Asked as the service user, in the service user's project. Only what drivers
need of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import ClassVar

from imagebuild.clients import rest


class Compute(rest.Service):
    """Nova; see :class:`rest.Service`."""

    service: ClassVar[str] = 'compute'
    thing: ClassVar[str] = 'server'
    needed: ClassVar[str] = 'the driver "snapshot" needs'
    #: Of Pike. 2.37: servers without a network; 2.45: the id of a snapshot.
    versions: ClassVar[Mapping[str, Any]] = {'default_microversion': '2.45'}

    # -- servers ------------------------------------------------------------

    def create_server(self, server: Mapping[str, Any]) -> str:
        """Ask for a server.

        :param server: as Nova's API has it.
        :returns: its id.
        :raises Refused: with the reason.
        :raises Fault: a quota is used up.
        """
        answer = self._call('POST', '/servers', {'server': dict(server)})
        with self._translated():
            return str(answer['server']['id'])

    def server(self, server_id: str) -> dict[str, Any]:
        """A server.

        :raises NotFound: there is none.
        """
        answer = self._call('GET', f'/servers/{server_id}')
        with self._translated():
            return rest.as_object(answer['server'])

    def servers(self, name: str) -> Iterator[dict[str, Any]]:
        """The servers of the project that have this in their names.

        :param name: letters, digits and hyphens.
        """
        return self._each('/servers/detail', 'servers', name=name)

    def delete_server(self, server_id: str) -> None:
        """Have a server deleted.

        :raises NotFound: there is none.
        """
        self._call('DELETE', f'/servers/{server_id}')

    def delete_at_once(self, server_id: str) -> None:
        """Have a server deleted, whatever Nova keeps for a while.

        :raises NotFound: there is none.
        :raises Conflict: it is in a state in which it cannot be.
        """
        self._act(server_id, {'forceDelete': None})

    def stop(self, server_id: str) -> None:
        """Have a server stopped.

        :raises Conflict: it is in a state in which it cannot be.
        """
        self._act(server_id, {'os-stop': None})

    def snapshot(
        self, server_id: str, name: str, properties: Mapping[str, str]
    ) -> str:
        """Have an image made of a server.

        :returns: the id of the image, which is not ready yet.
        """
        answer = self._act(
            server_id,
            {'createImage': {'name': name, 'metadata': dict(properties)}},
        )
        with self._translated():
            return str(answer['image_id'])

    def console(self, server_id: str, lines: int) -> str:
        """The last lines of a server's console; whatever it has printed.

        :raises NotFound: there is none now.
        """
        answer = self._act(
            server_id, {'os-getConsoleOutput': {'length': lines}}
        )
        return str(answer.get('output') or '')

    def _act(self, server_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call('POST', f'/servers/{server_id}/action', body)

    # -- flavors ------------------------------------------------------------

    def flavor(self, name: str) -> dict[str, Any]:
        """A flavor by its name or id.

        :returns: with ``disk``, GiB.
        :raises Refused: there is none.
        """
        answer = self._call('GET', '/flavors/detail')
        with self._translated():
            for each in answer['flavors']:
                if name in (each['name'], each['id']):
                    return {**each, 'disk': int(each.get('disk') or 0)}
        raise rest.Refused(
            service=self.service, reason=f'there is no flavor "{name}".'
        )
