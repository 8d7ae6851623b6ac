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
"""What is remembered of a cloud, or of one server, between two commands.

``state.json`` in the directory holds the processes (id, start time, log), the
ports, generated passwords and what was done once and for all. Deleting the
directory of a stopped cloud forgets all of it.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import random
import secrets
import socket
import threading
from collections.abc import Iterator
from typing import Any

LOOPBACK = '127.0.0.1'

#: Below the ports that Linux gives to clients (32768 and up by default), so
#: that a port which is free while a server is down stays free.
PORTS = range(20000, 32000)

_ports_given: set[int] = set()
_ports_lock = threading.Lock()


def default_directory() -> pathlib.Path:
    """Where a cloud lives unless told otherwise: the user's own directory."""
    base = os.environ.get('XDG_STATE_HOME') or '~/.local/state'
    return pathlib.Path(base).expanduser() / 'imagebuild-cloud'


class State:
    """The file of one directory; made when first written to.

    Threads and processes may share a directory: each change is read, changed
    and replaced under a lock.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory.absolute()
        self.path = self.directory / 'state.json'
        self.logs = self.directory / 'log'

    def get(self, section: str, key: str, default: Any = None) -> Any:
        """One remembered value."""
        return self._read().get(section, {}).get(key, default)

    def section(self, section: str) -> dict[str, Any]:
        """All remembered values of a section."""
        return dict(self._read().get(section, {}))

    def set(self, section: str, key: str, value: Any) -> None:
        """Remember a value; None forgets it."""
        with self._changing() as data:
            values = data.setdefault(section, {})
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value

    def once(self, section: str, key: str, make: Any) -> Any:
        """A remembered value, made at the first call."""
        with self._changing() as data:
            values = data.setdefault(section, {})
            if key not in values:
                values[key] = make()
            return values[key]

    def port(self, name: str) -> int:
        """The loopback port of a server: free when it was first asked for."""
        return int(self.once('ports', name, free_port))

    def secret(self, name: str) -> str:
        """A password of this cloud, made at the first call."""
        return str(self.once('secrets', name, _password))

    def done(self, what: str) -> bool:
        """Whether something was done once and for all."""
        return bool(self.get('done', what))

    def mark_done(self, what: str) -> None:
        """Remember that it was."""
        self.set('done', what, True)

    def log(self, name: str) -> pathlib.Path:
        """The log of a server or program."""
        return self.logs / f'{name}.log'

    def subdirectory(self, *parts: str) -> pathlib.Path:
        """A directory below this one, made when it is not there."""
        directory = self.directory.joinpath(*parts)
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            return dict(json.loads(self.path.read_text()))
        except FileNotFoundError:
            return {}

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, dict[str, Any]]]:
        # Passwords and other people's images are in there.
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.directory / '.lock').open('a') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            data = self._read()
            yield data
            new = self.path.with_suffix('.new')
            new.touch(mode=0o600)
            new.write_text(json.dumps(data, indent=1, sort_keys=True))
            new.replace(self.path)


def free_port() -> int:
    """A loopback port that nobody listens on, never given twice by us."""
    with _ports_lock:
        for port in random.sample(PORTS, len(PORTS)):  # noqa: S311
            if port not in _ports_given and port_is_free(port):
                _ports_given.add(port)
                return port
    raise OSError('no port is free on the loopback address')


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _password() -> str:
    return secrets.token_hex(12)
