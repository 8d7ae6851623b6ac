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
"""The driver installer: its options, its settings, its installers."""

import hashlib
import io
import pathlib
from typing import Any

import pytest

from imagebuild import exception
from imagebuild.boot import installation
from imagebuild.common import space
from imagebuild.drivers import base
from imagebuild.drivers.installer import InstallerDriver
from imagebuild.drivers.installer import initrd
from imagebuild.drivers.installer import inputs
from imagebuild.drivers.installer import settings

SUM = 'sha256:' + 'a' * 64
ENTRY = f"""\
debian-12:
  family: debian
  kernel: /var/lib/imagebuild/linux
  kernel_checksum: {SUM}
  initrd: /var/lib/imagebuild/initrd.gz
  initrd_checksum: {SUM}
  mirror: http://mirror.example/debian/
rocky-9:
  family: redhat
  kernel: /images/pxeboot/vmlinuz
  initrd: /images/pxeboot/initrd.img
  medium: /var/lib/imagebuild/rocky.iso
  medium_checksum: {SUM}
"""
DRIVER = InstallerDriver()


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / 'installers.yaml'
    path.write_text(ENTRY)
    return path


def sections(file: pathlib.Path, **more: Any) -> dict[str, dict[str, Any]]:
    return {'installer': {'installers_file': str(file), **more}}


def test_settings(file: pathlib.Path) -> None:
    read = settings.InstallerSettings.read(
        sections(file, memory=512, cpus=None)
    )
    assert (read.memory, read.cpus, read.silence) == (512, 2, 900.0)
    found = read.installers()
    assert list(found) == ['debian-12', 'rocky-9']
    assert found['debian-12'].mirror == 'http://mirror.example/debian'
    assert found['debian-12'].medium is None
    assert found['rocky-9'].medium
    assert settings.InstallerSettings.read({}).installers() == {}


@pytest.mark.parametrize(
    'old, new, problem',
    [
        ('family: debian', 'family: plan9', 'plan9'),
        (f'  kernel_checksum: {SUM}\n', '', 'kernel_checksum'),
        (f'kernel_checksum: {SUM}', 'kernel_checksum: md5:0', 'md5:0'),
        (f'kernel_checksum: {SUM}', 'kernel_checksum: sha512:' + 'a' * 64,
         '128'),
        (f'  medium_checksum: {SUM}\n', '', 'medium_checksum'),
        ('  mirror: http://mirror.example/debian/\n', '', 'mirror or a medi'),
        ('http://mirror.example/debian/', 'ftp://x', 'ftp://x'),
        ('http://mirror.example/debian/', '"http://x/ y"', 'http://x/ y'),
        ('http://mirror.example/debian/', 'http://x:99999/', 'x:99999'),
        ('http://mirror.example/debian/', 'http://x:0/', 'x:0'),
        ('http://mirror.example/debian/', '"http://[::1/"', 'no URL'),
        ('http://mirror.example/debian/', 'http://:80/', 'no URL'),
        ('http://mirror.example/debian/',
         'http://x/\n  more_mirrors: ["http://y:port/"]', 'more_mirrors[0]'),
        ('/var/lib/imagebuild/linux', 'linux', 'linux'),
        ('debian-12:', '"a b":', 'a b'),
        ('debian-12:', '- x', 'line'),
        (ENTRY, 'debian-12: {kernel_arguments: ["a b"]}', 'a b'),
    ],
)  # fmt: skip
def test_bad_files(
    file: pathlib.Path, old: str, new: str, problem: str
) -> None:
    file.write_text(ENTRY.replace(old, new))
    read = settings.InstallerSettings.read(sections(file))
    with pytest.raises(settings.InvalidInstallers) as caught:
        read.installers()
    assert problem in str(caught.value)
    assert str(file) in str(caught.value)


def test_no_file(tmp_path: pathlib.Path) -> None:
    read = settings.InstallerSettings.read(sections(tmp_path / 'none'))
    with pytest.raises(settings.InvalidInstallers, match='cannot be read'):
        read.installers()


def test_what_may_be_asked(file: pathlib.Path) -> None:
    asked = {'installer': 'debian-12'}
    DRIVER.check_asked(asked, asked, sections(file))
    for bad, found, path in (
        ({'installer': 'nope'}, 'known are debian-12, rocky-9', 'installer'),
        (
            {'installer': 'rocky-9', 'file_system': 'btrfs'},
            'btrfs',
            'file_system',
        ),
    ):
        with pytest.raises(base.InvalidDriverOptions) as caught:
            DRIVER.check_asked(bad, bad, sections(file))
        (problem,) = caught.value.errors
        assert problem.path == path
        assert found in problem.message
    with pytest.raises(base.InvalidDriverOptions, match='none'):
        DRIVER.check_asked(asked, asked, {})


