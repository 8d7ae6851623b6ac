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
import pathlib
import threading
from collections.abc import Iterator
from unittest import mock

import pytest

from imagebuild import exception
from imagebuild.disks import host_command
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.drivers.bootstrap import archives
from imagebuild.drivers.bootstrap import releases

BOOKWORM = releases.RELEASES['debian-12']
TRIXIE = releases.RELEASES['debian-13']
NOBLE = releases.RELEASES['ubuntu-24.04']
KEY = {'Signed-By': '/usr/share/keyrings/debian-archive-keyring.gpg'}
OTHER_KEY = {'Signed-By': '/usr/share/keyrings/other.gpg'}


def source(
    uri: str, suite: str, components: str = 'main'
) -> apt_sources.AptSource:
    return apt_sources.AptSource(uri, suite, tuple(components.split()))


def keyed(
    uri: str, suite: str, key: dict[str, str] = KEY
) -> apt_sources.AptSource:
    return apt_sources.AptSource(uri, suite, ('main',), key)


D, S = 'http://m.example/debian', 'http://m.example/debian-security'
SNAP = 'http://s.example/archive/debian/20250520T000000Z'


@pytest.mark.parametrize(
    ('machine', 'release', 'expected'),
    [
        ([], BOOKWORM, []),
        ([source(D, 'bookworm')], BOOKWORM, [(D, 'bookworm')]),
        ([source(D, 'stable')], BOOKWORM, [(D, 'bookworm')]),
        ([source(D, 'sid')], TRIXIE, [(D, 'trixie')]),
        ([source(SNAP, 'bookworm')], TRIXIE, [(SNAP, 'trixie')]),
        (
            [
                source(S, 'bookworm-security'),
                source(D, 'bookworm-updates'),
                source(D, 'bookworm-backports'),
                source(D, 'bookworm'),
            ],
            TRIXIE,
            [
                (D, 'trixie'),
                (D, 'trixie-updates'),
                (S, 'trixie-security'),
            ],
        ),
        # The old spelling of security suites
        (
            [source(D, 'buster'), source(S, 'buster/updates')],
            BOOKWORM,
            [(D, 'bookworm'), (S, 'bookworm-security')],
        ),
        # Others' archives
        ([source('http://d.example/docker', 'bookworm')], BOOKWORM, []),
        ([source(D, 'bookworm', 'stable')], BOOKWORM, []),
        ([source(D, 'nodistro')], BOOKWORM, []),
        ([source(D, './', '')], BOOKWORM, []),
        ([source(D, 'bookworm')], NOBLE, []),
        ([source('http://u.example/ubuntu', 'jammy')], BOOKWORM, []),
        (
            [source('http://u.example/ubuntu', 'jammy', 'main universe')],
            NOBLE,
            [('http://u.example/ubuntu', 'noble')],
        ),
        # The distribution's own key is the surest sign, then none
        (
            [
                keyed('http://x.example/debian', 'bookworm', OTHER_KEY),
                source('http://y.example/debian', 'bookworm'),
                keyed('http://z.example/mirror', 'bookworm'),
            ],
            BOOKWORM,
            [('http://z.example/mirror', 'bookworm')],
        ),
        (
            [
                keyed('http://x.example/debian', 'bookworm', OTHER_KEY),
                source('http://y.example/debian', 'bookworm'),
            ],
            BOOKWORM,
            [('http://y.example/debian', 'bookworm')],
        ),
        # A mirror that signs by itself
        (
            [keyed(D, 'bookworm', OTHER_KEY)],
            BOOKWORM,
            [(D, 'bookworm')],
        ),
    ],
)
def test_candidates(
    machine: list[apt_sources.AptSource],
    release: releases.Release,
    expected: list[tuple[str, str]],
) -> None:
    found = archives.candidates(release, machine)
    assert [(one.uri, one.suite) for one in found] == expected


def test_keyring_and_components_are_kept() -> None:
    machine = [apt_sources.AptSource(D, 'bookworm', ('main', 'contrib'), KEY)]
    (found,) = archives.candidates(TRIXIE, machine)
    assert found.signed_by == KEY['Signed-By']
    assert found.components == ('main', 'contrib')


