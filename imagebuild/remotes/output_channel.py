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
"""Virtio-serial ports: a command's output while it runs, and its stop.

libguestfs returns a command's output when the command has ended, and on
failure only its standard error; and it takes no other call until then. So
each appliance gets ports of its own whose other ends are sockets here: one
for standard output, one for standard error, and one that signals to the
guest-side wrapper that a command's time is up. A random token written by the
wrapper marks the end of a command's output. Beside them is qemu's own
monitor (:mod:`qemu_events`), which no guest reaches. What arrives is put
together by :mod:`output`.

A guest may write faster than anybody reads, and for ever. So little is kept
waiting here: when that is full nothing more is read, the sockets fill, and
the command in the guest waits.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import socket
import struct
import tempfile
import threading
from typing import Any

from imagebuild import exception
from imagebuild.remotes import base
from imagebuild.remotes import output
from imagebuild.remotes import qemu_events

#: Pieces that may wait to be taken.
_WAITING = 64

_LONGEST_DIRECTORY = 80

#: The port that goes the other way, and qemu's own.
_STOP = 'stop'
_EVENTS = 'events'


class _Port:
    """One port: a listening socket until qemu has connected."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection: socket.socket | None = None

    def listen(self, directory: str) -> str:
        """Wait for qemu there.

        :returns: the path of the socket, which is a file: the name of an
            abstract one is not known in qemu's network namespace.
        """
        path = os.path.join(directory, self.name)
        self._listening.bind(path)
        self._listening.listen(1)
        return path

    def accept(self, timeout: float) -> socket.socket:
        """Take qemu's connection, and no other."""
        self._listening.settimeout(timeout)
        while True:
            connection, _ = self._listening.accept()
            peer = connection.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize('3i')
            )
            _pid, uid, _gid = struct.unpack('3i', peer)
            if uid == os.geteuid():
                break
            connection.close()
        self._listening.close()
        self._connection = connection
        return connection

    def send(self, data: bytes) -> None:
        """Write what the guest may read; never wait for it."""
        if self._connection is not None:
            # A guest that reads nothing fills it, one that is gone ends it.
            with contextlib.suppress(OSError):
                self._connection.send(data, socket.MSG_DONTWAIT)

    def close(self) -> None:
        self._listening.close()
        if self._connection is not None:
            self._connection.close()


class OutputChannel:
    """The host's end of the ports."""

    def __init__(self) -> None:
        self._ports = {
            name: _Port(name) for name in (*output.STREAMS, _STOP, _EVENTS)
        }
        self._directory: str | None = None
        self._pieces: queue.Queue[tuple[base.Stream, bytes]] = queue.Queue(
            _WAITING
        )
        self._closed = threading.Event()
        self.events = qemu_events.QemuEvents()

    def configure(self, handle: Any) -> None:
        """Add the ports to an appliance that is about to start.

        The guest finds them by name below /sys/class/virtio-ports.
        """
        directory = self._directory = _directory(handle)
        for port in self._ports.values():
            # A comma ends qemu's value, two are one.
            path = port.listen(directory).replace(',', ',,')
            handle.config('-chardev', f'socket,id=ib{port.name},path={path}')
            if port.name == _EVENTS:
                handle.config('-mon', f'chardev=ib{port.name},mode=control')
                continue
            handle.config(
                '-device',
                f'virtserialport,chardev=ib{port.name},'
                f'name=org.imagebuild.{port.name}',
            )

    def connected(self) -> None:
        """The appliance runs: take its connections and begin to read.

        :raises ApplianceFailed: qemu did not connect within 10 seconds.
        """
        try:
            accepted = {
                name: port.accept(10) for name, port in self._ports.items()
            }
        except OSError as error:
            raise exception.ApplianceFailed(
                reason=f'its output channel did not open ({error})'
            ) from error
        self.events.listen(accepted[_EVENTS])
        for stream in output.STREAMS:
            threading.Thread(
                target=self._read,
                args=(stream, accepted[stream]),
                name=f'guest-{stream}',
                daemon=True,
            ).start()

    def _read(self, stream: base.Stream, connection: socket.socket) -> None:
        while True:
            try:
                piece = connection.recv(output.PIECE)
            except OSError:
                piece = b''
            if not self._put(stream, piece) or not piece:
                return

    def _put(self, stream: base.Stream, piece: bytes) -> bool:
        """Wait until there is room; False when the channel is closed."""
        while not self._closed.is_set():
            try:
                self._pieces.put((stream, piece), timeout=1.0)
            except queue.Full:
                continue
            return True
        return False

    def next_piece(self, timeout: float) -> tuple[base.Stream, bytes] | None:
        """See :meth:`output.Source.next_piece`."""
        try:
            if timeout <= 0:
                return self._pieces.get_nowait()
            return self._pieces.get(timeout=timeout)
        except queue.Empty:
            return None

    def stop(self, token: str) -> None:
        """Tell the guest that a command's time is up.

        :param token: the command's; a later one does not take it for its own.
        """
        self._ports[_STOP].send(f'{token}\n'.encode())

    def close(self) -> None:
        """Close all ports."""
        self._closed.set()
        for port in self._ports.values():
            port.close()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


def _directory(handle: Any) -> str:
    # The appliance's own is removed even when this process is killed, but a
    # socket's path has at most 107 bytes.
    within = handle.get_tmpdir()
    if len(os.fsencode(within)) > _LONGEST_DIRECTORY:
        within = handle.get_sockdir()
    return tempfile.mkdtemp(prefix='out-', dir=within)
