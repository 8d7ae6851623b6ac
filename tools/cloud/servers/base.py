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
"""What every server has: a directory, a program, a life."""

import abc
import contextlib
import pathlib
from collections.abc import Iterator
from typing import Self

from tools.cloud import cloud_state
from tools.cloud.servers import process


class Server(abc.ABC):
    """One server on the loopback address.

    Alone, for a test::

        with mariadb.running(tmp_path) as server:
            engine = create_engine(server.url('imagebuild'))
            server.restart()

    :param directory: holds its data, logs and state; the same directory again
        is the same server, with its data and port.
    :param state: of the cloud that it is a part of; its own by default.
    """

    #: Its name in state.json and of its log.
    name: str

    def __init__(
        self, directory: pathlib.Path, state: cloud_state.State | None = None
    ) -> None:
        self.directory = directory.absolute()
        self.state = state or cloud_state.State(self.directory)
        self.processes = process.Processes(self.state)

    @property
    def host(self) -> str:
        """Where it listens."""
        return cloud_state.LOOPBACK

    @property
    def port(self) -> int:
        """The port that it listens on, the same in every life."""
        return self.state.port(self.name)

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self.processes.alive(self.name)

    @property
    def pid(self) -> int | None:
        """Its process, None when it does not run."""
        return self.processes.pid(self.name)

    @property
    def log(self) -> pathlib.Path:
        """What it prints."""
        return self.state.log(self.name)

    @abc.abstractmethod
    def program(self) -> process.Program:
        """The program to run; its files are written."""

    def prepare(self) -> None:
        """Make what it needs before its first start; quick later."""

    def start(self) -> bool:
        """Start it and wait until it serves; False when it did before.

        :raises errors.CloudError: it could not be started.
        """
        self.prepare()
        return self.processes.start(self.program())

    def stop(self) -> None:
        """End it in good order; nothing when it does not run."""
        self.processes.stop(self.name)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        self.processes.kill(self.name)

    def restart(self) -> None:
        """End it in good order and start it again."""
        self.stop()
        self.start()

    @classmethod
    @contextlib.contextmanager
    def running(cls, directory: pathlib.Path) -> Iterator[Self]:
        """A server that runs as long as the context lasts."""
        server = cls(directory)
        try:
            server.start()
            yield server
        finally:
            server.stop()
