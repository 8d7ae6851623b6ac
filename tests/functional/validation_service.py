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
"""Validations: an API and a conductor, with Nova and Barbican over HTTP.

Those are small servers that answer as they do.
"""

import contextlib
import http.server
import json
import threading

from imagebuild.conductor import process
from tests.functional import api_service
from tests.functional import conductors

SECRET = '25f1b4b2-7e27-4f0b-a1f4-5a7b7f3b2f0e'
KEY = '33333333-7e27-4f0b-a1f4-5a7b7f3b2f0e'
BINARY = '11111111-7e27-4f0b-a1f4-5a7b7f3b2f0e'
SERVER = '9b0c7a52-3f6e-4d43-8a61-0c1de2a7b5f4'
PASSWORD = 'correct horse of Barbican'


class Cloud(http.server.BaseHTTPRequestHandler):
    """Barbican and Nova, for whoever has a token."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers['X-Auth-Token']))
        if self.path == f'/v1/secrets/{SECRET}':
            self._json({'content_types': {'default': 'text/plain'}})
        elif self.path == f'/v1/secrets/{SECRET}/payload':
            assert self.headers['Accept'] == 'text/plain'
            self._send(200, f'{self.server.password}\n'.encode(), 'text/plain')
        elif self.path == f'/v1/secrets/{KEY}':
            kind = 'application/octet-stream'
            self._json({'content_types': {'default': kind}})
        elif self.path == f'/v1/secrets/{KEY}/payload':
            kind = 'application/octet-stream'
            self._send(200, self.server.key.encode(), kind)
        elif self.path == f'/v1/secrets/{BINARY}':
            kind = 'application/octet-stream'
            self._json({'content_types': {'default': kind}})
        elif self.path == f'/v1/secrets/{BINARY}/payload':
            self._send(200, b'\xff\xfe', 'application/octet-stream')
        elif self.path == f'/servers/{SERVER}':
            fixed = {'addr': '10.0.0.7', 'OS-EXT-IPS:type': 'fixed'}
            floating = {'addr': '127.0.0.9', 'OS-EXT-IPS:type': 'floating'}
            addresses = {'net': [fixed, floating]}
            self._json({'server': {'name': 'web', 'addresses': addresses}})
        else:
            self._send(404, b'{}', 'application/json')

    def _json(self, document):
        self._send(200, json.dumps(document).encode(), 'application/json')

    def _send(self, code, content, kind):
        self.send_response(code)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def cloud(password=PASSWORD, key=''):
    """Serve both; ``asked`` has the paths and tokens."""
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Cloud) as server:
        server.asked, server.password, server.key = [], password, key
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Service:
    """An API, and a conductor of this process."""

    def __init__(self, directory, cloud, ports):
        self.cloud = cloud
        url = f'http://127.0.0.1:{cloud.server_port}'
        self.conf = api_service.make_conf(directory)
        self.database = conductors.make_database(directory)
        path = conductors.write_conf(directory, 'c1', drivers='fake')
        allowed = '127.0.0.0/8'
        text = (
            f'[validation]\nallowed_networks = {allowed}\n'
            f'allowed_ports = {",".join(map(str, ports))}\n'
            'accept_unknown_host_keys = true\n'
        )
        path.write_text(path.read_text() + text)
        self.conf.set_override('encryption_keys', [conductors.KEY])
        for name, value in {
            'allowed_networks': [allowed],
            'allowed_ports': ports,
            'key_manager_endpoint': url,
            'compute_endpoint': url,
        }.items():
            self.conf.set_override(name, value, 'validation')
        self.path = path
        self.client = api_service.over_bus(self.conf, self.database)

    def ask(self, method, path, **body):
        return self.client.open(path, method=method, json=body or None)

    def create(self, **body):
        return self.ask('POST', '/v1/validations', **body)

    @contextlib.contextmanager
    def conductor(self):
        running = process.from_conf(conductors.read_conf(self.path))
        running.start()
        try:
            yield running
        finally:
            running.stop()

    def ended(self, id):
        def look():
            status = self.database.get_validation(id).status
            return status not in ('queued', 'running')

        conductors.wait_until(look, 60, what='the validation')
        return self.ask('GET', f'/v1/validations/{id}').json