def test_components_of_the_release_are_added() -> None:
    machine = [source('http://u.example/ubuntu', 'jammy')]
    (found,) = archives.candidates(NOBLE, machine)
    assert found.components == ('main', 'universe')


# -- mirrors that are directories
# ------------------------------------------------


@pytest.fixture
def mirror(tmp_path: pathlib.Path) -> pathlib.Path:
    """Has bookworm, its updates and trixie."""
    directory = tmp_path / 'debian'
    for suite in ('bookworm', 'bookworm-updates', 'trixie'):
        (directory / 'dists' / suite).mkdir(parents=True)
        (directory / 'dists' / suite / 'Release').touch()
    return directory


def machine_of(mirror: pathlib.Path) -> list[apt_sources.AptSource]:
    uri = f'file:{mirror}'
    return [source(uri, 'bookworm'), source(uri, 'bookworm-updates')]


def test_find(mirror: pathlib.Path) -> None:
    found = archives.find(BOOKWORM, machine_of(mirror), {})
    assert [one.suite for one in found.sources] == [
        'bookworm',
        'bookworm-updates',
    ]
    assert found.absent == ()


def test_suites_that_are_absent_are_told(mirror: pathlib.Path) -> None:
    found = archives.find(TRIXIE, machine_of(mirror), {})
    assert [one.suite for one in found.sources] == ['trixie']
    assert found.absent == ('trixie-updates',)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('debian-11', 'does not have bullseye'),
        ('ubuntu-22.04', 'name no ubuntu archive'),
    ],
)
def test_what_is_not_there(
    name: str, message: str, mirror: pathlib.Path
) -> None:
    with pytest.raises(archives.UnavailableRelease, match=message) as caught:
        archives.find(releases.RELEASES[name], machine_of(mirror), {})
    assert caught.value.exit_code == 2
    assert str(caught.value).endswith(
        'What can be made here: debian-12, debian-13.'
    )


def test_a_machine_with_no_mirror_at_all() -> None:
    with pytest.raises(archives.UnavailableRelease, match='Add a mirror'):
        archives.find(BOOKWORM, [], {})


# -- mirrors behind HTTP ------------------------------------------------------


class _Handler(http.server.BaseHTTPRequestHandler):
    """Each mirror's first directory is the status it answers with."""

    def do_HEAD(self) -> None:
        status = int(self.path.split('/')[1])
        if self.path.endswith('/InRelease') and 'old' in self.path:
            status = 404
        self.send_response(status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    httpd = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
    threading.Thread(target=httpd.serve_forever, args=(0.01,)).start()
    yield f'http://127.0.0.1:{httpd.server_port}'
    httpd.shutdown()
    httpd.server_close()


@pytest.mark.parametrize(
    ('directory', 'suite', 'served'),
    [
        ('200', 'sid', True),
        ('200', 'old', True),
        ('404', 'sid', False),
        ('410', 'sid', False),
        # apt may have a password for it
        ('401', 'sid', True),
        ('503', 'sid', True),
    ],
)
def test_is_served(
    directory: str, suite: str, served: bool, server: str
) -> None:
    asked = source(f'{server}/{directory}/debian', suite)
    assert archives.is_served(asked, {}) is served


def test_other_schemes_are_left_to_apt() -> None:
    assert archives.is_served(source('cdrom:[x]/', 'sid'), {})


def test_a_mirror_that_does_not_answer() -> None:
    asked = source('http://127.0.0.1:9/debian', 'sid')
    with pytest.raises(exception.HostCommandFailed, match='does not answer'):
        archives.is_served(asked, {})


@pytest.mark.parametrize(
    ('output', 'expected'),
    [
        ('', {'http': 'http://env.example'}),
        ("URL='http://apt.example:3142'\n", {
            'http': 'http://apt.example:3142',
            'https': 'http://apt.example:3142',
        }),
        ("URL='DIRECT'\n", {}),
    ],
)  # fmt: skip
def test_proxies(
    output: str, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('http_proxy', 'http://env.example')
    with mock.patch.object(
        host_command, 'run', autospec=True, return_value=output
    ):
        assert archives.read_proxies() == expected
