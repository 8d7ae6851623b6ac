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
"""What a driver is: it gives a disk to a build.

A driver opens a disk of its own for one build and gives a Remote that
reaches inside. It never learns what will be done to the disk: the manifest
engine and the drivers meet in the build job and nowhere else. So the job
does what needs a package manager (caches, identity of the machine) through
the Remote, and the driver does what needs the disk (labels, trimming,
conversion) in :meth:`OpenDisk.finish`.

Who calls what, and where:

===================== ============================== =====================
call                  by                             in
===================== ============================== =====================
``list_opts``         programs, when they start      every program's
``missing``           conductor, when it starts      conductor's process
``combined``          conductor, ``check_request``   conductor's process
``validate``          conductor, ``check_request``   conductor's process
``check_asked``       conductor, ``check_request``   conductor's process
``identity``          conductor, ``check_request``   conductor's process
``wants_base``        conductor, ``check_request``   conductor's process
``prepared``          build job                      child process
``open``, ``finish``  build job                      child process
:func:`sweep`         conductor, after a killed job  conductor's process
===================== ============================== =====================

``tests/contract/driver_contract.py`` is this text as tests; every driver in
the entry points ``imagebuild.drivers`` passes it.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import json
import pathlib
import time
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar
from typing import Literal

from imagebuild import sandbox
from imagebuild.common import config_options
from imagebuild.disks import workspaces
from imagebuild.drivers.option_schema import InvalidDriverOptions
from imagebuild.drivers.option_schema import Options
from imagebuild.drivers.settings import Settings
from imagebuild.remotes.base import Remote

if TYPE_CHECKING:
    # It imports this.
    from imagebuild.drivers import isolations

#: What a driver writes while it works.
DiskFormat = Literal['qcow2', 'raw']
#: What a build can end with, as Glance calls it.
OutputFormat = Literal['qcow2', 'raw', 'vmdk', 'vhd', 'vdi']

#: Where a base image is.
BaseImageKind = Literal['glance', 'url', 'path', 'none']

__all__ = [
    'BaseImage',
    'Disk',
    'DiskFormat',
    'Driver',
    'InvalidDriverOptions',
    'DiskMonitor',
    'OpenDisk',
    'Options',
    'OutputFormat',
    'Settings',
    'sweep',
]


@dataclasses.dataclass(frozen=True)
class BaseImage:
    """What a build starts from, as the conductor resolved it.

    It is stored with the build and given to the job as JSON
    (:meth:`to_dict`), so what is built is what was accepted, also when the
    catalogue or a name in Glance has changed meanwhile.

    :ivar driver: name of the driver that will open it.
    :ivar kind: where it is; ``none`` for drivers that want no base image.
    :ivar id: id in Glance, '' for other kinds.
    :ivar location: URL or path, '' for other kinds.
    :ivar checksum: ``algorithm:hexdigest``; '' only for a path without
        one.
    :ivar size: bytes of the file, 0 when not known.
    :ivar disk_format: what it should be (``qcow2``, ``raw``), '' when that
        is not known.
    :ivar os: name in the catalogue, '' for ``base_image`` of a request.
    :ivar identity: what decides its content; part of the content key.
    """

    driver: str = ''
    kind: BaseImageKind = 'none'
    id: str = ''
    location: str = ''
    checksum: str = ''
    size: int = 0
    disk_format: str = ''
    os: str = ''
    identity: str = ''

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BaseImage:
        """Read one; names that are not known are left out."""
        names = {field.name for field in dataclasses.fields(cls)}
        known = {
            name: value
            for name, value in values.items()
            if name in names and value is not None
        }
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """The form that is stored."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Disk:
    """A disk file that a driver made.

    :ivar path: the file.
    :ivar format: ``qcow2``, ``raw``, ``vmdk``, ``vhd`` or ``vdi``.
    :ivar virtual_size: bytes that the guest sees.
    """

    path: pathlib.Path
    format: OutputFormat
    virtual_size: int


