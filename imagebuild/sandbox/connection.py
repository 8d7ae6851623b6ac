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
"""Start a supervisor, make requests, end it."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import imagebuild
from imagebuild import exception
from imagebuild.sandbox import protocol

LOG = logging.getLogger(__name__)

#: The supervisor's program: it needs no site-packages, which take their time.
_PROGRAM = """\
import sys
sys.path.insert(0, sys.argv[1])
from imagebuild.sandbox import supervisor
sys.exit(supervisor.main(sys.argv[2:]))
"""
#: Seconds for one request; reading the largest file takes some.
_REQUEST = 300.0
#: Seconds in which what was killed has to be gone.
_END = 30.0


class Connection:
    """With a supervisor that was started for it.

    :ivar pid: id of the supervisor's process.
    :raises SandboxFailed: it does not start.
    """

    pid: int

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._broken = False
        self._reason = 'it has ended'
        try:
            self._start()
        except OSError as error:
            raise exception.SandboxFailed(
                reason=f'its supervisor does not start ({error})'
            ) from error
        try:
            with self._talking():
                first, _ = protocol.receive(self._socket)
            if 'failed' in first:
                raise exception.SandboxFailed(reason=first['failed'])
        except BaseException:
            self.close()
            raise
        self.pid = first['pid']

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        life, ours = os.pipe()
        self._life: int | None = ours
        root = pathlib.Path(imagebuild.__file__).parents[1]
        numbers = [str(theirs.fileno()), str(life)]
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable, '-I', '-S', '-X', 'utf8', '-c', _PROGRAM,
                    str(root), *numbers,
                ],
                stdin=subprocess.DEVNULL,
                # What it prints is for the log: our output may be a document.
                stdout=subprocess.DEVNULL,
                env={'PATH': os.environ.get('PATH', os.defpath)},
                pass_fds=(theirs.fileno(), life),
            )  # fmt: skip
        except BaseException:
            self._socket.close()
            os.close(ours)
            raise
        finally:
            theirs.close()
            os.close(life)
        self._socket.settimeout(_REQUEST)

    def ask(
        self, what: str, descriptors: Sequence[int] = (), **request: Any
    ) -> tuple[Any, list[int]]:
        """Make a request.

        :param what: the name of an operation of :class:`service.Service`.
        :param descriptors: sent along; they stay open here.
        :param request: what the operation takes.
        :returns: its value, and descriptors that came with it.
        :raises SandboxFailed: the supervisor is gone, or says so.
        :raises NotForSandbox: the operation's.
        :raises RuntimeError: the same.
        :raises UnicodeDecodeError: the same.
        """
        with self._lock, self._talking():
            protocol.send(self._socket, {'do': what, **request}, descriptors)
            answer, came = protocol.receive(self._socket)
        if 'error' in answer:
            raise _error(answer['error'])
        return answer['value'], came

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        if self._broken:
            raise exception.SandboxFailed(reason=self._reason)
        try:
            yield
        except protocol.Closed as error:
            self._broken = True
            late = isinstance(error.__cause__, TimeoutError)
            # Whoever asks first may keep it for itself.
            self._reason = (
                f'its supervisor did not answer within {_REQUEST:g} s'
                if late
                else 'its supervisor was ended from outside'
            )
            raise exception.SandboxFailed(reason=self._reason) from error
        except BaseException:
            # The next answer would be that to this request.
            self._broken = True
            raise

    def close(self) -> None:
        """End the supervisor, and wait for its end; never raises."""
        self._broken = True
        if self._life is None:
            return
        os.close(self._life)
        self._life = None
        self._socket.close()
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            LOG.warning(
                'The supervisor of a sandbox (%d) did not end within %d s',
                self._process.pid,
                _END,
            )


def _error(described: Mapping[str, Any]) -> Exception:
    """The error that the supervisor described."""
    parts = described['parts']
    match described['kind']:
        case 'name':
            return UnicodeDecodeError(*parts)
        case 'disk':
            return exception.NotForSandbox(**parts)
        case 'refused':
            return RuntimeError(parts)
        case _:
            return exception.SandboxFailed(reason=parts)