def test_identity(file: pathlib.Path) -> None:
    plain = {'installer': 'debian-12'}
    full = {**plain, 'size': 10, 'swap': 0, 'refresh': 3}
    assert DRIVER.identity(plain) == DRIVER.identity(full)
    for more in ({'swap': 1}, {'late_commands': ['x']}, {'hostname': 'x'}):
        assert DRIVER.identity({**plain, **more}) != DRIVER.identity(plain)
    made = {ENTRY}
    for old, new in (
        ('debian/\n', 'debian/\n  more_mirrors: ["http://two.example/"]\n'),
        ('mirror.example', 'other.example'),
    ):
        made.add(ENTRY.replace(old, new))
    found = set()
    for text in made:
        file.write_text(text)
        found.add(DRIVER.on_this_host(plain, sections(file)))
    assert len(found) == len(made) == 3
    other = {'installer': 'rocky-9'}
    before = DRIVER.on_this_host(other, sections(file))
    file.write_text(ENTRY.replace('pxeboot/vmlinuz', 'other/vmlinuz'))
    assert DRIVER.on_this_host(other, sections(file)) != before
    file.write_text(ENTRY)
    here = DRIVER.on_this_host(plain, sections(file))
    file.write_text(ENTRY.replace(SUM, 'sha256:' + 'b' * 64, 1))
    assert DRIVER.on_this_host(plain, sections(file)) != here


def test_who_trusts_it() -> None:
    """Whoever gives a command may have written any block of the disk."""
    plain = {'installer': 'debian-12'}
    assert DRIVER.making(plain, {}).trusted
    command = {**plain, 'late_commands': ['true']}
    assert not DRIVER.making(command, {}).trusted
    assert DRIVER.disk_size(plain) == 10 * space.GIB
    assert not DRIVER.by_default


def files_of(archive: bytes) -> dict[str, bytes]:
    """Read an archive of cpio; what is before it are zeros."""
    found = {}
    at = archive.index(b'070701')
    assert at % 4 == 0
    while True:
        fields = [
            int(archive[at + 6 + 8 * number : at + 14 + 8 * number], 16)
            for number in range(13)
        ]
        size, length = fields[6], fields[11]
        name = archive[at + 110 : at + 109 + length].decode()
        start = at + -(-(110 + length) // 4) * 4
        if name == 'TRAILER!!!':
            return found
        assert fields[1] == 0o100600
        found[name] = archive[start : start + size]
        at = start + -(-size // 4) * 4


@pytest.mark.parametrize('length', range(5))
def test_initrd(length: int) -> None:
    """The kernel looks for an archive at multiples of four bytes."""
    stream = io.BytesIO(b'x' * length)
    stream.seek(0, 2)
    content = {'preseed.cfg': b'd-i x\n', 'b': b'', 'late': b'\0' * 9}
    initrd.append(stream, content)
    assert files_of(stream.getvalue()) == content
    assert stream.getvalue()[length:][: -length % 4].strip(b'\0') == b''


def test_inputs(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'linux').write_bytes(b'kernel')
    good = f'sha256:{hashlib.sha256(b"kernel").hexdigest()}'

    def gather(checksum: str, name: str = 'linux') -> inputs.Inputs:
        file = settings.InputFile(tmp_path / name, checksum)
        made = tmp_path / 'made'
        made.mkdir(exist_ok=True)
        return inputs.gather(
            settings.Installer('one', 'debian', file, file), made
        )

    found = gather(good)
    assert found.kernel.read_bytes() == b'kernel'
    assert found.initrd.read_bytes() == b'kernel'
    assert (tmp_path / 'linux').exists()
    with pytest.raises(exception.ChecksumMismatch, match='linux'):
        gather(SUM)
    with pytest.raises(exception.EnvironmentFault, match='no such file'):
        gather(good, 'none')


def test_options_of_qemu(tmp_path: pathlib.Path) -> None:
    """Nothing of a request is a word of QEMU's but one, and that is one."""
    for name in ('k', 'i'):
        (tmp_path / name).write_text(name)
    machine = tmp_path / 'machine'
    machine.mkdir()
    booted = installation.Installation(
        tmp_path / 'k', tmp_path / 'i', 'a=1,b console=x'
    )
    disk, network = installation.prepare(booted, machine, 1000)
    assert disk[disk.index('-append') + 1] == 'a=1,b console=x'
    assert network[-1].endswith(',restrict=on')
    assert (machine / 'disk.raw').stat().st_size == 1024
    assert not (tmp_path / 'k').exists()