class DiskMonitor:
    """Told about the making of a disk; does nothing.

    Subclasses print, log or send. Drivers never print.
    """

    def step_started(self, name: str) -> None:
        """Called before each step.

        :param name: a few words, such as ``install packages``.
        """

    def phase_started(self, phase: str) -> None:
        """Called when a phase of the build begins.

        What a driver does before its disk is open is the phase
        ``base_image`` until it reports another, and its
        :meth:`OpenDisk.finish` is ``convert``.

        :param phase: of :data:`imagebuild.common.phases.ORDER`.
        """

    def step_finished(self, name: str, seconds: float, error: str) -> None:
        """Called after each step, whether it failed or not.

        :param seconds: wall time.
        :param error: why it failed; '' when it did not.
        """

    def notice(self, message: str) -> None:
        """Called with a message for the user."""

    def output(self, line: str) -> None:
        """Called with each line that a program printed, for the log.

        :param line: without its newline and without control characters.
        """

    def progress(self, done: int, total: int, what: str) -> None:
        """Called now and then, at most a few times a second.

        :param done: bytes done.
        :param total: bytes in all, 0 when that is not known.
        :param what: a few words, such as ``download base image``.
        """

    @contextlib.contextmanager
    def step(self, name: str, *, phase: str = '') -> Iterator[None]:
        """Report the block as one step.

        :param phase: that begins with it, '' to go on with the one before.
        """
        if phase:
            self.phase_started(phase)
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


class OpenDisk(abc.ABC):
    """A disk that one build works on, from :meth:`Driver.open`.

    :ivar remote: reaches inside; it is closed by :meth:`finish` and at the
        end of the ``with`` block.
    :ivar virtual_size: bytes that the guest sees.
    """

    remote: Remote
    virtual_size: int

    @abc.abstractmethod
    def finish(self, output: pathlib.Path, disk_format: OutputFormat) -> Disk:
        """Write what the disk has become into one file; only once.

        Called by the job when the manifest has run and has been tidied up
        after; not called when it failed. Gives the files their SELinux
        labels where the guest uses them, frees what is unused, closes the
        disk in good order and converts it. All or nothing: ``output`` is
        there, whole and on the disk, or is not there.

        :param output: the file to make; one that is there is replaced. Its
            directory must exist.
        :param disk_format: what it is to be.
        :raises EnvironmentFault: the disk could not be closed or written.
        :raises StepError: the guest's file system refused (it is full).
        """


