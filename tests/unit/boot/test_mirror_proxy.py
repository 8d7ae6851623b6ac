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
"""What a machine may reach through the proxy: mirrors, and nothing else."""

import pytest

from imagebuild.boot import mirror_proxy

MIRRORS = [
    mirror_proxy.Place.of('http://mirror.example/debian/'),
    mirror_proxy.Place.of('http://[2001:db8::1]:8080'),
    mirror_proxy.Place.of('https://safe.example/os'),
    mirror_proxy.Place.of('https://[2001:DB8::2]/os'),
]


def parsed(first: str, *headers: str) -> mirror_proxy.Request:
    text = '\r\n'.join([f'{first} HTTP/1.1', *headers])
    return mirror_proxy.parse(text.encode('latin-1'), MIRRORS)


def test_a_request_is_handed_on() -> None:
    found = parsed(
        'GET http://MIRROR.example/debian/dists/x?y=1',
        'Host: evil.example',
        'Range: bytes=5-',
        'Cookie: secret',
        'Proxy-Authorization: Basic x',
        'Connection: keep-alive',
    )
    assert found.target.host == 'mirror.example'
    assert found.target.port == 80
    assert found.head.decode().split('\r\n') == [
        'GET /debian/dists/x?y=1 HTTP/1.1',
        'Host: mirror.example',
        'Range: bytes=5-',
        'Connection: close',
        '',
        '',
    ]
    found = parsed('HEAD http://[2001:db8::1]:8080/anything')
    assert (found.target.host, found.target.port) == ('2001:db8::1', 8080)
    assert b'\r\nHost: [2001:db8::1]:8080\r\n' in found.head


def test_a_tunnel() -> None:
    found = parsed('CONNECT safe.example:443')
    assert (found.target.host, found.target.port, found.head) == (
        'safe.example', 443, b'',
    )  # fmt: skip
    assert parsed('CONNECT [2001:db8::2]:443').target.host == '2001:db8::2'


@pytest.mark.parametrize(
    'first',
    [
        'GET http://mirror.example/',
        'GET http://mirror.example/debian-security/x',
        'GET http://mirror.example:8080/debian/x',
        'GET http://mirror.example/debian/../x',
        'GET http://mirror.example/debian/%2e%2e/x',
        'GET http://mirror.example/debian/%2E./x',
        'GET http://mirror.example.evil/debian/x',
        'GET http://169.254.169.254/debian/x',
        'GET http://127.0.0.1/debian/x',
        'GET http://mirror.example@evil.example/debian/x',
        'GET https://safe.example/os/x',
        'CONNECT mirror.example:80',
        'CONNECT safe.example:22',
        'CONNECT 127.0.0.1:443',
        'CONNECT 2001:db8::2:443',
        'CONNECT [2001:db8::2]:4433',
        'POST http://mirror.example/debian/x',
        'GET /debian/x',
        'GET file:///etc/passwd',
        'GET http:///debian/x',
        'GET http://mirror.example:99999/debian/x',
        'get http://mirror.example/debian/x',
        'GET  http://mirror.example/debian/x',
        'GET http://mirror.example/debian/x y',
        '',
    ],
)
def test_what_is_refused(first: str) -> None:
    with pytest.raises(mirror_proxy.Refused):
        parsed(first)


@pytest.mark.parametrize(
    'header', ['x', ' folded', 'a b: c', 'Range: \xe9', 'Range: a\rb', ': x']
)
def test_bad_headers(header: str) -> None:
    with pytest.raises(mirror_proxy.Refused):
        parsed('GET http://mirror.example/debian/x', header)


@pytest.mark.parametrize('url', ['ftp://x', 'http://', 'x', ''])
def test_what_is_no_mirror(url: str) -> None:
    with pytest.raises(ValueError):
        mirror_proxy.Place.of(url)
