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
"""The program that holds a build's disk open: qemu-storage-daemon.

It reads and writes the disk's chain of files and shows the disk to the
sandbox as a raw file (FUSE) or to the appliance on a socket (NBD). While it is
in use, a snapshot puts a new layer on top and finishes the one before.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from collections.abc import Sequence
from typing import Literal
from typing import Self

from imagebuild.disks import image_file

#: Starts a program beside the caller's mounts, see ``Supervisor.spawn``.
Spawn = Callable[[Sequence[str]], int]


class DiskServer:
    """One qemu-storage-daemon over one disk.

    It ends when its owner does, however that happens.

    :param chain: the files of the disk, the base first and the overlay that
        is written to last; what their headers say of files is not looked at.
    :param directory: a directory that is ours alone (a workspace), for its
        sockets, its messages and the raw file.
    :param export: ``fuse`` shows the disk at :attr:`path`, in the mount
        namespace in which the daemon runs; ``nbd`` at :attr:`socket`.
    :param spawn: starts it somewhere else (``Supervisor.spawn``), where it
        ends with whatever runs there; by default it is a child that dies
        with this process.
    :param on_start: called with its process id when it is a child, so that
        it can be written down (``Workspace.record_process``).
    :param readonly: nothing is written; the last of the chain is not opened
        for writing.
    :ivar path: the disk as a raw file, for ``fuse``.
    :ivar socket: where NBD is spoken, for ``nbd``.
    :raises MissingDependency: qemu-storage-daemon is not installed.
    :raises ImageBusy: another qemu process writes to one of the files.
    :raises DiskServerFailed: it does not start.
    """

    path: pathlib.Path
    socket: pathlib.Path
    #: The name of the disk, for NBD.
    EXPORT_NAME = 'disk'

    def __init__(
        self,
        chain: Sequence[image_file.ImageInfo],
        directory: pathlib.Path,
        *,
        export: Literal['fuse', 'nbd'],
        spawn: Spawn | None = None,
        on_start: Callable[[int], None] | None = None,
        readonly: bool = False,
    ) -> None:
        raise NotImplementedError

    @property
    def chain(self) -> tuple[image_file.ImageInfo, ...]:
        """The files of the disk now, base first."""
        raise NotImplementedError

    def snapshot(self, path: pathlib.Path) -> image_file.ImageInfo:
        """From now on writes go to a new overlay.

        What was written so far, as far as the guest has flushed it (freeze or
        sync it first), is in the file that was the last of the chain; that
        one is finished and may be read and copied, but neither changed nor
        removed while the disk is open.

        :param path: the overlay to be made; it must not exist.
        :returns: the finished layer.
        :raises DiskFull: there is no room for it.
        :raises DiskServerFailed: it could not be done, or the daemon is gone.
        """
        raise NotImplementedError

    def check(self) -> None:
        """Look whether it can go on; cheap, for every tick.

        :raises DiskFull: the file system of the overlay is full.
        :raises DiskServerFailed: the daemon is gone; with what it said last.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End it in good order: everything is in the files.

        :raises DiskServerFailed: it is not.
        """
        raise NotImplementedError

    def kill(self) -> None:
        """End it at once; never raises."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()
