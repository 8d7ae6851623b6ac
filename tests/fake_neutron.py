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
"""A network service in memory, behind real HTTP.

What the driver ``snapshot`` asks is answered as Neutron 29 answers it
(neutron/db/l3_db.py, neutron_lib/exceptions).
"""

import uuid

from tests import json_service


def refused(status, kind, message):
    return json_service.Refused(
        status, message, 'NeutronError', type=kind, detail=''
    )


class FakeNeutron(json_service.JsonService):
    """The service; its state can be looked at and changed.

    :param nova: of whose servers it has the ports.
    :ivar addresses: id to floating address.
    :ivar made: every one that ever was.
    :ivar unreachable: networks from which no router leads outside.
    :ivar quota: of floating addresses.
    :ivar address: that each is given.
    """

    def __init__(self, nova):
        super().__init__()
        self.nova = nova
        self.addresses = {}
        self.made = []
        self.unreachable = set()
        self.quota = 50
        self.address = '127.0.0.1'

    def answer(self, method, path, query, body):
        if (method, path) == ('GET', '/ports'):
            return 200, {'ports': self._ports(query['device_id'])}
        if (method, path) == ('GET', '/floatingips'):
            return 200, {'floatingips': list(self.addresses.values())}
        if (method, path) == ('POST', '/floatingips'):
            return self._create(body['floatingip'])
        found = self.addresses.pop(path.rpartition('/')[2], None)
        if method != 'DELETE' or found is None:
            raise refused(404, 'FloatingIPNotFound', 'could not be found')
        return 204, None

    def _ports(self, server_id):
        server = self.nova.servers.get(server_id)
        networks = server.body['networks'] if server else 'none'
        return [
            {
                'id': str(uuid.uuid5(uuid.UUID(server_id), each['uuid'])),
                'network_id': each['uuid'],
                'device_id': server_id,
            }
            for each in (networks if networks != 'none' else ())
        ]

    def _create(self, asked):
        if len(self.addresses) >= self.quota:
            raise refused(
                409,
                'OverQuota',
                "Quota exceeded for resources: ['floatingip'].",
            )
        [port] = [
            port
            for server_id in list(self.nova.servers)
            for port in self._ports(server_id)
            if port['id'] == asked['port_id']
        ]
        if port['network_id'] in self.unreachable:
            raise refused(
                404,
                'ExternalGatewayForFloatingIPNotFound',
                f'External network {asked["floating_network_id"]} is not '
                'reachable from subnet S.  Therefore, cannot associate Port '
                f'{port["id"]} with a Floating IP.',
            )
        made = {
            'id': str(uuid.uuid4()),
            'floating_ip_address': self.address,
            'description': asked['description'],
            'port_id': port['id'],
            'project_id': 'ours',
        }
        self.addresses[made['id']] = made
        self.made.append(made)
        return 201, {'floatingip': made}
