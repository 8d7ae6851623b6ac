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
"""What a guest reaches of the host that it runs on."""

import contextlib
import pathlib
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Iterator

import pytest

from imagebuild import appliance
from imagebuild.disks import image_file
from imagebuild.disks import overlay
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.remotes import guestfs

#: qemu's gateway in the guest.
GATEWAY = '169.254.2.2'
#: qemu's name server in the guest.
RESOLVER = '169.254.2.3'


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Sends nothing; the kernel chooses the address it would send from.
        probe.connect(('198.51.100.1', 9))
        return str(probe.getsockname()[0])


def _mirror() -> tuple[str, int]:
    """Host and port of a mirror: every test's image came from there."""
    uris = [source.uri for source in apt_sources.read()]
    url = urllib.parse.urlsplit(
        next(uri for uri in uris if uri.startswith('http'))
    )
    assert url.hostname
    return url.hostname, url.port or {'http': 80, 'https': 443}[url.scheme]


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which this host answers, at every address."""
    with socket.create_server(('0.0.0.0', 0)) as server:
        yield server.getsockname()[1]


def _reaches(address: str, port: int, seconds: int = 10) -> str:
    return (
        f'timeout {seconds} bash -c "exec 3<>/dev/tcp/{address}/{port}"'
        f' 2>/dev/null && echo {address}:{port};'
    )


def _slirps(qemu: int) -> list[int]:
    found = subprocess.run(
        ['ps', '--ppid', str(qemu), '-o', 'pid=,comm=,stat='],
        capture_output=True, text=True,
    )  # fmt: skip
    return [
        int(line.split()[0])
        for line in found.stdout.splitlines()
        if 'slirp4netns' in line
    ]


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        status = pathlib.Path(f'/proc/{pid}/stat').read_text()
        # A zombie may wait for an init that takes its time.
        return status.rpartition(')')[2].split()[0] != 'Z'
    return False


def test_guests_reach_mirrors_and_not_their_host(
    minimal_image: pathlib.Path, tmp_path: pathlib.Path, port: int
) -> None:
    disk = tmp_path / 'overlay.qcow2'
    overlay.create(image_file.inspect(minimal_image), disk)
    own = _own_address()
    hosts = [GATEWAY, RESOLVER, own, '127.0.0.1', '169.254.169.254']
    mirror = _mirror()
    script = ''.join(_reaches(host, port) for host in hosts)
    with guestfs.GuestfsRemote(
        [appliance.Drive(disk, 'qcow2')], workspace=tmp_path
    ) as remote:
        result = remote.run(
            [
                'bash',
                '-c',
                script
                + _reaches('169.254.169.254', 80)
                # It answers at once, where nothing is in a hurry.
                + _reaches(*mirror, 200)
                + 'true',
            ]
        )
        qemu = remote.appliance.pid
        assert qemu is not None
        slirps = _slirps(qemu)
    assert result.stdout.split() == ['{}:{}'.format(*mirror)]
    # Nothing stays behind.
    assert slirps
    end = time.monotonic() + 120
    while any(map(_runs, slirps)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(_runs, slirps))
