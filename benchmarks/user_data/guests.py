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
"""A server's guest, seen from the machine that it runs on.

The small cloud has no networks. A guest gets a network card here that qemu
itself serves: DHCP, a way out, and one of its ports on the loopback address.
"""

from __future__ import annotations

import os
import pathlib
import urllib.error
import urllib.request

from benchmarks import processor
from tools.cloud import cloud_state
from tools.cloud.servers import libvirt

_NETDEV = 'user,id=benchmark,hostfwd=tcp:{host}:{port}-:80'
_DEVICE = 'virtio-net-pci,netdev=benchmark'

#: An answer that does not come is asked for again.
_TIMEOUT = 5


class Guest:
    """The guest of one server.

    :param state: of the cloud.
    :param server_id: the server; libvirt knows the guest by it.
    """

    def __init__(self, state: cloud_state.State, server_id: str) -> None:
        self._state = state
        self._server_id = server_id
        self._port = cloud_state.free_port()

    def is_there(self) -> bool:
        """Whether it has been started."""
        shown = libvirt.virsh(self._state, 'domstate', self._server_id)
        return shown.stdout.strip() in ('running', 'paused')

    def plug_in(self) -> None:
        """Give it a network card.

        :raises SystemExit: qemu refuses.
        """
        netdev = _NETDEV.format(host=cloud_state.LOOPBACK, port=self._port)
        self._monitor(f'netdev_add {netdev}')
        try:
            self._monitor(f'device_add {_DEVICE}')
        except SystemExit:
            # It may be repeated.
            self._monitor('netdev_del benchmark')
            raise

    def page(self) -> str:
        """The first page that it serves; '' while it serves none."""
        url = f'http://{cloud_state.LOOPBACK}:{self._port}/'
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310
                return str(answer.read().decode(errors='replace'))
        except (OSError, urllib.error.HTTPError):
            return ''

    def processor(self) -> float:
        """Seconds of processor time that it took so far."""
        return sum(
            processor.times(int(entry.name))[0]
            for entry in pathlib.Path('/proc').glob('[0-9]*')
            if self._is_ours(entry)
        )

    def _is_ours(self, entry: pathlib.Path) -> bool:
        try:
            words = (entry / 'cmdline').read_bytes().split(b'\0')
        except OSError:
            return False
        return b'-uuid' in words and os.fsencode(self._server_id) in words

    def _monitor(self, command: str) -> None:
        done = libvirt.virsh(
            self._state,
            *('qemu-monitor-command', self._server_id, '--hmp', command),
        )
        # What the monitor prints is an error.
        if done.returncode or done.stdout.strip():
            raise SystemExit(f'{command}: {done.stdout}{done.stderr}')
