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
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator

import pytest

from imagebuild.boot import mirror_network
from imagebuild.common import processes
from imagebuild.disks import base_images
from imagebuild.disks import host_command
from imagebuild.disks import workspaces
from imagebuild.drivers import base
from imagebuild.drivers import installer
from imagebuild.drivers.installer import run
from tests.contract import driver_contract
from tests.integration import netboot

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


def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
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


@pytest.mark.timeout(600)
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
            'timeout': 400,
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
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Mirror)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f'http://127.0.0.1:{server.server_address[1]}/debian'
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


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
        (directory,) = (pathlib.Path(workspace.path),)
        started = below(os.getpid())
    assert not directory.exists()
    until(lambda: not [each for each in started if _name(each)])


@pytest.fixture
def installed(
    minimal_image: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an installer has made is there at once."""

    def install(self: run.Run) -> pathlib.Path:
        disk = self.workspace.path / 'disk.raw'
        host_command.run(
            [
                'qemu-img', 'convert', '-O', 'raw', str(minimal_image),
                str(disk),
            ]
        )  # fmt: skip
        os.truncate(disk, self.options.size * 1024**3)
        return disk

    monkeypatch.setattr(run.Run, 'install', install)


@pytest.mark.usefixtures('installed')
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
        isolation: str,
    ) -> driver_contract.Opening:
        file = tmp_path / 'installers.yaml'
        checksum = 'sha256:' + 'a' * 64
        entry = {
            'family': 'debian', 'mirror': 'http://mirror.example/debian',
            'kernel': '/none', 'kernel_checksum': checksum,
            'initrd': '/none', 'initrd_checksum': checksum,
        }  # fmt: skip
        # JSON is YAML.
        file.write_text(json.dumps({'one': entry}))

        def no_glance() -> None:
            raise AssertionError('no test here needs Glance')

        settings = base.Settings(
            base_images.Cache(tmp_path / 'cache'),
            no_glance,  # type: ignore
            isolation=isolation,  # type: ignore
            sections={'installer': {'installers_file': str(file)}},
        )
        return driver_contract.Opening(
            driver, base.BaseImage(), {'installer': 'one'}, settings
        )
