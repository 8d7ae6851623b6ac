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
"""What stand-ins of services that talk JSON have in common."""

import abc
import http.server
import json
import re
import threading
import urllib.parse

#: As Nova and Cinder call errors.
_NAMES = {
    403: 'forbidden',
    404: 'itemNotFound',
    409: 'conflictingRequest',
    413: 'overLimit',
}


class Refused(Exception):  # noqa: N818
    """An error that a client is told, as ``name: {message: ...}``."""

    def __init__(self, status, message, name='', **more):
        self.status = status
        name = name or _NAMES.get(status, 'badRequest')
        self.answer = {name: {'message': message, **more}}


def fault(status, message, **more):
    """One of Nova's or Cinder's."""
    return Refused(status, message, code=status, **more)


class JsonService(abc.ABC):
    """A service in memory, behind real HTTP.

    :ivar url: where it is.
    :ivar requests: method and path of everything that was asked.
    :ivar refuses: pattern of method and path to (status, message) of the next
        such request.
    :ivar nonsense: the same to what is answered in place of the truth; a pair
        has the status, bytes are no JSON.
    """

    def __init__(self):
        self.requests = []
        self.refuses = {}
        self.nonsense = {}
        self.lock = threading.RLock()

    @abc.abstractmethod
    def answer(self, method, path, query, body):
        """Answer a request.

        :returns: status and what is made JSON.
        :raises Refused: instead.
        """

    def __enter__(self):
        outer = self

        class Handler(_Handler):
            service = outer

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

    def serve(self, method, target, body):
        url = urllib.parse.urlsplit(target)
        self.requests.append((method, target))
        key = f'{method} {url.path}'
        with self.lock:
            for pattern in list(self.refuses):
                if re.search(pattern, key):
                    raise fault(*self.refuses.pop(pattern))
            for pattern, answer in self.nonsense.items():
                if re.search(pattern, key):
                    is_pair = isinstance(answer, tuple)
                    return answer if is_pair else (200, answer)
            query = dict(urllib.parse.parse_qsl(url.query))
            return self.answer(method, url.path, query, body)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    service: JsonService

    def log_message(self, *args):
        pass

    def _serve(self):
        length = int(self.headers.get('Content-Length') or 0)
        body = json.loads(self.rfile.read(length) or b'null')
        try:
            status, answer = self.service.serve(self.command, self.path, body)
        except Refused as refused:
            status, answer = refused.status, refused.answer
        content = answer
        if not isinstance(content, bytes):
            content = b'' if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815
