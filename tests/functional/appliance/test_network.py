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
"""The script that stands for qemu, and the program behind it."""

import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

import imagebuild
from imagebuild import common
from imagebuild import exception
from imagebuild.appliance import appliance_settings
from imagebuild.appliance import network
from imagebuild.appliance import restricted
from imagebuild.common import user_network

# The package has a function of this name.
launch = importlib.import_module('imagebuild.appliance.launch')

TABLE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.2
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
     |-- 172.17.0.1
        /32 host LOCAL
Local:
        |-- 192.0.2.2
           /32 host LOCAL
"""


@pytest.fixture
def qemu(tmp_path):
    path = tmp_path / "qemu's own"
    path.write_text('#!/bin/sh\necho "$0" "$@"\n')
    path.chmod(0o755)
    os.utime(path, (1000, 1000))
    return path


@pytest.fixture
def place(tmp_path, monkeypatch):
    path = tmp_path / 'place'
    monkeypatch.setattr(network, '_places', lambda: [path])
    return path


def test_own_addresses_of_this_host():
    assert user_network.own_addresses(TABLE) == ['172.17.0.1', '192.0.2.2']


@pytest.mark.parametrize(
    'given, name',
    [
        ('user,id=n0,net=169.254.0.0/16', 'n0'),
        (
            'stream,id=n1,addr.type=unix,addr.path=/run/passt.sock',
            'n1',
        ),
        ('tap,id=n2', 'n2'),
        ('{"type": "stream", "id": "n3"}', 'n3'),
        ('bridge', 'usernet'),
    ],
)
def test_no_network_but_of_qemus_own(given, name):
    arguments = ['-m', '1', '-netdev', given, '-device', 'x,netdev=n']
    assert restricted.only_user_network(arguments) == [
        '-m', '1',
        '-netdev', f'user,id={name},net=169.254.0.0/16,ipv6=off',
        '-device', 'x,netdev=n',
    ]  # fmt: skip


def test_questions_are_qemus_to_answer(qemu, place, monkeypatch, tmp_path):
    # Nothing there makes a namespace.
    python = tmp_path / 'no-python'
    monkeypatch.setattr(network.sys, 'executable', str(python))
    script = network.hypervisor(str(qemu))
    asked = subprocess.run(
        [script, '-display', 'none', '-help'], capture_output=True, text=True
    )
    assert asked.stdout == f'{qemu} -display none -help\n'
    started = subprocess.run(
        [script, '-netdev', 'user,id=n'], capture_output=True, text=True
    )
    assert started.returncode == 127
    assert str(python) in started.stderr


def test_script_stays_the_same(qemu, place):
    script = network.hypervisor(str(qemu))
    before = script.stat()
    assert before.st_mtime == 1000
    assert network.hypervisor(str(qemu)) == script
    assert script.stat().st_ino == before.st_ino
    assert sorted(p.name for p in place.iterdir()) == [
        script.name,
        'resolv.conf',
    ]
    # libguestfs shall look at a newer qemu again.
    os.utime(qemu, (2000, 2000))
    assert network.hypervisor(str(qemu)).stat().st_mtime == 2000


def test_script_is_mended(qemu, place):
    script = network.hypervisor(str(qemu))
    wanted = script.read_text()
    script.write_text('#!/bin/sh\nexec something else')
    assert network.hypervisor(str(qemu)).read_text() == wanted


def test_directories_of_others_are_not_used(qemu, place, tmp_path):
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(exception.ApplianceFailed, match=str(place)):
        network.hypervisor(str(qemu))
    assert list(place.iterdir()) == []
    place.rmdir()
    place.symlink_to(tmp_path)
    with pytest.raises(exception.ApplianceFailed, match='noexec'):
        network.hypervisor(str(qemu))


def test_paths_are_short(monkeypatch, tmp_path):
    # A longer one crashes libguestfs.
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / ('x' * 60)))
    places = network._places()
    assert places
    assert all(len(str(place / 'qemu-01234567')) < 70 for place in places)


def test_slirp4netns_is_missing(monkeypatch):
    monkeypatch.setattr(network.shutil, 'which', lambda name: None)
    with pytest.raises(exception.MissingDependency) as caught:
        launch.launch([], appliance_settings.ApplianceSettings())
    assert 'install the package slirp4netns' in str(caught.value)
    for harmless in (
        appliance_settings.ApplianceSettings(network=False),
        appliance_settings.ApplianceSettings(allow_host_network=True),
    ):
        network.check(harmless)


def _run(*argv, **kwargs):
    return subprocess.run(
        [sys.executable, '-I', '-S', restricted.__file__, *argv],
        capture_output=True, text=True, **kwargs,
    )  # fmt: skip


def test_failure_is_one_line(tmp_path):
    # Never qemu without its namespace.
    ended = _run('/etc/hostname', '/bin/echo', env={'PATH': str(tmp_path)})
    assert (ended.returncode, ended.stdout) == (1, '')
    [line] = ended.stderr.splitlines()
    assert line.startswith(network.ERROR_PREFIX)
    reason = launch._launch_reason(RuntimeError('x'), f'boot\r\n{line}\r\n')
    assert reason.startswith('its network cannot be kept from this host: ')


@pytest.fixture
def readable():
    """The script where every user can read it; a test's files are private."""
    root = pathlib.Path(imagebuild.__file__).parents[1]
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name)
        place.chmod(0o755)
        for file in (
            pathlib.Path(imagebuild.__file__),
            pathlib.Path(common.__file__),
            pathlib.Path(user_network.__file__),
            pathlib.Path(restricted.__file__),
        ):
            copy = place / file.relative_to(root)
            copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            copy.chmod(0o644)
        yield copy


@pytest.mark.parametrize('user', [0, 65534])
def test_namespace(readable, user):
    python = shutil.which('python3', path='/usr/bin:/bin')
    ended = subprocess.run(
        [
            python, '-I', '-S', readable, '/etc/hostname', '/bin/sh', '-c',
            'cat /proc/net/route /etc/resolv.conf; id -u',
        ],
        capture_output=True, text=True,
        **({'user': user, 'group': user} if os.geteuid() == 0 else {}),
    )  # fmt: skip
    assert ended.stderr == ''
    assert 'tap0' in ended.stdout
    hostname = pathlib.Path('/etc/hostname').read_text()
    expected = user if os.geteuid() == 0 else os.geteuid()
    assert ended.stdout.endswith(f'{hostname}{expected}\n')
    own = user_network.host_addresses()
    refused = [
        line.split()[1]
        for line in ended.stdout.splitlines()
        if line.startswith('*') and line.split()[3] in ('0201', '0205')
    ]
    assert '0000FEA9' in refused
    assert len(refused) == 1 + len(own)
