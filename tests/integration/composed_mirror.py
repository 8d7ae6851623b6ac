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
"""A mirror for Debian's installer, made from one that is incomplete.

Some mirrors have the packages of a release, but not all components of its
installer (udebs): those of the newest point release are missing, while the
versions before them are still in the pool. Here the newest netboot installer
whose kernel's udebs are there is looked for, and for each udeb the newest
version that is there. They get an index of their own, in a suite of its own,
that is signed with a key made for it. Its server answers with that suite, and
hands every other request on to the mirror: what is installed is the
distribution's, verified with the distribution's key.

The installer is told by what an operator has, too: an argument of its kernel
names the suite, and its initrd is the netboot installer's with the key behind
it.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import email.parser
import gzip
import hashlib
import http.server
import lzma
import pathlib
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator

from imagebuild.drivers.installer import initrd
from tests.integration import loopback
from tests.integration import netboot

RELEASE = '13'
_CODENAME = 'trixie'
_SUITE = 'composed'
#: To be among the arguments of the installer's kernel.
ARGUMENT = f'mirror/udeb/suite={_SUITE}'
INDEX = 'main/debian-installer/binary-amd64/Packages'
_NETBOOT = f'debian-installer-{RELEASE}-netboot-amd64'
_KEYS = 'usr/share/keyrings'
_AT_A_TIME = 8
_SECONDS = 120
#: What an older version may end with: +deb13u4, ~deb13u2, +b9.
_COUNTED = re.compile(r'^(.*)([+~]deb\d+u|\+b)(\d+)$')
_ABI = re.compile(r'(?<=-)(\d+\.\d+\.\d+)(?=\+deb)|(?<=_)(\d+\.\d+\.\d+)')

Udeb = dict[str, str]


@dataclasses.dataclass(frozen=True)
class Composed:
    """What was made.

    :ivar directory: has the installer's kernel and its initrd.
    :ivar tree: what the mirror does not have.
    :ivar missing: udebs of which it has no version that was tried.
    :ivar replaced: udebs of which it has another version than its newest.
    """

    directory: pathlib.Path
    tree: pathlib.Path
    missing: list[str]
    replaced: list[str]


class Pool:
    """A mirror.

    :param url: its.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip('/')

    def get(self, path: str) -> bytes:
        """Read one of its files."""
        with urllib.request.urlopen(
            f'{self.url}/{path}', timeout=_SECONDS
        ) as answer:
            content: bytes = answer.read()
        return content

    def has(self, path: str) -> bool:
        """Whether it has a file."""
        asked = urllib.request.Request(f'{self.url}/{path}', method='HEAD')
        try:
            with urllib.request.urlopen(asked, timeout=_SECONDS):
                return True
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return False


