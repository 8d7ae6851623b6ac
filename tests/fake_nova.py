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
"""A compute service in memory, behind real HTTP.

What the driver ``snapshot`` asks is answered as Nova 34 answers it
(tests/cloud/test_snapshot.py is the same against the real one). There is no
guest: its console says what the program in its user data would say.

::

    with FakeGlance() as glance, FakeNova(glance) as nova:
        nova.hold.add('stop')
"""

import base64
import dataclasses
import gzip
import json
import re
import uuid

from tests import json_service

TOKEN = re.compile(r"<<'end-of-file-([0-9a-f]{32})'")
STEPS = re.compile(r'^cat > "\$dir"/step-', re.MULTILINE)
SERVER = re.compile(r'/servers/([0-9a-f-]{36})(/action)?')
#: Of what Nova says in a snapshot, some.
OF_A_SNAPSHOT = {
    'base_image_ref': 'x',
    'boot_roles': 'member,reader',
    'image_type': 'snapshot',
    'instance_uuid': 'y',
    'owner_user_name': 'imagebuild',
}


@dataclasses.dataclass
class Server:
    """A server.

    :ivar body: as it was asked for.
    :ivar looks: how often it was looked at in its status.
    :ivar attached: ids of volumes that its image had Nova attach.
    """

    id: str
    body: dict
    status: str = 'BUILD'
    looks: int = 0
    fault: str = ''
    address: str = '127.0.0.1'
    attached: list = dataclasses.field(default_factory=list)

    def volumes(self):
        """Ids of the volumes that it boots from."""
        mapping = self.body.get('block_device_mapping_v2', ())
        return [each['uuid'] for each in mapping]

    def program(self):
        """What its user data say."""
        packed = base64.b64decode(self.body['user_data'])
        return gzip.decompress(packed).decode()

    def script(self):
        """What a boot test has it run at its start; '' for nothing."""
        data = json.loads(self.program().removeprefix('#cloud-config\n'))
        if 'bootcmd' not in data:
            return ''
        [[*_, start]] = data['bootcmd']
        [encoded] = re.findall(r"printf %s '?([A-Za-z0-9+/=]+)'? \|", start)
        return base64.b64decode(encoded).decode()

    def record(self):
        record = {
            'id': self.id,
            'name': self.body['name'],
            'status': self.status,
            'metadata': self.body.get('metadata', {}),
            'addresses': {'net': [{'addr': self.address, 'version': 4}]},
            'os-extended-volumes:volumes_attached': [
                {'id': each} for each in [*self.volumes(), *self.attached]
            ],
        }
        if self.fault:
            record['fault'] = {'code': 500, 'message': self.fault}
        return record


