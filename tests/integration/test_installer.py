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
"""The driver installer: real installers, real networks, real disks."""

import contextlib
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest

from imagebuild import exception
from imagebuild.boot import mirror_network
from imagebuild.common import checksums
from imagebuild.common import processes
from imagebuild.disks import base_images
from imagebuild.disks import host_command
from imagebuild.disks import workspaces
from imagebuild.drivers import base
from imagebuild.drivers import installer
from imagebuild.drivers.installer import inputs
from imagebuild.drivers.installer import run
from imagebuild.drivers.installer import settings
from tests.contract import driver_contract
from tests.integration import loopback
from tests.integration import netboot
from tests.integration import stand_in_installer

#: What is killed: it makes a disk, and says where it is.
_PROGRAM = """
import json, pathlib, sys
from imagebuild.drivers import base, installer

class Monitor(base.DiskMonitor):
    def step_started(self, name):
        print(name, flush=True)

options, path, sections = map(json.loads, sys.argv[1:])
installer.InstallerDriver().create_disk(
    options, pathlib.Path(path), monitor=Monitor(), sections=sections
)
"""


def until(holds: Callable[[], object], seconds: float = 180.0) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def running(started: list[tuple[int, int]]) -> list[int]:
    """Those of some processes that still are."""
    return [pid for pid, at in started if processes.start_time(pid) == at]