class Driver(abc.ABC):
    """Where a disk comes from. One object serves any number of builds.

    :cvar name: what users and operators call it, as in its entry point in
        the group ``imagebuild.drivers``.
    :cvar wants_base: whether it works on a base image, which the catalogue
        entry or ``base_image`` of the request then must name; a driver that
        wants none is given one of kind ``none``.
    :cvar takes_elements: whether it makes disks out of elements of
        diskimage-builder; it has an option ``elements`` then.
    :cvar options: its options with their JSON schema.
    :cvar by_default: whether a conductor whose ``[conductor] drivers`` is
        empty offers it. Others must be named there.
    """

    name: ClassVar[str]
    wants_base: ClassVar[bool]
    options: ClassVar[type[Options]]
    by_default: ClassVar[bool] = True
    takes_elements: ClassVar[bool] = False

    @classmethod
    def list_opts(cls) -> config_options.Pairs:
        """The driver's own options in the service's configuration file.

        Its sections are given to :meth:`open` in ``settings.sections``.
        """
        return ()

    def possible_isolations(
        self,
        base_image: BaseImage,
        options: Mapping[str, Any],
        settings: Settings,
    ) -> Sequence[str]:
        """Say in what isolations :meth:`open` may open a build's disk.

        What was written in one is not opened in another. A driver that
        answers opens the disk over ``settings.layers``, if there are any,
        and attaches it to them.

        :returns: names, the preferred one first; empty for disks that are
            not opened over layers.
        :raises ImageBuildError: as :meth:`open` would.
        """
        return ()

    @abc.abstractmethod
    def missing(
        self, isolation: isolations.Setting = 'appliance'
    ) -> Sequence[str]:
        """Say what this machine lacks to run the driver.

        Called when a conductor starts, which then leaves builds for this
        driver to others; must be quick and may not use the network.

        :param isolation: in what the operator has disks opened; a driver
            without a guest does not care.
        :returns: names of programs, or plain phrases such as ``root
            rights``; empty when nothing is missing.
        """

    def validate(self, options: Mapping[str, Any]) -> None:
        """Refuse options that this driver cannot serve.

        Called before a build is queued, perhaps on another machine than
        the one that will run it: must be quick, may not use the network
        and may not look at this machine.

        :param options: ``driver_options`` of the request, with what the
            catalogue's entry of the operating system adds.
        :raises InvalidDriverOptions: with every problem.
        """
        self.options.parse(options)

    def combined(
        self, of_entry: Mapping[str, Any], asked: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The options of the catalogue's entry, with those of a request.

        Neither has been validated.

        :param of_entry: of the operating system's entry.
        :param asked: of the request; they go before.
        """
        return {**of_entry, **asked}

    def check_asked(
        self,
        asked: Mapping[str, Any],
        options: Mapping[str, Any],
        sections: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Refuse what users may not ask for, though operators may.

        Called in the conductor's process before a build is queued, when
        :meth:`validate` has passed.

        :param asked: ``driver_options`` of the request alone.
        :param options: with those of the catalogue's entry.
        :param sections: of the configuration, as ``settings.sections``.
        :raises InvalidDriverOptions: with every problem.
        """

    def disk_size(self, options: Mapping[str, Any]) -> int:
        """How large the disk will be at least, as far as the options tell.

        So that a disk larger than the operator allows is refused before a
        build is queued; :meth:`open` refuses it in any case.

        :param options: as for :meth:`validate`, which is called first.
        :returns: bytes; 0 when they do not.
        """
        return 0

    def identity(self, options: Mapping[str, Any]) -> str:
        """What decides the content of a disk that has no base image.

        Becomes ``base.identity`` and so part of the content key of a build
        whose driver does not want a base image: the same text means that
        an image made before is as good. Nothing of time goes into it: how
        old an image may be is the request's ``max_age``.

        :param options: as for :meth:`validate`, which is called first.
        :returns: driver and options, in one canonical form.
        """
        return canonical_identity(self.name, options)

    def prepared(
        self,
        base_image: BaseImage,
        options: Mapping[str, Any],
        workspace: pathlib.Path,
        *,
        settings: Settings,
        monitor: DiskMonitor | None = None,
    ) -> AbstractContextManager[BaseImage]:
        """Have ready what the layers of a build lie over.

        Called by the build job before it looks for layers; :meth:`open`
        follows within the block, once or twice. Parameters and errors are
        those of :meth:`open`.

        :returns: what :meth:`possible_isolations` and :meth:`open` are
            given; images of one ``identity`` are the same to the last byte.
        """
        return contextlib.nullcontext(base_image)

    @abc.abstractmethod
    def open(
        self,
        base_image: BaseImage,
        options: Mapping[str, Any],
        workspace: pathlib.Path,
        *,
        settings: Settings,
        monitor: DiskMonitor | None = None,
    ) -> AbstractContextManager[OpenDisk]:
        """Open a disk for one build.

        Called by the build job, once, in a process of its own that may be
        killed at any time; what it leaves in the workspace is removed by
        :func:`sweep` and the directory's owner, what it leaves in the cache
        is resumed or removed by the next build that uses the cache.

        Leaving the ``with`` block closes the Remote, ends the appliance
        and removes what was made in the workspace, except the ``output``
        of :meth:`OpenDisk.finish`.

        :param base_image: what :meth:`prepared` gave, or what was resolved
            when the build was accepted.
        :param options: as for :meth:`validate`, which the job calls first.
        :param workspace: an existing directory of this build only, on a file
            system with room for what the build adds to the disk.
        :param settings: of this conductor.
        :param monitor: called with the steps and the download's progress.
        :raises InvalidInput: the base image cannot be used: it is not what
            it should be, or there is no operating system in it.
        :raises ChecksumMismatch: the base image that was fetched is not
            the one that was described.
        :raises EnvironmentFault: this machine, its disk, its network or a
            service failed.
        """


def canonical_identity(name: str, options: Mapping[str, Any]) -> str:
    """A driver and its options as one text, whatever their order."""
    text = json.dumps(dict(options), sort_keys=True, separators=(',', ':'))
    return f'{name}:{text}'


def sweep(directory: pathlib.Path) -> None:
    """End and remove what killed builds left in a directory.

    Called by the conductor for the workspace of a job that was killed,
    before it removes the directory: processes that the job had started
    outside its own process group (qemu-img, the appliance) are ended, and
    control groups that no sandbox has any more are removed.
    A build that still runs is not touched.

    :param directory: the ``workspace`` of :meth:`Driver.open`, or the
        directory of ``output``.
    """
    workspaces.sweep_directory(directory)
    # Only root has sandboxes.
    with contextlib.suppress(OSError):
        sandbox.sweep()
