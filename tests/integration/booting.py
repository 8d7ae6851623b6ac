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
"""Starts a disk in an emulated machine, and reads its console."""

import contextlib
import pathlib
import subprocess
import time
from collections.abc import Iterator
from typing import Literal

OVMF = pathlib.Path('/usr/share/ovmf/OVMF.fd')
Firmware = Literal['bios', 'efi']


class Console:
    """The serial console of a machine.

    :param file: that it is written to.
    """

    def __init__(
        self, file: pathlib.Path, machine: 'subprocess.Popen[bytes]'
    ) -> None:
        self._file, self._machine = file, machine

    def text(self) -> str:
        """What was written until now."""
        if not self._file.exists():
            return ''
        return self._file.read_text(errors='replace').replace('\r', '')

    def wait_for(self, words: str, seconds: float) -> str:
        """Wait until it says something.

        :returns: all of it.
        """
        end = time.monotonic() + seconds
        while words not in (text := self.text()):
            assert time.monotonic() < end, text[-3000:]
            assert self._machine.poll() is None, text[-3000:]
            time.sleep(0.5)
        return text

    def wait_for_end(self, seconds: float) -> str:
        """Wait until the machine is off, or the time is up.

        :returns: all that it said.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._machine.wait(seconds)
        return self.text()


@contextlib.contextmanager
def booted(
    image: pathlib.Path,
    directory: pathlib.Path,
    firmware: Firmware,
    *,
    size: int = 0,
    more: tuple[pathlib.Path, ...] = (),
) -> Iterator[Console]:
    """Start a machine from an image, which stays as it is.

    :param image: a qcow2 file.
    :param directory: for what is thrown away.
    :param size: bytes of the disk, 0 for those of the image.
    :param more: raw files of further disks.
    """
    assert firmware == 'bios' or OVMF.exists(), 'ovmf is not installed'
    disk = directory / f'disk-{firmware}.qcow2'
    console = directory / f'console-{firmware}'
    create = ['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2']
    create += ['-b', str(image), str(disk)]
    subprocess.run([*create, *([str(size)] if size else [])], check=True)
    command = [
        'qemu-system-x86_64', '-accel', 'tcg,thread=multi',
        '-cpu', 'max,la57=off,-erms', '-smp', '2', '-m', '1024',
        '-display', 'none', '-monitor', 'none',
        '-no-reboot', '-serial', f'file:{console}', '-snapshot',
        '-drive', f'file={disk},format=qcow2,if=virtio',
        *(
            word
            for path in more
            for word in ('-drive', f'file={path},format=raw,if=virtio')
        ),
        '-nic', 'user,model=virtio-net-pci,restrict=on',
        *(['-bios', str(OVMF)] if firmware == 'efi' else []),
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as machine:
        try:
            yield Console(console, machine)
        finally:
            machine.kill()