def below(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for task in pathlib.Path(f'/proc/{pid}/task').iterdir():
            text = (task / 'children').read_text()
            for child in map(int, text.split()):
                found += [child, *below(child)]
    return found


def test_debian_starts(
    image_cache: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """To the installer's first stage; then its owner is killed.

    ``python -m tests.integration.long_installer`` goes to the end.
    """
    file = tmp_path / 'installers.yaml'
    netboot.write(file, image_cache, netboot.mirror())
    place = tmp_path / 'place'
    place.mkdir(mode=0o700)
    sections = {
        'installer': {
            'installers_file': str(file), 'memory': 768, 'silence': 200,
            'timeout': 1500,
        }
    }  # fmt: skip
    arguments = [{'installer': netboot.NAME}, str(place / 'disk'), sections]
    with subprocess.Popen(
        [sys.executable, '-c', _PROGRAM, *map(json.dumps, arguments)],
        stdout=subprocess.PIPE,
        text=True,
    ) as made:
        try:
            assert made.stdout
            steps = []
            for line in made.stdout:
                steps.append(line.strip())
                if steps[-1] == 'start the installer':
                    break
            assert steps == [
                'check the installer',
                'boot the installer',
                'start the installer',
            ]
            children = below(made.pid)
            names = [_name(each) for each in children]
            # Each with the process that keeps it.
            assert sum('qemu-system' in name for name in names) == 2
            assert sum('mirror_proxy' in name for name in names) == 2
            began = [(each, processes.start_time(each)) for each in children]
            (qemu,) = (
                each
                for each, name in zip(children, names, strict=True)
                if name.startswith('qemu-system')
            )
            _is_confined(qemu)
        finally:
            made.send_signal(signal.SIGKILL)
    until(lambda: not running(began))  # type: ignore
    assert os.listdir(place), 'its files wait for a sweep'
    base.sweep(place)
    assert os.listdir(place) == []


def _name(pid: int) -> str:
    with contextlib.suppress(FileNotFoundError):
        text = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()
        return text.replace(b'\0', b' ').decode()
    return ''


def _is_confined(pid: int) -> None:
    """QEMU is nobody, and reaches nothing but the proxy."""
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
    fields = dict(
        line.split(':\t', 1) for line in status.splitlines() if ':\t' in line
    )
    assert int(fields['Uid'].split()[0]) > 65536
    assert int(fields['CapEff'], 16) == 0
    interfaces = pathlib.Path(f'/proc/{pid}/net/dev').read_text()
    names = [line.split(':')[0].strip() for line in interfaces.splitlines()]
    assert names[2:] == ['lo']


class _Mirror(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path == '/debian/dists/x'
        content = b'y' * 100_000 if found else b''
        self.send_response(200 if found else 404)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def mirror() -> Iterator[str]:
    with loopback.serving(_Mirror) as url:
        yield f'{url}/debian'


#: Asks from within a machine's network; prints each status and size.
_ASK = """
import http.client, sys, urllib.parse
for url in sys.argv[1:]:
    asked = http.client.HTTPConnection('127.0.0.1', 3142, timeout=60)
    asked.request('GET', url)
    answer = asked.getresponse()
    print(answer.status, len(answer.read()))
try:
    place = urllib.parse.urlsplit(sys.argv[1])
    direct = http.client.HTTPConnection(place.hostname, place.port, timeout=5)
    direct.request('GET', place.path)
    print('direct', direct.getresponse().status)
except OSError:
    print('nothing else')
"""


def test_network(mirror: str, tmp_path: pathlib.Path) -> None:
    # Other modules have some, too.
    others = set(below(os.getpid()))
    with (
        workspaces.Workspace(tmp_path / 'x') as workspace,
        mirror_network.opened([mirror], workspace) as network,
    ):
        urls = [f'{mirror}/dists/x', f'{mirror}/none', 'http://127.0.0.1/']
        shown = subprocess.run(
            [
                'nsenter', f'--net=/proc/self/fd/{network.descriptor}',
                sys.executable, '-c', _ASK, *urls,
            ],
            pass_fds=[network.descriptor],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )  # fmt: skip
        assert shown.stdout.splitlines() == [
            '200 100000', '404 0', '403 0', 'nothing else',
        ]  # fmt: skip
        assert network.said() == [
            f'404 Not Found: GET {mirror}/none',
            'refused: GET http://127.0.0.1/',
        ]
        assert network.failed == ''
        (proxy,) = (
            each
            for each in set(below(os.getpid())) - others
            if 'mirror_proxy' in _name(each) and 'keeper' not in _name(each)
        )
        os.kill(proxy, signal.SIGKILL)
        until(lambda: network.failed)
        assert network.failed == 'it was ended by signal 9'
        (directory,) = (pathlib.Path(workspace.path),)
        started = set(below(os.getpid())) - others
    assert not directory.exists()
    until(lambda: not [each for each in started if _name(each)])


def test_medium(tmp_path: pathlib.Path) -> None:
    """Kernel and initrd are taken from a CD, by their names there."""
    boot = tmp_path / 'tree' / 'images' / 'pxeboot'
    boot.mkdir(parents=True)
    (boot / 'vmlinuz').write_bytes(b'kernel' * 5000)
    (boot / 'initrd.img').write_bytes(b'initrd' * 5000)
    medium = tmp_path / 'medium.iso'
    host_command.run(
        [
            'genisoimage',
            '-quiet',
            '-R',
            '-o',
            str(medium),
            str(boot.parents[1]),
        ]
    )
    digest = checksums.compute(medium, ('sha256',))['sha256']
    made = tmp_path / 'made'
    made.mkdir()

    def gather(kernel: str) -> inputs.Inputs:
        on_it = [
            settings.InputFile(pathlib.Path(f'/images/pxeboot/{name}'))
            for name in (kernel, 'initrd.img')
        ]
        whole = settings.InputFile(medium, f'sha256:{digest}')
        named = settings.Installer('one', 'redhat', *on_it, whole)
        return inputs.gather(named, made)

    found = gather('vmlinuz')
    assert found.kernel.read_bytes() == b'kernel' * 5000
    assert found.initrd.read_bytes() == b'initrd' * 5000
    with pytest.raises(exception.EnvironmentFault, match='not on the medium'):
        gather('vmlinuz; x')
    medium.write_bytes(b'another')
    with pytest.raises(exception.ChecksumMismatch):
        gather('vmlinuz')


OPTIONS: dict[str, Any] = {
    'installer': stand_in_installer.NAME,
    'size': 3,
    'hostname': 'web-1',
    'users': [
        {
            'name': 'ann',
            'sudo': True,
            'ssh_keys': [f"ssh-ed25519 {'A' * 68} ann's $(id)"],
        }
    ],
}


@pytest.fixture(scope='module')
def installers(
    tmp_path_factory: pytest.TempPathFactory,
    image_cache: pathlib.Path,
    minimal_image: pathlib.Path,
) -> dict[str, Any]:
    """A section of the configuration with an installer that is quick."""
    file = tmp_path_factory.mktemp('stand-in') / 'installers.yaml'
    url = 'http://mirror.example/debian'
    stand_in_installer.write(file, image_cache, minimal_image, url)
    return {'installers_file': str(file), 'memory': 768, 'silence': 250}


@pytest.fixture(scope='module')
def disk(
    tmp_path_factory: pytest.TempPathFactory, installers: dict[str, Any]
) -> pathlib.Path:
    """A raw disk that it has made. About 30 s."""
    path = tmp_path_factory.mktemp('installed') / 'disk'
    listener = driver_contract.Listener()
    installer.InstallerDriver().create_disk(
        OPTIONS,
        path,
        disk_format='raw',
        monitor=listener,
        sections={'installer': installers},
    )
    assert listener.started == [
        'check the installer',
        'boot the installer',
        'start the installer',
        'set up the network of the installer',
        'partition the disk',
        'install the base system',
        'install packages with the installer',
        'finish the installation',
        'write the raw file',
    ]
    assert [name for name, _ in listener.finished] == listener.started
    assert os.listdir(path.parent) == ['disk']
    return path


class TestInstaller(driver_contract.DriverContract):
    """What becomes of a disk that was installed."""

    @pytest.fixture
    def driver(self) -> base.Driver:
        return installer.InstallerDriver()

    @pytest.fixture
    def opening(
        self,
        driver: base.Driver,
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
        disk: pathlib.Path,
        installers: dict[str, Any],
    ) -> driver_contract.Opening:
        def no_glance() -> None:
            raise AssertionError('no test here needs Glance')

        def install(self: run.Run) -> pathlib.Path:
            # It was installed already.
            made = self.workspace.path / 'disk'
            host_command.run(['cp', '--sparse=always', str(disk), str(made)])
            return made

        monkeypatch.setattr(run.Run, 'install', install)
        conductor = base.Settings(
            base_images.Cache(tmp_path / 'cache'),
            no_glance,  # type: ignore
            isolation='sandbox',
            sections={'installer': installers},
        )
        return driver_contract.Opening(
            driver, base.BaseImage(), OPTIONS, conductor
        )

    def test_what_was_installed(
        self, opening: driver_contract.Opening, workspace: pathlib.Path
    ) -> None:
        with opening.open(workspace) as found:
            read = found.remote.read_file
            assert read('/etc/hostname') == b'web-1\n'
            keys = read('/home/ann/.ssh/authorized_keys').decode()
            assert keys == f'{OPTIONS["users"][0]["ssh_keys"][0]}\n'
            rules = read('/etc/sudoers.d/90-imagebuild').decode()
            assert rules == 'ann ALL=(ALL:ALL) NOPASSWD: ALL\n'
            shown = found.remote.run(
                ['sh', '-c', 'getent shadow root ann; ls /etc/apt /var/tmp']
            ).stdout
            assert re.search('^root:!', shown, re.MULTILINE)
            assert re.search('^ann:!', shown, re.MULTILINE)
            # The proxy, and the script itself.
            assert 'apt.conf\n' not in shown
            assert 'imagebuild' not in shown
