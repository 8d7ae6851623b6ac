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
"""Listens to what :mod:`hooks` tells, and kills in one phase."""

import contextlib
import pathlib
import random
import socket
import threading
import time
from typing import NamedTuple

from tests.integration.kills import traces
from tests.integration.kills import victims


class Aim(NamedTuple):
    """What is killed, and when.

    :ivar delay: seconds within the phase; 0 for its begin, and nothing goes
        on until the victim has been killed.
    """

    phase: str
    victim: str
    delay: float = 0.0


class Listener:
    """Waits for one phase of one build.

    :ivar job: process id of what reached the phase.
    :ivar known: processes that there were, see :func:`victims.kill`; {} as
        long as nothing was killed.
    :ivar networks: network namespaces that they had.
    """

    def __init__(
        self, path: pathlib.Path, aim: Aim, conductor: int = 0
    ) -> None:
        self._aim = aim
        self._conductor = conductor
        self._armed = True
        self.job = 0
        self.known: dict[int, int] = {}
        self.networks: set[str] = set()
        self.hit = threading.Event()
        path.unlink(missing_ok=True)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                there, _ = self._socket.accept()
            except OSError:
                return
            with there, contextlib.suppress(OSError, ValueError):
                text = there.recv(100).decode()
                phase, _, pid = text.strip().rpartition(' ')
                self._reached(phase, int(pid), there)

    def _reached(self, phase: str, pid: int, there: socket.socket) -> None:
        if phase == self._aim.phase and self._armed:
            self._armed = False
            self.job = pid
            if self._aim.delay:
                there.send(b'g')
                time.sleep(random.uniform(0, self._aim.delay))
            self.networks = traces.networks(traces.below(pid))
            self.known = victims.kill(self._aim.victim, pid, self._conductor)
            self.hit.set()
        with contextlib.suppress(OSError):
            there.send(b'g')

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> 'Listener':
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
