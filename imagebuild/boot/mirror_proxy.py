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
"""Hands the requests of a machine on to some mirrors, and to nobody else.

Run as a script, with ``python -I -S``, with these arguments: the number of a
descriptor that listens, and the mirrors' URLs. It is a proxy for HTTP, and
for HTTPS by CONNECT. Whoever is in the machine may be anybody: so it reads
no more of a request than it must, answers a body with nothing, and follows no
redirection. What a mirror did not have, and what was refused, it prints, one
line each.

It imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import select
import socket
import sys
import threading
import urllib.parse
from collections.abc import Sequence

#: Bytes of a request without a body.
_LONGEST_REQUEST = 16 * 1024
_PIECE = 64 * 1024
#: Connections at a time; more wait.
_MOST = 32
#: Seconds for which one may be silent.
_SILENCE = 120.0
#: Lines that are printed.
_MOST_LINES = 200
_LONGEST_LINE = 300
#: Headers of a request that a mirror is told; all others are left out.
_PASSED = frozenset(
    {
        'accept',
        'accept-encoding',
        'cache-control',
        'if-modified-since',
        'if-none-match',
        'if-range',
        'pragma',
        'range',
        'user-agent',
    }
)
_REQUEST = re.compile(r'([A-Z]{3,8}) (\S+) HTTP/1\.[01]\Z')
_HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x20-\x7e]*)\Z")
_PORTS = {'http': 80, 'https': 443}


#: The first line that is printed.
READY = 'ready'


class Refused(Exception):
    """A request that is not served: its status and why."""


@dataclasses.dataclass(frozen=True)
class Place:
    """What a URL leads to.

    :ivar secure: by TLS.
    :ivar path: with a slash at its end.
    """

    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> Place:
        """Read the URL of a mirror.

        :raises ValueError: it is none.
        """
        found = urllib.parse.urlsplit(url)
        if found.scheme not in _PORTS or not found.hostname:
            raise ValueError(f'{url} is no URL of a mirror')
        return cls(
            found.scheme == 'https',
            found.hostname,
            found.port or _PORTS[found.scheme],
            found.path.rstrip('/') + '/',
        )

    @property
    def name(self) -> str:
        """The host as URLs and headers have it: IPv6 is in brackets."""
        return f'[{self.host}]' if ':' in self.host else self.host

    def holds(self, asked: Place) -> bool:
        """Whether another one lies in it."""
        return (self.secure, self.host, self.port) == (
            asked.secure,
            asked.host,
            asked.port,
        ) and asked.path.startswith(self.path)


@dataclasses.dataclass(frozen=True)
class Request:
    """What a client asks.

    :ivar target: where to connect to.
    :ivar head: what is sent there first; b'' for a tunnel.
    :ivar shown: for messages.
    """

    target: Place
    head: bytes
    shown: str


def parse(data: bytes, mirrors: Sequence[Place]) -> Request:
    """Read a request.

    :param data: to the empty line.
    :raises Refused: it is not for a mirror, or is none.
    """
    try:
        first, *lines = data.decode('ascii').split('\r\n')
        found = _REQUEST.match(first)
        headers = [_HEADER.match(line) for line in lines if line]
    except UnicodeDecodeError:
        found, headers = None, []
    if found is None or None in headers:
        raise Refused('400 Bad Request', 'a request that is none')
    method, url = found.groups()
    shown = f'{method} {url}'
    if method == 'CONNECT':
        return Request(_tunnel(url, mirrors, shown), b'', shown)
    if method not in ('GET', 'HEAD'):
        raise Refused('405 Method Not Allowed', shown)
    passed = [
        f'{each[1]}: {each[2]}'
        for each in headers
        if each and each[1].lower() in _PASSED
    ]
    return _get(method, url, passed, mirrors)


def _tunnel(where: str, mirrors: Sequence[Place], shown: str) -> Place:
    for mirror in mirrors:
        if mirror.secure and where.lower() == f'{mirror.name}:{mirror.port}':
            return mirror
    raise Refused('403 Forbidden', shown)


def _get(
    method: str, url: str, headers: Sequence[str], mirrors: Sequence[Place]
) -> Request:
    shown = f'{method} {url}'
    try:
        asked = dataclasses.replace(
            Place.of(url), path=urllib.parse.urlsplit(url).path or '/'
        )
    except ValueError:
        raise Refused('400 Bad Request', shown) from None
    steps = urllib.parse.unquote(asked.path).split('/')
    held = any(mirror.holds(asked) for mirror in mirrors)
    if not held or '..' in steps or asked.secure:
        raise Refused('403 Forbidden', shown)
    query = urllib.parse.urlsplit(url).query
    path = asked.path + (f'?{query}' if query else '')
    host = asked.name if asked.port == 80 else f'{asked.name}:{asked.port}'
    lines = [
        f'{method} {path} HTTP/1.1',
        f'Host: {host}',
        *headers,
        'Connection: close',
        '',
        '',
    ]
    return Request(asked, '\r\n'.join(lines).encode('ascii'), shown)


class Proxy:
    """Serves one connection after the other, each in a thread.

    :param listener: accepts them.
    :param mirrors: what may be reached.
    """

    def __init__(
        self, listener: socket.socket, mirrors: Sequence[Place]
    ) -> None:
        self._listener = listener
        self._mirrors = mirrors
        self._free = threading.Semaphore(_MOST)
        self._left = _MOST_LINES

    def run(self) -> None:
        """Serve; for ever."""
        while True:
            self._free.acquire()
            try:
                client, _ = self._listener.accept()
            except OSError:
                self._free.release()
                continue
            threading.Thread(
                target=self._served, args=(client,), daemon=True
            ).start()

    def _served(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._free.release)
            stack.enter_context(client)
            # A client that goes away is its own business.
            stack.enter_context(contextlib.suppress(OSError))
            client.settimeout(_SILENCE)
            self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        data = b''
        while b'\r\n\r\n' not in data:
            piece = client.recv(_LONGEST_REQUEST)
            data += piece
            if not piece or len(data) > _LONGEST_REQUEST:
                return
        try:
            request = parse(data.split(b'\r\n\r\n')[0], self._mirrors)
        except Refused as refused:
            status, shown = refused.args
            self._say(f'refused: {shown}')
            client.sendall(_answer(status))
            return
        try:
            target = socket.create_connection(
                (request.target.host, request.target.port), timeout=60
            )
        except OSError as error:
            self._say(f'{error.strerror or error}: {request.shown}')
            client.sendall(_answer('502 Bad Gateway'))
            return
        with target:
            if request.head:
                self._hand_on(request, client, target)
            else:
                client.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
                _tunnelled(client, target)

    def _hand_on(
        self, request: Request, client: socket.socket, target: socket.socket
    ) -> None:
        target.settimeout(_SILENCE)
        target.sendall(request.head)
        first = True
        while piece := target.recv(_PIECE):
            if first:
                status = piece.split(b'\r\n')[0].decode('ascii', 'replace')
                if status.split(' ')[1:2] > ['399']:
                    self._say(f'{status.partition(" ")[2]}: {request.shown}')
            first = False
            client.sendall(piece)

    def _say(self, text: str) -> None:
        if self._left > 0:
            self._left -= 1
            shown = ''.join(c if c.isprintable() else '?' for c in text)
            print(shown[:_LONGEST_LINE], flush=True)


def _answer(status: str) -> bytes:
    lines = (f'HTTP/1.1 {status}', 'Content-Length: 0', 'Connection: close')
    return '\r\n'.join([*lines, '', '']).encode('ascii')


def _tunnelled(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until either ends."""
    ways = {one: other, other: one}
    while True:
        ready, _, _ = select.select(list(ways), [], [], _SILENCE)
        if not ready:
            return
        for each in ready:
            piece = each.recv(_PIECE)
            if not piece:
                return
            ways[each].sendall(piece)


def main(argv: Sequence[str]) -> int:
    """Serve until killed.

    :param argv: a descriptor and the mirrors' URLs.
    """
    descriptor, *urls = argv
    listener = socket.socket(fileno=int(descriptor))
    print(READY, flush=True)
    Proxy(listener, [Place.of(url) for url in urls]).run()
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