def compose(url: str, place: pathlib.Path) -> Composed:
    """Make one, in a directory.

    :param url: of the mirror that is there.
    """
    pool = Pool(url)
    directory, here, kernel = _netboot(pool, place)
    index = _paragraphs(
        lzma.decompress(pool.get(f'dists/{_CODENAME}/{INDEX}.xz')).decode()
    )
    known = {each['Package']: each['Version'] for each in here}
    # Those of one source are of one version, nearly always.
    near = {
        each['Filename'].rpartition('/')[0]: known[each['Package']]
        for each in index
        if each['Package'] in known
    }
    tree = place / 'tree'
    tree.mkdir(exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(_AT_A_TIME) as several:
        paths = list(
            several.map(
                lambda udeb: _newest(pool, _tried(udeb, near, kernel)), index
            )
        )
        both = {
            udeb['Filename']: path
            for udeb, path in zip(index, paths, strict=True)
        }
        kept = set(paths)
        found = [each for each in index if each['Filename'] in kept]
        missing = [newest for newest, path in both.items() if not path]
        # An index may still have the older ones.
        replaced = [
            each for each in dict.fromkeys(paths) if each and each not in both
        ]
        found += several.map(lambda path: _described(pool, path), replaced)
    _write_suite(found, tree)
    _sign(tree / 'dists' / _SUITE, directory, place)
    return Composed(directory, tree, missing, replaced)


def _paragraphs(text: str) -> list[Udeb]:
    parser = email.parser.Parser()
    return [
        dict(parser.parsestr(each).items())
        for each in text.split('\n\n')
        if each.strip()
    ]


def older(path: str) -> list[str]:
    """Names that older versions of a package may have, newest first.

    :param path: of the newest, in a pool: ``.../one_1.2-3+b4_amd64.udeb``.
    """
    directory, _, name = path.rpartition('/')
    package, version, kind = name.split('_')
    versions = []
    while found := _COUNTED.match(version):
        before, mark, number = found.groups()
        versions += [
            f'{before}{mark}{each}' for each in range(int(number) - 1, 0, -1)
        ]
        version = before
        if mark != '+b':
            # Rebuilt, or as it was.
            versions += [f'{version}+b{each}' for each in (3, 2, 1)]
        versions.append(version)
    return [f'{directory}/{package}_{each}_{kind}' for each in versions]


def _tried(udeb: Udeb, near: dict[str, str], kernel: Udeb) -> list[str]:
    """Where in the pool one may be, newest first.

    :param near: the versions that the netboot installer has of what is in a
        directory of the pool.
    :param kernel: the one in it that is its kernel.
    """
    path = udeb['Filename']
    if 'linux-signed' in path:
        # Modules fit one kernel only.
        abi = kernel['Version'].partition('-')[0]
        return [_ABI.sub(abi, path)]
    directory, _, name = path.rpartition('/')
    package, _, kind = name.split('_')
    version = near.get(directory, '').rpartition(':')[2]
    same = [f'{directory}/{package}_{version}_{kind}'] if version else []
    return [path, *same, *older(path)]


def _newest(pool: Pool, paths: list[str]) -> str:
    return next((each for each in paths if pool.has(each)), '')


def _described(pool: Pool, path: str) -> Udeb:
    """What an index says of a package that is in none."""
    content = pool.get(path)
    with tempfile.NamedTemporaryFile(suffix='.udeb') as file:
        file.write(content)
        file.flush()
        shown = subprocess.run(
            ['dpkg-deb', '-f', file.name],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    (fields,) = _paragraphs(shown.stdout)
    return {
        **fields,
        'Filename': path,
        'Size': str(len(content)),
        'SHA256': hashlib.sha256(content).hexdigest(),
    }


def _netboot(
    pool: Pool, place: pathlib.Path
) -> tuple[pathlib.Path, list[Udeb], Udeb]:
    """Fetch the newest netboot installer whose kernel's udebs are there.

    :returns: a directory with its files; what it has in it; its kernel.
    """
    packages = lzma.decompress(
        pool.get(f'dists/{_CODENAME}/main/binary-amd64/Packages.xz')
    ).decode()
    named = re.search(
        rf'^Filename: (.*/{_NETBOOT}_.*)$', packages, re.MULTILINE
    )
    assert named
    for path in [named[1], *older(named[1])]:
        if not pool.has(path):
            continue
        directory = place / pathlib.PurePath(path).stem
        if not directory.exists():
            directory.mkdir()
            package = place / 'netboot.deb'
            package.write_bytes(pool.get(path))
            netboot.unpack(package, directory, RELEASE)
            package.unlink()
        here = _contents(directory / netboot.FILES[1])
        (kernel,) = (
            each for each in here if each['Package'].startswith('kernel-image')
        )
        udeb = (
            f'pool/main/l/linux-signed-amd64/{kernel["Package"]}_'
            f'{kernel["Version"]}_amd64.udeb'
        )
        if pool.has(udeb):
            return directory, here, kernel
        shutil.rmtree(directory)
    raise AssertionError('the mirror has no netboot installer that fits')


def _contents(file: pathlib.Path) -> list[Udeb]:
    """The udebs that are in an initrd already."""
    status = member(file, 'var/lib/dpkg/status')
    return _paragraphs(status.decode())


def member(file: pathlib.Path, wanted: str) -> bytes:
    """A file of an initrd: a cpio archive, the format "newc"."""
    with gzip.open(file) as stream:
        while head := stream.read(110):
            sizes = [int(head[at : at + 8], 16) for at in range(6, 110, 8)]
            size, length = sizes[6], sizes[11]
            name = stream.read(length + -(110 + length) % 4)
            content = stream.read(size + -size % 4)[:size]
            if name.rstrip(b'\0').decode().removeprefix('./') == wanted:
                return content
    raise AssertionError(f'{wanted} is not in the initrd')


def _write_suite(udebs: list[Udeb], tree: pathlib.Path) -> None:
    suite = tree / 'dists' / _SUITE
    index = suite / f'{INDEX}.gz'
    index.parent.mkdir(parents=True, exist_ok=True)
    text = '\n\n'.join(
        '\n'.join(f'{name}: {value}' for name, value in udeb.items())
        for udeb in udebs
    )
    content = gzip.compress(f'{text}\n'.encode())
    index.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (suite / 'Release').write_text(
        f'Suite: {_SUITE}\nCodename: {_SUITE}\nArchitectures: amd64\n'
        f'Components: main\nSHA256:\n {digest} {len(content)} {INDEX}.gz\n'
    )


def _sign(
    suite: pathlib.Path, directory: pathlib.Path, place: pathlib.Path
) -> None:
    """Sign the suite, and put the key behind the installer's initrd."""
    with tempfile.TemporaryDirectory() as home:

        def gpg(*arguments: str) -> bytes:
            return subprocess.run(
                [
                    'gpg', '--homedir', home, '--batch', '--yes', '--quiet',
                    '--pinentry-mode', 'loopback', '--passphrase', '',
                    *arguments,
                ],
                check=True,
                stdout=subprocess.PIPE,
                timeout=120,
            ).stdout  # fmt: skip

        gpg('--quick-generate-key', _SUITE, 'ed25519', 'sign')
        gpg('-o', f'{suite}/Release.gpg', '-ab', f'{suite}/Release')
        key = gpg('--export', _SUITE)
        subprocess.run(
            ['gpgconf', '--homedir', home, '--kill', 'all'], check=False
        )
    file = directory / netboot.FILES[1]
    plain = place / f'{directory.name}-{file.name}'
    if not plain.exists():
        shutil.copyfile(file, plain)
    keys = member(plain, f'{_KEYS}/debian-archive-keyring.pgp')
    shutil.copyfile(plain, file)
    with file.open('r+b') as stream:
        stream.seek(0, 2)
        # The installer verifies with all in it, what it loads and what it
        # installs.
        initrd.append(stream, {f'{_KEYS}/archive.gpg': keys + key})


class _Handler(http.server.BaseHTTPRequestHandler):
    pool: Pool
    tree: pathlib.Path

    def do_GET(self) -> None:
        self._answer(True)

    def do_HEAD(self) -> None:
        self._answer(False)

    def _answer(self, wanted: bool) -> None:
        path = self.path.removeprefix('/debian/')
        if path.startswith(f'dists/{_SUITE}/'):
            file = self.tree / path
            if not file.is_file():
                return self.send_error(404)
            content = file.read_bytes()
            self._head(len(content))
            if wanted:
                self.wfile.write(content)
            return None
        try:
            with urllib.request.urlopen(
                f'{self.pool.url}/{path}', timeout=_SECONDS
            ) as answer:
                self._head(answer.headers['Content-Length'])
                if wanted:
                    shutil.copyfileobj(answer, self.wfile)
        except urllib.error.HTTPError as error:
            self.send_error(error.code)
        return None

    def _head(self, size: int | str) -> None:
        self.send_response(200)
        self.send_header('Content-Length', str(size))
        self.end_headers()

    def log_message(self, text: str, *values: object) -> None:
        line = f'{self.log_date_time_string()} {text % values}\n'
        with (self.tree.parent / 'requests.log').open('a') as log:
            log.write(line)


@contextlib.contextmanager
def served(url: str, tree: pathlib.Path) -> Iterator[str]:
    """Serve one; ``requests.log`` beside it has what was asked for.

    :param url: of the mirror that other requests are handed on to.
    :returns: its URL.
    """
    handler = type('Handler', (_Handler,), {'pool': Pool(url), 'tree': tree})
    with loopback.serving(handler) as address:
        yield f'{address}/debian'
