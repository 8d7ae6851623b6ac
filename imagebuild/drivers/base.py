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
"""What a driver is: it says where a disk comes from.

A driver never learns what will be done to its disk: the manifest engine and
the drivers meet in the build job and nowhere else.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Literal

from imagebuild import exception

DiskFormat = Literal['qcow2', 'raw']


class InvalidDriverOptions(exception.InvalidManifest):
    """The options given to a driver are not acceptable.

    Raised with every problem at once.
    """

    subject = 'The driver options are not valid'


@dataclasses.dataclass(frozen=True)
class Disk:
    """A disk file that a driver made.

    :ivar path: the file.
    :ivar format: ``qcow2`` or ``raw``.
    :ivar virtual_size: bytes that the guest sees.
    """

    path: pathlib.Path
    format: DiskFormat
    virtual_size: int


class Monitor:
    """Told about the making of a disk; does nothing.

    Subclasses print, log or send. Drivers never print.
    """

    def step_started(self, name: str) -> None:
        """Called before each step.

        :param name: a few words, such as ``install packages``.
        """

    def step_finished(self, name: str, seconds: float, error: str) -> None:
        """Called after each step, whether it failed or not.

        :param seconds: wall time.
        :param error: why it failed; '' when it did not.
        """

    def notice(self, sentence: str) -> None:
        """Called with a sentence the user should see."""

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Report the block as one step."""
        self.step_started(name)
        start = time.monotonic()
        error = ''
        try:
            yield
        except BaseException as failure:
            error = str(failure) or type(failure).__name__
            raise
        finally:
            self.step_finished(name, time.monotonic() - start, error)


class Driver(abc.ABC):
    """Where a disk comes from. One object serves any number of builds.

    :cvar name: what users and operators call it, as in its entry point in
        the group ``imagebuild.drivers``.
    """

    name: ClassVar[str]

    @abc.abstractmethod
    def missing(self) -> Sequence[str]:
        """Say what this machine lacks to run the driver.

        Called when a conductor starts, which then leaves builds for this
        driver to others; must be quick and may not use the network.

        :returns: names of programs, or plain phrases such as ``root
            rights``; empty when nothing is missing.
        """

    @abc.abstractmethod
    def validate(self, options: Mapping[str, Any]) -> None:
        """Refuse options that this driver cannot serve.

        Called before a build is queued, perhaps on another machine than
        the one that will run it: must be quick, may not use the network
        and may not look at this machine.

        :param options: ``driver_options`` of the request, with what the
            catalogue's entry of the operating system adds.
        :raises InvalidDriverOptions: with every problem.
        """

    @abc.abstractmethod
    def create_disk(
        self,
        options: Mapping[str, Any],
        path: pathlib.Path,
        *,
        disk_format: DiskFormat = 'qcow2',
        monitor: Monitor | None = None,
    ) -> Disk:
        """Make the disk.

        All or nothing: ``path`` is there, whole, when this returns, and is
        as it was before when this raises. What a killed process left beside
        it is removed by the next call for the same path.

        :param options: as for :meth:`validate`, which is called first.
        :param path: the file to make; one that is there is replaced. Its
            folder must exist and have room for the work.
        :param monitor: told about the steps.
        :raises InvalidInput: the options ask for something that cannot be
            had, such as a release that no mirror has.
        :raises EnvironmentFault: this machine, its disk or its network
            failed.
        """
