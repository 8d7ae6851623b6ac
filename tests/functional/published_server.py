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
"""A web server, and a key, like those of a distribution."""

import http.server
import shutil
import ssl
import subprocess
import threading


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files`` while the block lasts.

    A path has content, or a number that is a status, or a function that is
    given the request.

    :param certificate: for https, with its key; see :func:`certificate`.
    :ivar asked: the paths that were asked for.
    """

    daemon_threads = True

    def __init__(self, certificate=None):
        super().__init__(('127.0.0.1', 0), Handler)
        self._scheme = 'http'
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self._scheme = 'https'
        self.files = {}
        self.asked = []
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self.shutdown()
        self._thread.join()
        self.server_close()

    @property
    def url(self):
        return f'{self._scheme}://127.0.0.1:{self.server_address[1]}'


def remove(directory):
    """Remove a directory whose agent may be about to end."""
    shutil.rmtree(directory, ignore_errors=True)


def certificate(directory):
    """Make one for this server; it vouches for itself."""
    made = directory / 'certificate.pem'
    subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
         'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj',
         '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout',
         made, '-out', directory / 'only.pem'],
        check=True, capture_output=True,
    )  # fmt: skip
    with made.open('ab') as file:
        file.write((directory / 'only.pem').read_bytes())
    return made


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        found = self.server.files.get(self.path, 404)
        if callable(found):
            found(self)
            return
        if isinstance(found, int):
            self.send_error(found)
            return
        self.send_response(200)
        self.send_header('Content-Length', str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    def do_POST(self):
        self.do_GET()

    def log_message(self, *args):
        pass


class Signer:
    """A key of a distribution."""

    def __init__(self, directory):
        self.home = directory
        directory.mkdir(mode=0o700)
        self.gpg(
            '--quick-generate-key', '--passphrase', '', 'Test <t@example.org>',
            'ed25519', 'sign', 'never',
        )  # fmt: skip
        self.keyring = directory / 'keyring.gpg'
        self.keyring.write_bytes(self.gpg('--export'))
        self.armoured = directory / 'keyring.asc'
        self.armoured.write_bytes(self.gpg('--armor', '--export'))

    def gpg(self, *arguments, content=None):
        return subprocess.run(
            ['gpg', '--homedir', self.home, '--batch', '--quiet',
             '--pinentry-mode', 'loopback', *arguments],
            input=content, check=True, capture_output=True,
        ).stdout  # fmt: skip

    def detached(self, content, *options):
        return self.gpg(*options, '--detach-sign', content=content)

    def clear(self, content):
        return self.gpg('--clear-sign', content=content)

    def close(self):
        subprocess.run(
            ['gpgconf', '--homedir', self.home, '--kill', 'all'], check=False
        )
