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
"""Vendors' package repositories, made for tests.

No vendor can be reached from a test. So small packages are made here, with
the names, users, units and paths of the vendors' own, and stand-ins for their
programs; repositories of them, for apt and for dnf, signed with a key of the
test, are put into a guest: /srv/vendor/deb and /srv/vendor/rpm, and their key
/srv/vendor/key.asc.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pathlib
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from collections.abc import Sequence

#: Programs -> the Debian packages they are in.
PROGRAMS = {
    'rpmbuild': 'rpm',
    'rpmsign': 'rpm',
    'createrepo_c': 'createrepo-c',
    'dpkg-scanpackages': 'dpkg-dev',
    'gpg': 'gpg',
}


@dataclasses.dataclass(frozen=True)
class Package:
    """One package.

    :ivar version: with a release, as 1.2-1.
    :ivar files: path to content; those with ``#!`` are executable.
    :ivar users: system users that the package makes. In a guest of the Red
        Hat family they are there before: the shell that a script would need
        is not known to its rpm.
    :ivar epoch: for apt only.
    """

    name: str
    version: str
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    users: tuple[str, ...] = ()
    directories: Mapping[str, str] = dataclasses.field(default_factory=dict)
    needs: tuple[str, ...] = ()
    epoch: int = 0


class Vendor:
    """A place where packages are made and signed.

    :ivar fingerprint: of the key.
    """

    def __init__(self, workspace: pathlib.Path) -> None:
        self._workspace = workspace
        self._home = workspace / 'gpg'
        self._home.mkdir(mode=0o700, parents=True)
        self._gpg(
            *('--passphrase', '', '--quick-gen-key', 'vendor@example.org'),
            *('rsa2048', 'sign', 'never'),
        )
        listed = self._gpg('--with-colons', '--list-keys')
        self.fingerprint = next(
            line.split(':')[9]
            for line in listed.splitlines()
            if line.startswith('fpr')
        )

    def close(self) -> None:
        """End what gpg has started."""
        run(['gpgconf', '--homedir', str(self._home), '--kill', 'all'])

    def _gpg(self, *argv: str) -> str:
        return run(
            ['gpg', '--batch', '--quiet', '--homedir', str(self._home), *argv]
        )

    def write_key(self, path: pathlib.Path) -> None:
        path.write_text(self._gpg('--armor', '--export'))

    # -- Debian -------------------------------------------------------------

    def apt(
        self,
        root: pathlib.Path,
        packages: Sequence[Package],
        suites: Mapping[str, str],
        *,
        valid_until: str = '',
    ) -> None:
        """Make a repository for apt.

        :param suites: suite to its components; all have all packages.
        :param valid_until: a date of its lists, if they have one.
        """
        pool = root / 'pool'
        pool.mkdir(parents=True)
        for package in packages:
            self.deb(package, pool)
        index = run(
            ['dpkg-scanpackages', '--multiversion', 'pool'], cwd=root
        ).encode()
        for suite, components in suites.items():
            more = f'Valid-Until: {valid_until}\n' if valid_until else ''
            self._suite(root / 'dists' / suite, suite, components, index, more)

    def deb(self, package: Package, pool: pathlib.Path) -> pathlib.Path:
        """Make one package file."""
        tree = pathlib.Path(tempfile.mkdtemp(dir=self._workspace)) / 'tree'
        _write_tree(tree, package)
        control = tree / 'DEBIAN'
        control.mkdir(parents=True)
        epoch = f'{package.epoch}:' if package.epoch else ''
        lines = [
            f'Package: {package.name}',
            f'Version: {epoch}{package.version}',
            'Architecture: all',
            'Maintainer: Nobody <nobody@example.org>',
            'Description: For tests',
        ]
        if package.needs:
            lines.append(f'Depends: {", ".join(package.needs)}')
        (control / 'control').write_text('\n'.join(lines) + '\n')
        script = [
            '#!/bin/sh',
            'set -e',
            *(
                f'id {user} > /dev/null 2>&1 || useradd --system {user}'
                for user in package.users
            ),
            *(
                f'mkdir -p {path}; chown {owner} {path}'
                for path, owner in package.directories.items()
            ),
        ]
        postinst = control / 'postinst'
        postinst.write_text('\n'.join(script) + '\n')
        postinst.chmod(0o755)
        path = pool / f'{package.name}_{package.version}_all.deb'
        run(
            [
                *('dpkg-deb', '--root-owner-group', '-Znone', '--build'),
                *(str(tree), str(path)),
            ]
        )
        return path

    def _suite(
        self,
        directory: pathlib.Path,
        suite: str,
        components: str,
        index: bytes,
        more: str,
    ) -> None:
        sums = []
        for component in components.split():
            name = f'{component}/binary-amd64/Packages'
            (directory / name).parent.mkdir(parents=True)
            (directory / name).write_bytes(index)
            digest = hashlib.sha256(index).hexdigest()
            sums.append(f' {digest} {len(index)} {name}\n')
        release = directory / 'Release'
        release.write_text(
            'Origin: Vendor\nLabel: Vendor\n'
            f'Suite: {suite}\nCodename: {suite}\n'
            f'Architectures: amd64\nComponents: {components}\n'
            f'Date: Thu, 01 Jan 2026 00:00:00 UTC\n{more}'
            f'SHA256:\n{"".join(sums)}'
        )
        self._gpg(
            '--clearsign', '--output', str(directory / 'InRelease'),
            str(release),
        )  # fmt: skip

    # -- Red Hat ------------------------------------------------------------

    def yum(self, root: pathlib.Path, packages: Sequence[Package]) -> None:
        """Make a repository for dnf."""
        root.mkdir(parents=True)
        self._rpms(root, packages)
        run(['createrepo_c', '--quiet', str(root)])

    def rpm(self, package: Package, directory: pathlib.Path) -> pathlib.Path:
        """Make one package file."""
        self._rpms(directory, [package])
        [path] = directory.glob(f'*/{package.name}-*.rpm')
        return path.rename(directory / path.name)

    def _rpms(self, root: pathlib.Path, packages: Sequence[Package]) -> None:
        topdir = pathlib.Path(tempfile.mkdtemp(dir=self._workspace))
        specs = []
        for number, package in enumerate(packages):
            spec = topdir / f'{number}.spec'
            tree = topdir / f'tree{number}'
            tree.mkdir()
            _write_tree(tree, package)
            spec.write_text(_spec(package, tree))
            specs.append(str(spec))
        database = ('--define', f'_dbpath {topdir}/db')
        run(
            [
                *('rpmbuild', '-bb', '--quiet', *database),
                *('--define', f'_topdir {topdir}'),
                *('--define', f'_rpmdir {root}'),
                *('--define', '_binary_payload w.ufdio', *specs),
            ]
        )
        run(
            [
                *('rpmsign', '--addsign', *database),
                *('--define', f'_gpg_name {self.fingerprint}'),
                *('--define', '__gpg /usr/bin/gpg'),
                *('--define', f'_gpg_path {self._home}'),
                *(str(path) for path in root.rglob('*.rpm')),
            ]
        )


def write_archive(path: pathlib.Path, files: Mapping[str, str]) -> None:
    """Make a .tar.gz of programs."""
    with tarfile.open(path, 'w:gz') as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content.encode()), 0o755
            archive.addfile(entry, io.BytesIO(content.encode()))


def _write_tree(tree: pathlib.Path, package: Package) -> None:
    for name, content in package.files.items():
        path = tree / name.lstrip('/')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755 if content.startswith('#!') else 0o644)


def _spec(package: Package, tree: pathlib.Path) -> str:
    number, _, release = package.version.partition('-')
    needs = ''.join(f'Requires: {each}\n' for each in package.needs)
    files = []
    for name, content in package.files.items():
        mode = '755' if content.startswith('#!') else '644'
        files.append(f'%attr({mode},root,root) {name}')
    for path, owner in package.directories.items():
        files.append(f'%dir %attr(755,{owner.replace(":", ",")}) {path}')
    made = ''.join(
        f'mkdir -p %{{buildroot}}{path}\n' for path in package.directories
    )
    return (
        f'Name: {package.name}\nVersion: {number}\nRelease: {release}\n'
        'Summary: For tests\nLicense: Apache-2.0\nBuildArch: noarch\n'
        f'AutoReqProv: no\n{needs}%description\nFor tests.\n%install\n'
        f'mkdir -p %{{buildroot}}\ncp -a {tree}/. %{{buildroot}}/ || true\n'
        f'{made}%files\n' + '\n'.join(files) + '\n'
    )


def run(argv: Sequence[str], *, cwd: pathlib.Path | None = None) -> str:
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, 'SOURCE_DATE_EPOCH': '1767225600'},
    )
    if done.returncode != 0:
        raise RuntimeError(f'{argv} failed: {done.stdout}{done.stderr}')
    return done.stdout
