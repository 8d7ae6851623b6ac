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
"""A machine of QEMU's that is thrown away."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import platform
import re
import select
import socket
import stat
import time
from typing import Protocol

from imagebuild import exception
from imagebuild.appliance import accelerator
from imagebuild.appliance import appliance_settings
from imagebuild.boot import confinement
from imagebuild.boot import firmware
from imagebuild.boot import installation
from imagebuild.common import os_errors
from imagebuild.disks import create
from imagebuild.disks import image_file
from imagebuild.disks import kept_process
from imagebuild.disks import qmp
from imagebuild.disks import workspaces

#: Machine -> program.
PROGRAMS = {'x86_64': 'qemu-system-x86_64'}
#: Seconds until QEMU must have opened its sockets.
_START = 30.0
_PIECE = 64 * 1024
#: What it prints in any case, since it waits for whoever reads its console.
_WAITS = re.compile(
    r'-chardev \S+ info: QEMU waiting for connection on: \S+ ?'
)
_DISK = 'disk.qcow2'
#: A network whose DHCP server answers.
_NOWHERE = ['-nic', 'user,model=virtio-net-pci,restrict=on']
_SECTOR = 512
#: Bytes that a disk may lack to what it may have, and count as full.
_SLACK = 1024 * 1024
#: MiB for code that was translated, where the machine is emulated; QEMU would
#: take 1024.
_TRANSLATED = 256
#: MiB that QEMU takes besides the memory of the machine.
_OVERHEAD = 512
#: Bytes; the screen has less than a million points.
_LARGEST_PICTURE = 16 * 1024 * 1024
# Guests of some kernels do not start on an emulated CPU that has these.
_EMULATED_CPU = 'max,la57=off,-erms'


class BootFailed(exception.EnvironmentFault):
    """The machine could not be run; nothing is known of the image."""

    msg_fmt = 'The machine for the boot test failed: %(reason)s.'


@dataclasses.dataclass(frozen=True)
class MachineSettings:
    """How the machine is.

    :ivar firmware: what starts it.
    :ivar disk_size: bytes of its disk when it is to be larger than the image,
        as it is with a cloud's flavor.
    :ivar memory: MiB.
    :ivar cpus: virtual CPUs.
    :ivar accelerator: see
        :class:`~imagebuild.appliance.appliance_settings.ApplianceSettings`.
    :ivar written: bytes of this host's disk that what it writes may take; 0
        for no limit. More fails in the machine.
    """

    firmware: firmware.Firmware = 'bios'
    memory: int = dataclasses.field(
        default_factory=appliance_settings.default_memory
    )
    cpus: int = dataclasses.field(
        default_factory=appliance_settings.default_cpus
    )
    accelerator: appliance_settings.Accelerator = 'auto'
    disk_size: int = 0
    written: int = 0


class BootImage(Protocol):
    """What is booted, as ``image_file.ImageInfo`` describes it.

    :ivar path: its file, which has no backing file.
    :ivar format: what it is, by QEMU's name.
    :ivar virtual_size: bytes that the machine sees.
    """

    @property
    def path(self) -> pathlib.Path: ...
    @property
    def format(self) -> str: ...
    @property
    def virtual_size(self) -> int: ...


class Machine:
    """Runs while the ``with`` block does; ends with this process.

    What it writes goes to an overlay; the image is only read. It has a
    network whose DHCP server answers, and that leads nowhere, or to the
    mirrors of an :class:`~installation.Installation`. QEMU starts no
    program and changes no user (``-sandbox``), and has next to nothing of
    this host (:mod:`imagebuild.boot.confinement`).

    :param image: what it boots from; or what it installs, on an empty disk.
    :param settings: how it is.
    :param workspace: for the overlay and the sockets.
    :param seed: a directory that it sees as a small disk, which becomes its
        own; None for none.
    :param label: of that disk.
    :raises MissingDependency: QEMU or its firmware is not installed.
    :raises DiskFull: there is no room for the overlay.
    :raises EnvironmentFault: there is no user for it on this host.
    :raises BootFailed: QEMU does not start.
    """

    #: See :class:`running.Running`: it waits for whoever reads its console.
    lag: float = 0.0

    def __init__(
        self,
        image: BootImage | installation.Installation,
        settings: MachineSettings,
        workspace: workspaces.Workspace,
        *,
        seed: pathlib.Path | None = None,
        label: str = '',
    ) -> None:
        # Not the workspace itself: what is noted there is believed by
        # whoever removes it.
        self._settings = settings
        self._directory = workspace.path / 'machine'
        self._screen = self._directory / 'screen.png'
        with contextlib.ExitStack() as stack:
            user = stack.enter_context(
                confinement.own_user(memory=settings.memory + _OVERHEAD)
            )
            argv, opened = self._prepared(image, settings, stack, seed, label)
            network = _network_of(image)
            confinement.give(self._directory, user)
            self._process = kept_process.KeptProcess(
                argv,
                workspace.path,
                'qemu',
                through=confinement.command(
                    self._directory.name,
                    user,
                    written=settings.written,
                    kvm='kvm' in argv,
                    network=network,
                ),
                pass_fds=[
                    each for each in (opened, network) if each is not None
                ],
            )
            stack.callback(self._process.kill)
            workspace.record_process(self._process.pid)
            self._console = stack.enter_context(self._connected())
            self._ends = stack.pop_all()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ends.close()

    def _prepared(
        self,
        image: BootImage | installation.Installation,
        settings: MachineSettings,
        stack: contextlib.ExitStack,
        seed: pathlib.Path | None,
        label: str,
    ) -> tuple[list[str], int | None]:
        """Make its directory, and the command that starts it.

        :param stack: closes what is opened.
        :returns: the command, and the descriptor of the image or the medium.
        """
        with os_errors.on_write(self._directory):
            self._directory.mkdir(mode=0o700)
        opened = None
        if isinstance(image, installation.Installation):
            disk, network = installation.prepare(
                image, self._directory, settings.disk_size
            )
            if image.medium:
                opened = stack.enter_context(
                    image_file.open_regular(image.medium)
                )
                disk += installation.drive(opened)
        else:
            size = max(image.virtual_size, settings.disk_size)
            create.empty_image(
                self._directory / _DISK,
                'qcow2',
                -(-size // _SECTOR) * _SECTOR,
            )
            opened = stack.enter_context(image_file.open_regular(image.path))
            disk, network = _disk(image.format, opened), _NOWHERE
        if seed is not None:
            seed = seed.rename(self._directory / 'seed')
        command = [program(), *self._options(settings), *network, *disk]
        return [*command, *_seed(seed, label)], opened

    def _options(self, settings: MachineSettings) -> list[str]:
        chosen, _ = accelerator.choose(settings.accelerator)
        cpu = 'host' if chosen == 'kvm' else _EMULATED_CPU
        accel = 'kvm' if chosen == 'kvm' else f'tcg,tb-size={_TRANSLATED}'
        return [
            # The firmware writes to the serial console, too.
            '-machine', 'pc,graphics=off', '-accel', accel, '-cpu', cpu,
            '-smp', str(settings.cpus), '-m', f'{settings.memory}M',
            '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
            '-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,'
            'resourcecontrol=deny',
            *firmware.options(settings.firmware, self._directory),
            '-vga', 'std', '-device', 'virtio-rng-pci',
            # It waits for us: nothing of the console is lost.
            '-chardev', 'socket,id=console,path=console,server=on,wait=on',
            '-serial', 'chardev:console',
            '-chardev', 'socket,id=qmp,path=qmp,server=on,wait=off',
            '-mon', 'chardev=qmp,mode=control',
        ]  # fmt: skip

    def _connected(self) -> socket.socket:
        end = time.monotonic() + _START
        while time.monotonic() < end:
            with contextlib.suppress(
                FileNotFoundError, ConnectionRefusedError
            ):
                return qmp.connect(self._directory / 'console')
            if self._process.wait(0.02):
                raise self._failed('QEMU ended')
        raise self._failed(f'QEMU did not start within {_START:.0f} seconds')

    def read(self, timeout: float) -> bytes | None:
        """What it writes to its console.

        :param timeout: seconds to wait for it.
        :returns: b'' when it wrote nothing in that time, None when it is off.
        """
        ready, _, _ = select.select([self._console], [], [], max(timeout, 0))
        if not ready:
            return b''
        try:
            return self._console.recv(_PIECE) or None
        except ConnectionError:
            return None

    def check(self) -> None:
        """Look how QEMU ended, after the console did.

        :raises BootFailed: it failed; that the machine is off is no failure.
        """
        # Without a code it was killed, with the process that keeps it.
        if self._process.wait(5) and self._process.exit_code != 0:
            raise self._failed('QEMU ended')

    @property
    def has_written_all(self) -> bool:
        """Whether it has written as much as it may."""
        if not self._settings.written:
            return False
        size = (self._directory / _DISK).stat().st_size
        return size > self._settings.written - _SLACK

    def screenshot(self) -> bytes:
        """What its screen shows, as PNG.

        :raises BootFailed: QEMU cannot.
        """
        try:
            monitor = qmp.Monitor(self._directory / 'qmp', timeout=10)
        except (OSError, qmp.QmpError) as error:
            raise BootFailed(reason=f'no screenshot: {error}') from error
        with contextlib.closing(monitor):
            try:
                monitor.execute(
                    'screendump', filename=self._screen.name, format='png'
                )
                return _own_file(self._screen)
            except (OSError, qmp.QmpError) as error:
                raise BootFailed(
                    reason=f'QEMU makes no screenshot ({error})'
                ) from error

    def _failed(self, reason: str) -> BootFailed:
        described = self._process.describe(reason)
        return BootFailed(reason=_WAITS.sub('', described))


def program() -> str:
    """What runs machines here.

    :raises MissingDependency: there are none for hosts of this kind.
    """
    machine = platform.machine()
    if machine not in PROGRAMS:
        raise exception.MissingDependency(
            what=f'A machine to boot images of {machine} in',
            remedy='images are booted on x86_64 only',
        )
    return PROGRAMS[machine]


def _network_of(image: BootImage | installation.Installation) -> int | None:
    if isinstance(image, installation.Installation):
        return image.network
    return None


def _own_file(path: pathlib.Path) -> bytes:
    """What QEMU has written, and nothing that it has a link to."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BootFailed(reason='QEMU has made no file of its screenshot')
        return os.pread(descriptor, _LARGEST_PICTURE, 0)
    finally:
        os.close(descriptor)


