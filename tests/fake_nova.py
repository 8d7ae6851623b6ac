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
import http.server
import json
import re
import threading
import urllib.parse
import uuid

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
    """

    id: str
    body: dict
    status: str = 'BUILD'
    looks: int = 0
    fault: str = ''

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
            'addresses': {'net': [{'addr': '127.0.0.1', 'version': 4}]},
        }
        if self.fault:
            record['fault'] = {'code': 500, 'message': self.fault}
        return record


class FakeNova:
    """The service; its state can be looked at and changed.

    :param glance: where its snapshots are.
    :ivar servers: id to server.
    :ivar hold: stages that do not end: ``BUILD``, ``console``, ``stop``,
        ``image``, ``boot``, ``delete``; ``reclaim``: the deleted are kept.
    :ivar of_zones: the same for the servers of an availability zone.
    :ivar fault: of the next servers: they end in error with it.
    :ivar fault_of_booted: of the next servers that boot what was made.
    :ivar failing: (exit code, output) of the first step, if it fails.
    :ivar refused: why the program is for other systems, '' if it is not.
    :ivar listed: what the guest says of what is in it.
    :ivar unclean: whether the clean-up takes too long.
    :ivar refuses: path to (status, message) of the next such request.
    :ivar nonsense: path to what is answered in place of the truth; a pair has
        the status, bytes are no JSON.
    :ivar on_create: called with each new server.
    :ivar dies: what servers that boot what was made say in place of coming
        up; with ``off`` in ``hold`` they stop then.
    :ivar console: what stands before and between the lines of the program.
    """

    def __init__(self, glance):
        self.glance = glance
        self.servers = {}
        self.hold = set()
        self.of_zones = {}
        self.fault = ''
        self.fault_of_booted = ''
        self.dies = ''
        self.failing = None
        self.refused = ''
        self.listed = ''
        self.unclean = False
        self.refuses = {}
        self.nonsense = {}
        self.on_create = lambda server: None
        self.console = '[    0.000000] Linux version 6.1\r\n'
        self.requests = []
        self.made = []
        self.lock = threading.RLock()

    def __enter__(self):
        outer = self

        class Handler(_Handler):
            nova = outer

        self._server = http.server.ThreadingHTTPServer(
            ('127.0.0.1', 0), Handler
        )
        self._server.daemon_threads = True
        self.url = f'http://127.0.0.1:{self._server.server_port}'
        threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        ).start()
        return self

    def __exit__(self, *exc_info):
        self._server.shutdown()
        self._server.server_close()

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


def _pieces(text):
    packed = base64.b64encode(gzip.compress(text.encode())).decode()
    return [*enumerate(re.findall('.{1,1000}', packed))]


def _encoded(text):
    return base64.b64encode(text.encode()).decode()


class _Refused(Exception):  # noqa: N818
    def __init__(self, status, message):
        self.status = status
        self.message = message


def _content(answer):
    if answer is None or isinstance(answer, bytes):
        return answer or b''
    return json.dumps(answer).encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    nova: FakeNova

    def log_message(self, *args):
        pass

    def _serve(self):
        length = int(self.headers.get('Content-Length') or 0)
        body = json.loads(self.rfile.read(length) or b'null')
        url = urllib.parse.urlsplit(self.path)
        self.nova.requests.append((self.command, self.path))
        try:
            with self.nova.lock:
                status, answer = self._dispatch(url, body)
        except _Refused as refused:
            status = refused.status
            name = {404: 'itemNotFound', 409: 'conflictingRequest'}
            answer = {
                name.get(status, 'badRequest'): {
                    'code': status,
                    'message': refused.message,
                }
            }
        content = _content(answer)
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815

    def _dispatch(self, url, body):
        key = f'{self.command} {url.path}'
        for pattern in list(self.nova.refuses):
            if re.search(pattern, key):
                raise _Refused(*self.nova.refuses.pop(pattern))
        for pattern, answer in self.nova.nonsense.items():
            if re.search(pattern, key):
                return answer if isinstance(answer, tuple) else (200, answer)
        if url.path == '/flavors/detail':
            flavor = {'id': '1', 'name': 'm1.tiny', 'disk': 4, 'ram': 256}
            return 200, {'flavors': [flavor]}
        if key == 'POST /servers':
            return self._create(body['server'])
        if url.path == '/servers/detail':
            return self._list(urllib.parse.parse_qs(url.query))
        if match := SERVER.fullmatch(url.path):
            server = self.nova.servers.get(match[1])
            if server is None:
                raise _Refused(404, f'Instance {match[1]} could not be found.')
            if match[2]:
                [(action, arguments)] = body.items()
                name = action.replace('-', '_')
                return getattr(self, f'_{name}')(server, arguments)
            if self.command == 'DELETE':
                if self.nova.holds(server, 'reclaim'):
                    server.status = 'SOFT_DELETED'
                elif not self.nova.holds(server, 'delete'):
                    del self.nova.servers[server.id]
                return 204, None
            return 200, {'server': self._look(server)}
        raise _Refused(404, 'not a path of this fake')

    def _create(self, body):
        server = Server(str(uuid.uuid4()), body)
        server.fault = (
            self.nova.fault_of_booted
            if self.nova.boots_image(server)
            else self.nova.fault
        )
        self.nova.servers[server.id] = server
        self.nova.made.append(server)
        self.nova.on_create(server)
        return 202, {'server': {'id': server.id}}

    def _list(self, query):
        [name] = query['name']
        found = [
            each.record()
            for each in self.nova.servers.values()
            if re.search(name, each.body['name'])
        ]
        marker = query.get('marker')
        ids = [each['id'] for each in found]
        if marker and marker[0] not in ids:
            raise _Refused(400, f'Marker {marker[0]} could not be found.')
        start = ids.index(marker[0]) + 1 if marker else 0
        # Pages of two.
        return 200, {'servers': found[start : start + 2]}

    def _look(self, server):
        server.looks += 1
        if server.looks >= 2:
            if server.status == 'BUILD' and not self.nova.holds(
                server, 'BUILD'
            ):
                server.status = 'ERROR' if server.fault else 'ACTIVE'
            if server.status == 'stopping' and not self.nova.holds(
                server, 'stop'
            ):
                server.status = 'SHUTOFF'
            if server.status == 'ACTIVE' and self.nova.holds(server, 'off'):
                if self.nova.boots_image(server):
                    server.status = 'SHUTOFF'
        record = server.record()
        if record['status'] == 'stopping':
            record['status'] = 'ACTIVE'
        return record

    def _os_stop(self, server, _):
        if server.status != 'ACTIVE':
            raise _Refused(409, "Cannot 'stop' instance: wrong state")
        server.status, server.looks = 'stopping', 0
        return 202, None

    def _os_getConsoleOutput(self, server, arguments):  # noqa: N802
        if server.status != 'ACTIVE':
            raise _Refused(404, 'Unable to get console log')
        lines = self.nova.said(server).split('\n')
        return 200, {'output': '\n'.join(lines[-arguments['length'] :])}

    def _createImage(self, server, arguments):  # noqa: N802
        glance = self.nova.glance
        base = glance.images[server.body['imageRef']]
        inherited = {
            name: value
            for name, value in base.items()
            if name.startswith(('hw_', 'imagebuild_'))
        }
        held = self.nova.holds(server, 'image')
        image = glance.add(
            b'' if held else b'QFI\xfb a snapshot',
            name=arguments['name'],
            disk_format='qcow2',
            container_format='bare',
            min_disk=4,
            **{**inherited, **OF_A_SNAPSHOT, **arguments['metadata']},
        )
        return 202, {'image_id': image['id']}
