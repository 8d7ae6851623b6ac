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
"""Who ended an appliance: what runs in it, or somebody on this host.

The console of an appliance belongs to its guest, which can silence it. qemu's
monitor does not: there qemu itself reports why it ends, and nothing when it
is killed.
"""

from __future__ import annotations

import json
import socket
import threading

_NEGOTIATE = b'{"execute": "qmp_capabilities"}\n'
#: Bytes of one message; qemu's own are far shorter.
_LONGEST = 64 * 1024


class QemuEvents:
    """Listens to the monitor of one qemu."""

    def __init__(self) -> None:
        self._by_guest = False
        self._ended = threading.Event()

    def listen(self, connection: socket.socket) -> None:
        """Begin to read, in a thread of its own, until qemu has ended.

        :param connection: of the monitor, in the mode "control".
        """
        threading.Thread(
            target=self._read,
            args=(connection,),
            name='qemu-events',
            daemon=True,
        ).start()

    def _read(self, connection: socket.socket) -> None:
        held = b''
        try:
            connection.sendall(_NEGOTIATE)
            while piece := connection.recv(4096):
                *lines, held = (held + piece).split(b'\n')
                held = held[-_LONGEST:]
                for line in lines:
                    self._take(line)
        except OSError:
            # It is gone, or the channel was closed.
            pass
        finally:
            self._ended.set()

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return
        if message.get('event') == 'SHUTDOWN':
            self._by_guest = bool(message['data'].get('guest'))

    def ended_by_guest(self, timeout: float = 5.0) -> bool:
        """Whether what runs in the appliance ended it.

        :param timeout: seconds to wait for qemu's end.
        """
        self._ended.wait(timeout)
        return self._by_guest