def _disk(image_format: str, opened: int) -> list[str]:
    """The disk: what it writes goes into a file over the image.

    Each format is stated, so nothing is ever guessed from what is in a file.
    """
    return [
        '-add-fd', f'fd={opened},set=1',
        '-blockdev', 'driver=file,node-name=image-file,read-only=on,'
        'filename=/dev/fdset/1',
        '-blockdev', f'driver={image_format},node-name=image,read-only=on,'
        'file=image-file',
        '-blockdev', 'driver=file,node-name=disk-file,discard=unmap,'
        f'cache.no-flush=on,filename={_DISK}',
        '-blockdev', 'driver=qcow2,node-name=disk,discard=unmap,'
        'cache.no-flush=on,file=disk-file,backing=image',
        # It goes on without what cannot be written.
        '-device', 'virtio-blk-pci,drive=disk,bootindex=1,werror=report,'
        'rerror=report',
    ]  # fmt: skip


def _seed(directory: pathlib.Path | None, label: str) -> list[str]:
    if directory is None:
        return []
    # A directory as a disk with a FAT file system: no program needs to make
    # one, and nothing can be written to it.
    return [
        '-blockdev',
        f'driver=vvfat,node-name=seed,read-only=on,label={label},'
        f'dir={directory.name}',
        '-device', 'virtio-blk-pci,drive=seed',
    ]  # fmt: skip
