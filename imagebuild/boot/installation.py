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
"""What a machine boots that has nothing on its disk yet: an installer."""

from __future__ import annotations

import dataclasses
import pathlib

from imagebuild.common import os_errors
from imagebuild.disks import create

#: Its disk, as the machine sees it.
DEVICE = '/dev/vda'
#: The name of its file. It is raw: nothing in it says how it is to be read,
#: whoever wrote it.
_DISK = 'disk.raw'
_SECTOR = 512


@dataclasses.dataclass(frozen=True)
class Installation:
    """What is started, and what it has besides its disk.

    :ivar kernel: a file, which becomes the machine's own.
    :ivar initrd: the same.
    :ivar arguments: of the kernel.
    :ivar medium: a CD or DVD, which is only read.
    :ivar network: descriptor of a network namespace that it is in, of
        :mod:`imagebuild.boot.mirror_network`; None for no way out.
    """

    kernel: pathlib.Path
    initrd: pathlib.Path
    arguments: str
    medium: pathlib.Path | None = None
    network: int | None = None


def prepare(
    installed: Installation, directory: pathlib.Path, size: int
) -> tuple[list[str], list[str]]:
    """Make the files of a machine.

    :param directory: its own.
    :param size: bytes of its disk.
    :returns: QEMU's options for what it boots, and for its network.
    """
    path = directory / _DISK
    create.empty_image(path, 'raw', -(-size // _SECTOR) * _SECTOR)
    with os_errors.on_write(directory):
        installed.kernel.rename(directory / 'kernel')
        installed.initrd.rename(directory / 'initrd')
    restricted = ',restrict=on' if installed.network is None else ''
    network = f'user,model=virtio-net-pci,ipv6=off{restricted}'
    return [
        '-kernel', 'kernel', '-initrd', 'initrd',
        '-append', installed.arguments,
        '-blockdev', 'driver=file,node-name=disk-file,discard=unmap,'
        f'cache.no-flush=on,filename={_DISK}',
        '-blockdev', 'driver=raw,node-name=disk,discard=unmap,'
        'cache.no-flush=on,file=disk-file',
        # It goes on without what cannot be written, and says so.
        '-device', 'virtio-blk-pci,drive=disk,werror=report,rerror=report',
    ], ['-nic', network]  # fmt: skip


def drive(opened: int) -> list[str]:
    """QEMU's options for the medium.

    :param opened: its descriptor, which QEMU inherits.
    """
    return [
        '-add-fd', f'fd={opened},set=1',
        '-blockdev', 'driver=file,node-name=medium-file,read-only=on,'
        'filename=/dev/fdset/1',
        '-blockdev', 'driver=raw,node-name=medium,read-only=on,'
        'file=medium-file',
        '-device', 'ide-cd,drive=medium',
    ]  # fmt: skip


def disk_of(directory: pathlib.Path) -> pathlib.Path:
    """The disk of a machine that has ended.

    :param directory: of the machine's workspace.
    """
    return directory / 'machine' / _DISK