class FakeNova(json_service.JsonService):
    """The service; its state can be looked at and changed.

    :param glance: where its snapshots are.
    :param cinder: whose volumes servers boot from, if there is one.
    :ivar servers: id to server.
    :ivar hold: stages that do not end: ``BUILD``, ``console``, ``stop``,
        ``image``, ``boot``, ``delete``; ``reclaim``: the deleted are kept.
    :ivar of_zones: the same for the servers of an availability zone.
    :ivar fault: of the next servers: they end in error with it.
    :ivar fault_of_booted: of the next servers that boot what was made.
    :ivar address: of the next servers.
    :ivar failing: (exit code, output) of the first step, if it fails.
    :ivar refused: why the program is for other systems, '' if it is not.
    :ivar listed: what the guest says of what is in it.
    :ivar unclean: whether the clean-up takes too long.
    :ivar on_create: called with each new server.
    :ivar dies: what servers that boot what was made say in place of coming
        up; with ``off`` in ``hold`` they stop then.
    :ivar acts: method, path and action of all that was done to servers.
    :ivar console: what stands before and between the lines of the program.
    """

    def __init__(self, glance, cinder=None):
        super().__init__()
        self.glance = glance
        self.cinder = cinder
        self.servers = {}
        self.hold = set()
        self.of_zones = {}
        self.fault = ''
        self.fault_of_booted = ''
        self.dies = ''
        self.address = '127.0.0.1'
        self.failing = None
        self.refused = ''
        self.listed = ''
        self.unclean = False
        self.on_create = lambda server: None
        self.console = '[    0.000000] Linux version 6.1\r\n'
        self.acts = []
        self.made = []

    def holds(self, server, stage):
        zone = server.body.get('availability_zone')
        return stage in self.hold or stage == self.of_zones.get(zone)

    def boots_image(self, server):
        """Whether it boots what was made of another one: for a boot test."""
        packed = base64.b64decode(server.body['user_data'])
        return packed.startswith(b'\x1f\x8b') and server.program().startswith(
            '#cloud-config'
        )

    def _booted(self, server):
        """The console of such a server."""
        if self.holds(server, 'boot'):
            return self.console
        if self.dies:
            return self.console + self.dies
        said = self.console + '\nfake login: '
        if script := server.script():
            word = re.search('^word=(.*)$', script, re.MULTILINE)[1]
            ports = re.search('^for port in (.*); do$', script, re.MULTILINE)
            names = ['cloud_init', 'systemd', 'command-0', 'end']
            names += [f'port-{port}' for port in ports[1].split()]
            said += ''.join(f'\n{word} {each} holds -' for each in names)
        return f'{said}\n'

    def said(self, server):
        """The console of a server."""
        if self.boots_image(server):
            return self._booted(server)
        if self.holds(server, 'console'):
            return self.console
        text = server.program()
        token, steps = TOKEN.search(text)[1], len(STEPS.findall(text))
        says = ['begun']
        if self.refused:
            says += [f'out 0 0 {_encoded(self.refused)}', 'over refused 0 0 1']
        elif self.failing:
            code, output = self.failing
            says += ['begin 0', f'out 0 0 {_encoded(output)}']
            says += [f'over failed 0 {code} 1'] * 2
        else:
            for number in range(steps):
                says += [f'begin {number}', f'end {number} c']
            if self.unclean:
                says += [f'over unclean {steps} 124 0']
            pieces = _pieces(self.listed) if self.listed else []
            says += [f'out {steps} {n} {each}' for n, each in pieces]
            says += [f'over good -{"c" * steps} 0 {len(pieces)}'] * 2
        return self.console + self.console.join(
            f'\r\n=imagebuild= {token} {each} =end=\r\n' for each in says
        )

    # -- requests -----------------------------------------------------------

    def answer(self, method, path, query, body):
        if path == '/flavors/detail':
            flavor = {'id': '1', 'name': 'm1.tiny', 'disk': 4, 'ram': 256}
            return 200, {'flavors': [flavor]}
        if (method, path) == ('POST', '/servers'):
            return self._create(body['server'])
        if path == '/servers/detail':
            return self._list(query)
        if match := SERVER.fullmatch(path):
            server = self.servers.get(match[1])
            if server is None:
                raise json_service.fault(
                    404, f'Instance {match[1]} could not be found.'
                )
            if match[2]:
                [(action, arguments)] = body.items()
                self.acts.append((method, path, action))
                name = action.replace('-', '_')
                return getattr(self, f'_{name}')(server, arguments)
            if method == 'DELETE':
                if self.holds(server, 'reclaim'):
                    # Its volumes stay with it.
                    server.status = 'SOFT_DELETED'
                else:
                    self._delete(server)
                return 204, None
            return 200, {'server': self._look(server)}
        raise json_service.fault(404, 'not a path of this fake')

    def _delete(self, server):
        if self.holds(server, 'delete'):
            return
        del self.servers[server.id]
        for volume in server.volumes():
            self.cinder.detach(volume)

    def _forceDelete(self, server, _):  # noqa: N802
        self._delete(server)
        return 202, None

    def _create(self, body):
        server = Server(str(uuid.uuid4()), body)
        for volume in server.volumes():
            if why := self.cinder.attach(volume):
                raise json_service.fault(400, f'Block Device {volume}: {why}.')
        server.address = self.address
        server.fault = (
            self.fault_of_booted if self.boots_image(server) else self.fault
        )
        self.servers[server.id] = server
        self.made.append(server)
        self.on_create(server)
        return 202, {'server': {'id': server.id}}

    def _list(self, query):
        name = query['name']
        found = [
            each.record()
            for each in self.servers.values()
            if re.search(name, each.body['name'])
        ]
        marker = query.get('marker')
        ids = [each['id'] for each in found]
        if marker and marker not in ids:
            raise json_service.fault(
                400, f'Marker {marker} could not be found.'
            )
        start = ids.index(marker) + 1 if marker else 0
        # Pages of two.
        return 200, {'servers': found[start : start + 2]}

    def _look(self, server):
        server.looks += 1
        if server.looks >= 2:
            if server.status == 'BUILD' and not self.holds(server, 'BUILD'):
                server.status = 'ERROR' if server.fault else 'ACTIVE'
            if server.status == 'stopping' and not self.holds(server, 'stop'):
                server.status = 'SHUTOFF'
            if server.status == 'ACTIVE' and self.holds(server, 'off'):
                if self.boots_image(server):
                    server.status = 'SHUTOFF'
        record = server.record()
        if record['status'] == 'stopping':
            record['status'] = 'ACTIVE'
        return record

    def _os_stop(self, server, _):
        if server.status != 'ACTIVE':
            raise json_service.fault(
                409, "Cannot 'stop' instance: wrong state"
            )
        server.status, server.looks = 'stopping', 0
        return 202, None

    def _os_getConsoleOutput(self, server, arguments):  # noqa: N802
        if server.status != 'ACTIVE':
            raise json_service.fault(404, 'Unable to get console log')
        lines = self.said(server).split('\n')
        return 200, {'output': '\n'.join(lines[-arguments['length'] :])}

    def _createImage(self, server, arguments):  # noqa: N802
        glance = self.glance
        if server.volumes():
            # What is no image: nothing but a name of a snapshot of Cinder's.
            image = glance.add(
                status='active',
                size=0,
                name=arguments['name'],
                block_device_mapping='[{"source_type": "snapshot"}]',
                **arguments['metadata'],
            )
            return 202, {'image_id': image['id']}
        base = glance.images[server.body['imageRef']]
        inherited = {
            name: value
            for name, value in base.items()
            if name.startswith(('hw_', 'imagebuild_'))
        }
        held = self.holds(server, 'image')
        image = glance.add(
            b'' if held else b'QFI\xfb a snapshot',
            name=arguments['name'],
            disk_format='qcow2',
            container_format='bare',
            min_disk=4,
            **{**inherited, **OF_A_SNAPSHOT, **arguments['metadata']},
        )
        return 202, {'image_id': image['id']}


def _pieces(text):
    packed = base64.b64encode(gzip.compress(text.encode())).decode()
    return [*enumerate(re.findall('.{1,1000}', packed))]


def _encoded(text):
    return base64.b64encode(text.encode()).decode()
