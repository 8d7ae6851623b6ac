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
"""Speaks QMP, the language of qemu's monitors, over a unix socket."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import socket
import threading
import time
from typing import Any

LOG = logging.getLogger(__name__)

#: Bytes of one message; qemu's own are far shorter.
_LONGEST = 1024 * 1024
_PIECE = 64 * 1024


class QmpError(Exception):
    """The monitor did not do what was asked.

    :ivar gone: whether there is nobody at the other end any more, or nobody
        who answers: then nothing more can be asked.
    """

    def __init__(self, message: str, *, gone: bool = False) -> None:
        super().__init__(message)
        self.gone = gone


class Monitor:
    """A connection to a monitor; threads may share it.

    :param path: its socket.
    :param timeout: seconds until it must have greeted.
    :raises FileNotFoundError: there is no such socket (yet).
    :raises ConnectionRefusedError: nobody listens (yet).
    :raises QmpError: it does not greet.
    """

    def __init__(self, path: pathlib.Path, *, timeout: float) -> None:
        self._lock = threading.Lock()
        self._held = b''
        self._asked = 0
        self._gone = ''
        self._socket = connect(path)
        try:
            self._receive(_Deadline(timeout))
            self.execute('qmp_capabilities', timeout=timeout)
        except BaseException:
            self._socket.close()
            raise

    def execute(
        self, command: str, *, timeout: float = 60.0, **arguments: Any
    ) -> Any:
        """Have a command done and return what it answers.

        :param command: its name.
        :param timeout: seconds; a monitor that does not answer in time is
            not asked again.
        :param arguments: of the command; ``_`` stands for ``-``.
        :raises QmpError: it refuses, does not answer, or is gone.
        """
        named = {name.replace('_', '-'): v for name, v in arguments.items()}
        with self._lock:
            if self._gone:
                raise QmpError(self._gone, gone=True)
            self._asked += 1
            message = {'execute': command, 'arguments': named}
            line = json.dumps({**message, 'id': self._asked}).encode() + b'\n'
            answer = self._ask(line, _Deadline(timeout))
        if 'error' in answer:
            raise QmpError(str(answer['error'].get('desc', answer['error'])))
        return answer['return']

    @property
    def is_alive(self) -> bool:
        """Whether somebody is at the other end; asks nothing."""
        if self._gone:
            return False
        if not self._lock.acquire(blocking=False):
            # Who waits for an answer finds out.
            return True
        try:
            self._drain()
            return not self._gone
        finally:
            self._lock.release()

    def close(self) -> None:
        """Hang up."""
        self._gone = self._gone or 'the connection was closed'
        self._socket.close()

    def _ask(self, line: bytes, deadline: _Deadline) -> dict[str, Any]:
        try:
            self._socket.settimeout(deadline.left())
            self._socket.sendall(line)
        except TimeoutError:
            raise self._lost('it does not answer') from None
        except OSError:
            raise self._lost(_ENDED) from None
        while True:
            message = self._receive(deadline)
            # One whose caller gave up may come late.
            if message.get('id') == self._asked:
                return message

    def _receive(self, deadline: _Deadline) -> dict[str, Any]:
        """The next message that is no event."""
        while True:
            line, newline, rest = self._held.partition(b'\n')
            if not newline:
                self._read_more(deadline)
                continue
            self._held = rest
            message = self._parse(line)
            if 'event' not in message:
                return message
            LOG.debug('qemu-storage-daemon: %s', message)

    def _read_more(self, deadline: _Deadline) -> None:
        if len(self._held) > _LONGEST:
            raise self._lost('it sends no end of a message')
        try:
            self._socket.settimeout(deadline.left())
            piece = self._socket.recv(_PIECE)
        except TimeoutError:
            raise self._lost('it does not answer') from None
        except OSError:
            piece = b''
        if not piece:
            raise self._lost(_ENDED)
        self._held += piece

    def _drain(self) -> None:
        """Take events that have come; never wait."""
        with contextlib.suppress(BlockingIOError, QmpError):
            self._socket.setblocking(False)
            while len(self._held) <= _LONGEST:
                try:
                    piece = self._socket.recv(_PIECE)
                except ConnectionError:
                    piece = b''
                if not piece:
                    raise self._lost(_ENDED)
                self._held += piece

    def _parse(self, line: bytes) -> dict[str, Any]:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise self._lost('what it sends is not QMP')
        return message

    def _lost(self, reason: str) -> QmpError:
        self._gone = reason
        return QmpError(reason, gone=True)


_ENDED = 'it has ended'


class _Deadline:
    """A moment until which something must have happened."""

    def __init__(self, timeout: float) -> None:
        self._end = time.monotonic() + timeout

    def left(self) -> float:
        """Seconds that are left, never so few that nothing is tried."""
        return max(0.001, self._end - time.monotonic())


def connect(path: pathlib.Path) -> socket.socket:
    """Connect to a unix socket, however long its path is.

    :raises OSError: there is none, or nobody listens.
    """
    # The kernel takes 107 bytes of a path, and workspaces have long names.
    directory = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.connect(f'/proc/self/fd/{directory}/{path.name}')
        except BaseException:
            made.close()
            raise
        return made
    finally:
        os.close(directory)
