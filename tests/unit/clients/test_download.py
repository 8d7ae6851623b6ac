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
import http.server
import threading

import pytest

from imagebuild import exception
from imagebuild.clients import download

CONTENT = bytes(range(256)) * 100


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def do_GET(self):  # noqa: N802
        self.server.seen.append(dict(self.headers))
        getattr(self, 'get_' + self.path[1:].partition('/')[0])()

    def answer(self, status, content=b'', **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        if 'Content_Length' not in headers:
            self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def get_plain(self):
        self.answer(200, CONTENT)

    def get_ranges(self):
        start = int(self.headers.get('Range', 'bytes=0-')[6:-1])
        total = len(CONTENT)
        if start >= total:
            self.answer(416, Content_Range=f'bytes */{total}')
            return
        self.answer(
            206,
            CONTENT[start:],
            Content_Range=f'bytes {start}-{total - 1}/{total}',
        )

    def get_short(self):
        self.close_connection = True
        self.answer(200, CONTENT[:100], Content_Length=str(len(CONTENT)))

    def get_unknown(self):
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT)

    def get_loop(self):
        self.answer(302, Location='/loop')

    def get_moved(self):
        self.answer(302, Location='/plain')

    def get_away(self):
        self.answer(302, Location='file:///etc/passwd')

    def get_status(self):
        self.answer(int(self.path.rpartition('/')[2]))


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.seen = []
    server.url = f'http://127.0.0.1:{server.server_port}'
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize('path', ['plain', 'moved', 'ranges'])
def test_whole(server, path):
    with download.open_url(f'{server.url}/{path}') as source:
        assert (source.offset, source.total) == (0, len(CONTENT))
        assert b''.join(source) == CONTENT
    assert server.seen[0]['Accept-Encoding'] == 'identity'
    assert 'Range' not in server.seen[0]


def test_from_the_middle(server):
    with download.open_url(f'{server.url}/ranges', 100) as source:
        assert (source.offset, source.total) == (100, len(CONTENT))
        assert b''.join(source) == CONTENT[100:]


def test_from_the_end(server):
    with download.open_url(f'{server.url}/ranges', len(CONTENT)) as source:
        assert (source.offset, source.total) == (len(CONTENT),) * 2
        assert b''.join(source) == b''


def test_a_server_that_cannot(server):
    with download.open_url(f'{server.url}/plain', 100) as source:
        assert source.offset == 0
        assert b''.join(source) == CONTENT


def test_length_not_said(server):
    with download.open_url(f'{server.url}/unknown') as source:
        assert source.total == 0
        assert b''.join(source) == CONTENT


def test_broken_off(server):
    with (
        download.open_url(f'{server.url}/short') as source,
        pytest.raises(exception.ServiceUnavailable, match='broke'),
    ):
        b''.join(source)


@pytest.mark.parametrize('status', [500, 503, 429, 408])
def test_may_be_better_later(server, status):
    with (
        pytest.raises(exception.ServiceUnavailable),
        download.open_url(f'{server.url}/status/{status}'),
    ):
        pass


@pytest.mark.parametrize('status', [400, 401, 403, 404, 410])
def test_will_not_be_better_later(server, status):
    with (
        pytest.raises(exception.EnvironmentFault, match=str(status)) as it,
        download.open_url(f'{server.url}/status/{status}'),
    ):
        pass
    assert not isinstance(it.value, exception.ServiceUnavailable)


@pytest.mark.parametrize('path', ['loop', 'away'])
def test_redirects(server, path):
    with (
        pytest.raises(exception.EnvironmentFault) as it,
        download.open_url(f'{server.url}/{path}'),
    ):
        pass
    assert not isinstance(it.value, exception.ServiceUnavailable)
    assert len(server.seen) <= 6


def test_nobody_there():
    with (
        pytest.raises(exception.ServiceUnavailable),
        download.open_url('http://127.0.0.1:1/x'),
    ):
        pass


@pytest.mark.parametrize(
    'url', ['file:///etc/passwd', 'ftp://host/x', '/etc/passwd', 'data:,x']
)
def test_other_schemes(url):
    with (
        pytest.raises(exception.EnvironmentFault, match='only https and http'),
        download.open_url(url),
    ):
        pass


def test_passwords_are_not_shown(server):
    url = server.url.replace('://', '://user:secret@') + '/status/404'
    with (
        pytest.raises(exception.EnvironmentFault) as caught,
        download.open_url(url),
    ):
        pass
    assert 'secret' not in str(caught.value)
    assert '***@127.0.0.1' in str(caught.value)


# -- small files --------------------------------------------------------------


def test_a_small_file(requests_mock):
    requests_mock.get('https://vendor.example/S', content=b'abc')
    assert download.small_file('https://vendor.example/S', 3) == b'abc'
    with pytest.raises(exception.EnvironmentFault, match='larger than'):
        download.small_file('https://vendor.example/S', 2)


def test_no_small_file_comes_by_http_in_place_of_https(requests_mock):
    away = 'http://mirror.example/S'
    requests_mock.get(
        'https://vendor.example/S',
        status_code=302,
        headers={'Location': away},
    )
    requests_mock.get(away, content=b'forged')
    with pytest.raises(exception.EnvironmentFault, match='https to http'):
        download.small_file('https://vendor.example/S', 100)
    # There and back is no better.
    requests_mock.get(
        away,
        status_code=302,
        headers={'Location': 'https://vendor.example/T'},
    )
    requests_mock.get('https://vendor.example/T', content=b'forged')
    with pytest.raises(exception.EnvironmentFault, match='https to http'):
        download.small_file('https://vendor.example/S', 100)
