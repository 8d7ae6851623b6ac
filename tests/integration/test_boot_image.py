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
"""Machines of a boot test, with boot sectors in place of systems."""

import contextlib
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import BinaryIO

import pytest

from imagebuild import exception
from imagebuild.boot import boot_test
from imagebuild.boot import expectations
from imagebuild.boot import machine
from imagebuild.disks import image_file
from imagebuild.disks import workspaces
from imagebuild.drivers import boot_sector
from imagebuild.sandbox import cgroups

# Writes to the first disk until that fails: xor ax,ax; mov ds,ax;
# next: mov si,0x7d00; mov ah,0x43; mov al,0; mov dl,0x80; int 0x13; jc end;
# add dword [0x7d08],127; jmp next; end:
_FILL = bytes.fromhex('31c08ed8be007db443b000b280cd1372086683 06087d7febeb')
# What it writes: 127 sectors from 1000:0000, to sector 1 on.
_PACKET = bytes.fromhex('10007f00000000100100000000000000')
#: Seconds for what is never done; more where a busy host let the machine not
#: come to what it was to do.
TIMES = (4, 90)


@pytest.fixture
def sector(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Makes a raw disk that says something when it boots."""

    def make(text: str, then: boot_sector.Then = 'wait') -> pathlib.Path:
        path = tmp_path / 'image.raw'
        path.write_bytes(boot_sector.content(text, then))
        os.truncate(path, 1024 * 1024)
        return path

    return make


def run(
    image: pathlib.Path,
    wanted: expectations.Expectations,
    timeout: float = 300,
    screenshot: BinaryIO | None = None,
) -> boot_test.Outcome:
    spec = boot_test.BootSpec(
        machine.MachineSettings(memory=64, cpus=1, accelerator='tcg'),
        wanted,
        timeout,
        screenshot,
    )
    with workspaces.Workspace(image) as workspace:
        outcome = boot_test.run(image_file.inspect(image), spec, workspace)
    return outcome


def test_it_says_what_is_expected(
    sector: Callable[..., pathlib.Path], tmp_path: pathlib.Path
) -> None:
    image = sector('\r\nimage login: ')
    before = hashlib.sha256(image.read_bytes()).hexdigest()
    picture = tmp_path / 'screen.png'
    with picture.open('wb') as file:
        outcome = run(image, expectations.Expectations(), screenshot=file)
    assert outcome.passed, outcome
    assert 'image login:' in outcome.console
    assert 'SeaBIOS' in outcome.console, 'the firmware is heard as well'
    assert picture.read_bytes().startswith(b'\x89PNG')
    assert hashlib.sha256(image.read_bytes()).hexdigest() == before
    assert sorted(os.listdir(tmp_path)) == ['image.raw', 'screen.png']


def test_its_words_are_its_own(sector: Callable[..., pathlib.Path]) -> None:
    # SeaBIOS writes the end of what it said when its clock ticks.
    text = '0123456789' * 39
    image = sector(f'{text}\r\n', 'repeat')
    for seconds in TIMES:
        lines: list[str] = []
        with workspaces.Workspace(image) as workspace:
            boot_test.run(
                image_file.inspect(image),
                boot_test.BootSpec(
                    machine.MachineSettings(
                        memory=64, cpus=1, accelerator='tcg'
                    ),
                    expectations.Expectations(console=('never',)),
                    seconds,
                ),
                workspace,
                on_line=lines.append,
            )
        said = [line for line in lines if '123' in line]
        if len(said) > 4:
            break
    first, *others = said
    # What SeaBIOS had begun stands before it.
    assert first.endswith(text)
    assert len(others) > 3
    assert set(others[:-1]) == {text}


def test_the_time_is_up(sector: Callable[..., pathlib.Path]) -> None:
    image, wanted = sector('nothing'), expectations.Expectations(ports=(22,))
    for seconds in TIMES:
        outcome = run(image, wanted, timeout=seconds)
        assert outcome.reason == f'the time of {seconds} seconds is up'
        if 'nothing' in outcome.console:
            break
    assert 'nothing' in outcome.console


def test_it_switches_itself_off(sector: Callable[..., pathlib.Path]) -> None:
    image = sector('bye\n', 'off')
    outcome = run(image, expectations.Expectations(console=('bye', 'more')))
    assert outcome.reason == 'the machine switched itself off'
    assert [found.holds for found in outcome.findings] == [True, False]


def test_qemu_says_why_it_does_not_start(
    sector: Callable[..., pathlib.Path], tmp_path: pathlib.Path
) -> None:
    more = 1024 * 1024
    options = ['--memory', str(more), '--screenshot', str(tmp_path / 'no/x')]
    with program(sector('x'), *options) as running:
        _, err = running.communicate(timeout=300)
    assert running.returncode == 3
    assert err == (
        f'{tmp_path}/no/x cannot be written: there is no such file.\n'
    )
    with program(sector('x'), *options[:2]) as running:
        _, err = running.communicate(timeout=300)
    assert running.returncode == 3
    first, _, rest = err.partition('\n')
    assert first.startswith('Booting ')
    assert rest.startswith(
        'The machine for the boot test failed: QEMU ended ('
    )
    assert err.endswith('Cannot allocate memory).\n')
    assert 'chardev' not in err


def test_nothing_to_boot_from(tmp_path: pathlib.Path) -> None:
    image = tmp_path / 'empty.raw'
    image.write_bytes(bytes(1024 * 1024))
    outcome = run(image, expectations.Expectations())
    assert outcome.reason == 'no disk can be booted from'
    assert not outcome.passed


def test_it_has_next_to_nothing_of_the_host(
    sector: Callable[..., pathlib.Path],
) -> None:
    image = sector('login:')
    with (
        workspaces.Workspace(image) as workspace,
        machine.Machine(
            image_file.inspect(image),
            machine.MachineSettings(memory=64, cpus=1, accelerator='tcg'),
            workspace,
        ) as running,
    ):
        assert running.read(180) is not None
        [qemu] = _users_of(workspace.path / 'machine')
        status = pathlib.Path(f'/proc/{qemu}/status').read_text()
        found = dict(
            line.split(':\t', 1)
            for line in status.splitlines()
            if ':\t' in line
        )
        network = os.readlink(f'/proc/{qemu}/ns/net')
        kept = (workspace.path / 'processes.json').stat()
        groups = pathlib.Path(f'/proc/{qemu}/cgroup').read_text()
        made = cgroups.names()
    assert found['NoNewPrivs'] == '1'
    assert found['Seccomp'] == '2'
    if os.geteuid() != 0:
        return
    assert set(found['Uid'].split()) == set(found['Gid'].split())
    assert int(found['Uid'].split()[0]) >= 0x7000_0000
    assert not found['Groups'].strip()
    for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
        assert int(found[name], 16) == 0, name
    assert network != os.readlink('/proc/self/ns/net')
    # As far as this host has control groups that can be made.
    name = f'imagebuild-{found["Uid"].split()[0]}'
    assert f'/{name}\n' in groups or name not in made
    assert name not in cgroups.names(), 'it is removed'
    assert kept.st_uid == 0, 'what is believed later is not its own'


def test_it_cannot_fill_the_disk_of_the_host(tmp_path: pathlib.Path) -> None:
    # What writes the text stands behind it, and so does the text.
    write = boot_sector.content('refused\n')[:128]
    write = write.replace(b'\xbe\x32\x7c', b'\xbe\x4b\x7c')
    code = (_FILL + write).ljust(256, b'\0') + _PACKET
    image = tmp_path / 'image.raw'
    image.write_bytes(code.ljust(510, b'\0') + b'\x55\xaa')
    os.truncate(image, 1024**3)
    most = 8 * 1024**2
    # It says one of them.
    wanted = expectations.Expectations(console=('refused', 'never'))
    for seconds in TIMES:
        spec = boot_test.BootSpec(
            machine.MachineSettings(
                memory=64, cpus=1, accelerator='tcg', written=most
            ),
            wanted,
            seconds,
        )
        with workspaces.Workspace(image) as workspace:
            overlay = workspace.path / 'machine/disk.qcow2'
            outcome = boot_test.run(
                image_file.inspect(image),
                spec,
                workspace,
            )
            size = overlay.stat().st_size
        assert size <= most
        if outcome.findings[0].holds:
            break
    assert outcome.findings[0].holds, outcome
    assert outcome.reason == (
        f'the time of {seconds} seconds is up; it has written 8.0 MiB, which '
        'is all that it may'
    )
    assert most - 1024**2 <= size


def program(image: pathlib.Path, *options: str) -> 'subprocess.Popen[str]':
    return subprocess.Popen(
        [sys.executable, '-m', 'imagebuild.cmd.boot', '--image', str(image)]
        + ['--memory', '64', '--accelerator', 'tcg', *options]
        + ['--work-dir', str(image.parent)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_program(
    sector: Callable[..., pathlib.Path], tmp_path: pathlib.Path
) -> None:
    image = sector('\nKernel panic - not syncing: no root\n')
    console = tmp_path / 'console'
    with program(image, '--console', str(console), '--json') as running:
        out, err = running.communicate(timeout=300)
    assert running.returncode == 1
    document = json.loads(out)
    assert document['result'] == 'does-not-boot'
    assert document['telling'] == ['Kernel panic - not syncing: no root']
    assert 'does not boot as expected: the kernel panicked: no root' in err
    assert b'Kernel panic' in console.read_bytes()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_it_is_stopped(
    sector: Callable[..., pathlib.Path],
    tmp_path: pathlib.Path,
    number: signal.Signals,
) -> None:
    image = sector('started\n')
    with program(image, '--expect', 'never', '--verbose') as running:
        assert running.stderr
        for line in running.stderr:
            if 'started' in line:
                break
        [directory] = [each for each in tmp_path.iterdir() if each.is_dir()]
        running.send_signal(number)
        running.wait(180)
    _wait_until(lambda: not _users_of(directory))
    if number == signal.SIGINT:
        assert running.returncode == exception.Interrupted.exit_code
    # The next test removes what kill -9 left.
    assert run(sector('login:'), expectations.Expectations()).passed
    workspaces.sweep_directory(tmp_path)
    assert os.listdir(tmp_path) == ['image.raw']


def _wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 180
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def _users_of(directory: pathlib.Path) -> list[int]:
    """Processes whose current directory it is."""
    found = []
    for each in pathlib.Path('/proc').iterdir():
        with contextlib.suppress(OSError, ValueError):
            if os.readlink(each / 'cwd').startswith(str(directory)):
                found.append(int(each.name))
    return found
