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
"""What long_installer's mirror is composed of, with a mirror of three files.

The installer itself takes an hour: see ``tests.integration.long_installer``.
"""

import functools
import gzip
import http.server
import io
import lzma
import pathlib
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from imagebuild.drivers.installer import initrd
from tests.integration import composed_mirror
from tests.integration import loopback
from tests.integration import netboot

_KERNEL = 'kernel-image-6.12.{}+deb13-amd64-di'
_LINUX = 'pool/main/l/linux-signed-amd64'
_IMAGES = 'pool/main/d/images'


def package(path: pathlib.Path, name: str, version: str) -> None:
    """Make one that is empty."""
    _build(path, path.parent / 'tree', name, version)


def _build(
    path: pathlib.Path, tree: pathlib.Path, name: str, version: str
) -> None:
    (tree / 'DEBIAN').mkdir(parents=True, exist_ok=True)
    (tree / 'DEBIAN/control').write_text(
        f'Package: {name}\nVersion: {version}\nArchitecture: amd64\n'
        'Maintainer: Nobody <nobody@example.org>\n'
        'Description: one\n of two lines\n'
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ['dpkg-deb', '-Znone', '--nocheck', '-b', str(tree), str(path)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _installer(root: pathlib.Path, update: int, kernel: int) -> str:
    """Put a netboot package into a mirror; its path there."""
    path = f'{_IMAGES}/debian-installer-13-netboot-amd64_1+deb13u{update}_all'
    tree = root.parent / f'tree-{update}'
    inside = tree / (
        'usr/lib/debian-installer/images/13/amd64/text/debian-installer/amd64'
    )
    inside.mkdir(parents=True)
    (inside / 'linux').write_bytes(b'kernel')
    status = (
        f'Package: {_KERNEL.format(kernel)}\nVersion: 6.12.{kernel}-1\n\n'
        'Package: libc-udeb\nVersion: 2.41-5\n'
    )
    archive = io.BytesIO()
    files = {
        'var/lib/dpkg/status': status.encode(),
        'usr/share/keyrings/debian-archive-keyring.pgp': b'',
    }
    initrd.append(archive, files)
    (inside / 'initrd.gz').write_bytes(gzip.compress(archive.getvalue()))
    _build(root / f'{path}.deb', tree, 'images', '1')
    return f'{path}.deb'


def _paragraph(path: str) -> str:
    name, version, _ = path.rpartition('/')[2].split('_')
    return f'Package: {name}\nVersion: {version}\nFilename: {path}\n\n'


@pytest.fixture
def mirror(tmp_path: pathlib.Path) -> Iterator[tuple[str, pathlib.Path]]:
    """One whose installer's newest components are missing."""
    root = tmp_path / 'mirror'
    newest = _installer(root, 7, 107)
    _installer(root, 6, 94)
    udebs = [
        'pool/main/g/glibc/libc-udeb_2.42-1_amd64.udeb',
        'pool/main/g/glibc/nss-udeb_2.42-1_amd64.udeb',
        'pool/main/x/xfs/xfs-udeb_6.1-2+deb13u1_amd64.udeb',
        'pool/main/a/anna/anna_1.99_amd64.udeb',
        'pool/main/n/none/none_1_amd64.udeb',
        f'{_LINUX}/{_KERNEL.format(107)}_6.12.107-1_amd64.udeb',
    ]
    dists = root / 'dists/trixie/main'
    for name, paths in (
        ('debian-installer/binary-amd64', udebs),
        ('binary-amd64', [newest]),
    ):
        (dists / name).mkdir(parents=True)
        text = ''.join(map(_paragraph, paths))
        (dists / name / 'Packages.xz').write_bytes(
            lzma.compress(text.encode())
        )
    for path in (
        'pool/main/g/glibc/libc-udeb_2.41-5_amd64.udeb',
        'pool/main/g/glibc/nss-udeb_2.41-5_amd64.udeb',
        'pool/main/x/xfs/xfs-udeb_6.1-2+b1_amd64.udeb',
        'pool/main/a/anna/anna_1.99_amd64.udeb',
        f'{_LINUX}/{_KERNEL.format(94)}_6.12.94-1_amd64.udeb',
    ):
        package(root / path, *path.rpartition('/')[2].split('_')[:2])
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(root)
    )
    with loopback.serving(handler) as url:
        yield url, root


def test_what_it_has(
    mirror: tuple[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    """The versions that are there, signed; the rest is the mirror's."""
    url, root = mirror
    place = tmp_path / 'place'
    place.mkdir()
    made = composed_mirror.compose(url, place)
    assert made.directory.name.endswith('deb13u6_all')
    assert made.missing == ['pool/main/n/none/none_1_amd64.udeb']
    assert [each.rpartition('/')[2] for each in made.replaced] == [
        'libc-udeb_2.41-5_amd64.udeb',
        'nss-udeb_2.41-5_amd64.udeb',
        'xfs-udeb_6.1-2+b1_amd64.udeb',
        f'{_KERNEL.format(94)}_6.12.94-1_amd64.udeb',
    ]
    # The key is in what the installer finds behind its initrd.
    whole = (made.directory / netboot.FILES[1]).read_bytes()
    own = whole[whole.index(b'070701') :]
    (tmp_path / 'own.gz').write_bytes(gzip.compress(own))
    keys = composed_mirror.member(
        tmp_path / 'own.gz', 'usr/share/keyrings/archive.gpg'
    )
    (tmp_path / 'keys.gpg').write_bytes(keys)
    suite, anna = 'dists/composed', 'pool/main/a/anna/anna_1.99_amd64.udeb'
    with composed_mirror.served(url, made.tree) as served:
        got = {}
        for name in ('Release', 'Release.gpg', f'{composed_mirror.INDEX}.gz'):
            with urllib.request.urlopen(f'{served}/{suite}/{name}') as answer:
                got[name] = answer.read()
        with urllib.request.urlopen(f'{served}/{anna}') as answer:
            content = answer.read()
        with pytest.raises(urllib.error.HTTPError, match='404'):
            urllib.request.urlopen(f'{served}/pool/main/n/none')
    assert content == (root / anna).read_bytes()
    for name in ('Release', 'Release.gpg'):
        (tmp_path / name).write_bytes(got[name])
    subprocess.run(
        [
            'gpgv', '--keyring', str(tmp_path / 'keys.gpg'),
            str(tmp_path / 'Release.gpg'), str(tmp_path / 'Release'),
        ],
        check=True,
    )  # fmt: skip
    index = gzip.decompress(got[f'{composed_mirror.INDEX}.gz']).decode()
    assert 'Description: one\n of two lines\n' in index
    assert index.count('Package: ') == 5
