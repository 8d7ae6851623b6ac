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
appliance on a socket (NBD) and, with the help of nbdfuse, to the sandbox as a
raw file (FUSE). While it is
in use, a snapshot puts a new layer on top and finishes the one before.

A write for which this host has no room fails in the guest at once: nothing
waits for room that may never come. Whoever uses the disk looks at
:meth:`DiskServer.check` now and then, and unmounts or syncs with errors
counted.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
import threading
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Literal
from typing import Self

from imagebuild import exception
from imagebuild.common import os_errors
from imagebuild.common import space
from imagebuild.disks import image_file
from imagebuild.disks import kept_process
from imagebuild.disks import overlay
from imagebuild.disks import qemu_img
from imagebuild.disks import qemu_locks
from imagebuild.disks import qmp
from imagebuild.disks import raw_file
from imagebuild.disks import storage_daemon

Export = Literal['fuse', 'nbd']

#: Bytes of a socket's path that the kernel takes.
_LONGEST_SOCKET = 107


class DiskServer:
    """One qemu-storage-daemon over one disk.

    It ends when its owner does, however that happens.

    :param chain: the files of the disk, the base first and the overlay that
        is written to last; what their headers say of files is not looked at.
    :param directory: a directory that is ours alone (a workspace), for its
        sockets, its messages and the raw file.
    :param export: ``nbd`` shows the disk at :attr:`socket`; ``fuse`` at
        :attr:`path`, too.
    :param spawn: starts the program that makes the raw file in the mount
        namespace in which it is to be seen (``Supervisor.spawn``); by default
        it is this process's.
    :param on_start: called with its process id, so that it can be written
        down (``Workspace.record_process``).
    :param on_path: called with a directory elsewhere, if one has to be made
        because a socket's path would be too long
        (``Workspace.record_path``).
    :param readonly: nothing is written; the last of the chain is not opened
        for writing.
    :ivar path: the disk as a raw file, for ``fuse``.
    :ivar socket: where NBD is spoken.
    :raises MissingDependency: qemu-storage-daemon or nbdfuse is not
        installed.
    :raises ImageBusy: another qemu process writes to one of the files.
    :raises DiskFull: there is no room in ``directory``.
    :raises DiskServerFailed: it does not start.
    """

    #: The name of the disk, for NBD.
    EXPORT_NAME = 'disk'

    def __init__(
        self,
        chain: Sequence[image_file.ImageInfo],
        directory: pathlib.Path,
        *,
        export: Export,
        spawn: kept_process.Spawn | None = None,
        on_start: Callable[[int], None] | None = None,
        on_path: Callable[[pathlib.Path], None] | None = None,
        readonly: bool = False,
    ) -> None:
        self._chain = list(chain)
        self._lock = threading.Lock()
        self._closed = False
        self._cleanup = contextlib.ExitStack()
        self._raw: raw_file.RawFile | None = None
        try:
            with os_errors.on_write(directory):
                self._prepare(directory, export, on_path)
            for image in self._chain[:-1]:
                self._claim(image.path)
            self._daemon = storage_daemon.StorageDaemon(
                self._options(readonly),
                self._directory,
                image=self._chain[-1].path,
                on_start=on_start,
            )
            self._cleanup.callback(self._daemon.kill)
            if export == 'fuse':
                self._show_raw(spawn, readonly)
        except BaseException:
            self.kill()
            raise

    def _prepare(
        self,
        directory: pathlib.Path,
        export: Export,
        on_path: Callable[[pathlib.Path], None] | None,
    ) -> None:
        self._directory = self._make_directory(directory)
        self.socket = self._directory / 'nbd'
        too_long = len(os.fsencode(self.socket)) > _LONGEST_SOCKET
        # nbdfuse runs in the directory and needs no path.
        if export == 'nbd' and too_long:
            short = self._make_directory(None)
            if on_path:
                on_path(short)
            self.socket = short / 'nbd'

    def _show_raw(
        self, spawn: kept_process.Spawn | None, readonly: bool
    ) -> None:
        self._raw = raw_file.RawFile(
            self.socket,
            self.EXPORT_NAME,
            self._directory,
            spawn=spawn,
            readonly=readonly,
        )
        self._cleanup.callback(self._raw.kill)
        self.path = self._raw.path

    def _claim(self, path: pathlib.Path) -> None:
        """Let no qemu process write to a file.

        The daemon alone would not see to it where the file is raw.
        """
        opened = self._cleanup.enter_context(image_file.open_regular(path))
        # qemu, too, goes without locks where there are none.
        with contextlib.suppress(exception.UnwritablePath):
            qemu_locks.claim(opened, path, shared=True)

    def _make_directory(self, parent: pathlib.Path | None) -> pathlib.Path:
        made = tempfile.mkdtemp(prefix='disk-', dir=parent)
        self._cleanup.callback(shutil.rmtree, made, ignore_errors=True)
        return pathlib.Path(made)

    def _options(self, readonly: bool) -> list[str]:
        options = []
        last = len(self._chain) - 1
        for number, image in enumerate(self._chain):
            writable = number == last and not readonly
            under = _layer(number - 1) if number else None
            for node in _nodes(image, number, under, writable=writable):
                options += ['--blockdev', json.dumps(node)]
        export = {
            'type': 'nbd',
            'id': 'export',
            'node-name': _layer(last),
            'name': self.EXPORT_NAME,
            'writable': not readonly,
        }
        # Its current directory is ours.
        here = self.socket.parent == self._directory
        name = self.socket.name if here else str(self.socket)
        address = {'type': 'unix', 'path': name}
        server = {'addr': address, 'max-connections': 0}
        options += ['--nbd-server', json.dumps(server)]
        return [*options, '--export', json.dumps(export)]

    @property
    def chain(self) -> tuple[image_file.ImageInfo, ...]:
        """The files of the disk now, base first."""
        return tuple(self._chain)

    @property
    def uri(self) -> str:
        """The disk as an NBD client names it."""
        return f'nbd+unix:///{self.EXPORT_NAME}?socket={self.socket}'

    def snapshot(
        self, path: pathlib.Path, *, qemu: qemu_img.QemuImg | None = None
    ) -> image_file.ImageInfo:
        """From now on writes go to a new overlay.

        What was written so far, as far as the guest has flushed it (freeze or
        sync it first), is in the file that was the last of the chain; that
        one is finished and may be read and copied, but neither changed nor
        removed while the disk is open.

        :param path: the overlay to be made; it must not exist.
        :param qemu: how qemu-img is run.
        :returns: the finished layer.
        :raises DiskFull: there is no room for it.
        :raises DiskServerFailed: it could not be done, or the daemon is gone.
        :raises HostCommandFailed: the overlay could not be made.
        """
        with self._lock:
            self.check()
            under = self._chain[-1]
            number = len(self._chain)
            size = under.virtual_size
            made = image_file.ImageInfo(path, 'qcow2', size, 0, backing=under)
            # Not opened: it is being written to.
            overlay.create(under, path, unopened=True, qemu=qemu)
            try:
                self._put_on_top(made, number)
                self._daemon.check_writes()
            except qmp.QmpError as error:
                path.unlink(missing_ok=True)
                raise self._daemon.fault(
                    f'it cannot take a snapshot: {error}'
                ) from error
            self._chain.append(made)
        return under

    def _put_on_top(self, made: image_file.ImageInfo, number: int) -> None:
        """Let writes go to an overlay.

        :raises QmpError: they do not, and nothing has changed.
        """
        added: list[str] = []
        try:
            for node in _nodes(made, number, None, writable=True):
                self._daemon.execute('blockdev-add', **node)
                added.append(node['node-name'])
            self._daemon.execute(
                'blockdev-snapshot',
                node=_layer(number - 1),
                overlay=_layer(number),
            )
        except qmp.QmpError:
            for name in reversed(added):
                with contextlib.suppress(qmp.QmpError):
                    self._daemon.execute('blockdev-del', node_name=name)
            raise

    def check(self, seconds: float = 0) -> None:
        """Look whether it can go on; cheap, for every tick.

        Also for whoever wonders whether it is why something else failed.
        Nothing is wrong with one that was closed in good order.

        :param seconds: to wait for the end of a daemon that may have
            just come: a disk that it served fails before its end is noticed.
        :raises DiskFull: the file system of the overlay is full.
        :raises DiskServerFailed: the daemon is gone; with what it said last.
        """
        if self._closed:
            return
        self._daemon.check()
        if self._raw:
            self._raw.check(seconds)
            self._daemon.check()
        top = self._chain[-1].path
        with contextlib.suppress(OSError):
            if space.free(top) < space.FULL:
                raise exception.DiskFull(path=top.parent)

    def close(self) -> None:
        """End it in good order: everything is in the files.

        Nothing may use the disk any more.

        :raises DiskFull: there was no room for it.
        :raises DiskServerFailed: it is not.
        """
        try:
            self._daemon.check()
            if self._raw:
                self._raw.close()
            self._daemon.quit()
            self._closed = True
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once; never raises."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()


def _layer(number: int) -> str:
    return f'layer{number}'


def _nodes(
    image: image_file.ImageInfo,
    number: int,
    under: str | None,
    *,
    writable: bool,
) -> Iterator[Mapping[str, Any]]:
    """The nodes of one file of a chain, as blockdev-add takes them.

    :param number: its place in the chain.
    :param under: the node of its backing file.
    """
    shared = {
        'read-only': not writable,
        'discard': 'unmap' if writable else 'ignore',
        # Of no use after a crash, and brought to the disk at the end.
        'cache': {'no-flush': True},
    }
    node: dict[str, Any] = {
        **shared,
        'node-name': _layer(number),
        'driver': image.format,
        'file': f'file{number}',
        'detect-zeroes': 'unmap' if writable else 'off',
    }
    yield {
        **shared,
        'node-name': f'file{number}',
        'driver': 'file',
        'filename': str(image.path),
    }
    if image.data_file:
        node['data-file'] = f'data{number}'
        yield {
            **shared,
            'node-name': f'data{number}',
            'driver': 'file',
            'filename': str(image.data_file),
        }
    if image.format == 'qcow2':
        # None: whatever its header names is not opened.
        node['backing'] = under
    yield node
