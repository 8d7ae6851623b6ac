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
``boots``             conductor and build job        both
``boot``              build job                      child process
``makes``             conductor, ``check_request``   conductor's process
``runs_program``      conductor and build job        both
``works_in_cloud``    conductor                      conductor's process
``reap``              reap job                       child process
``left_behind``       reap job                       child process
:func:`sweep`         conductor, after a killed job  conductor's process
===================== ============================== =====================

``tests/contract/driver_contract.py`` is this text as tests; every driver in
the entry points ``imagebuild.drivers`` passes it.
"""

from __future__ import annotations

import abc
import contextlib
import json
import pathlib
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar
from typing import Literal

from imagebuild import exception
from imagebuild import sandbox
from imagebuild.artifacts import Artifact
from imagebuild.artifacts import AttemptStamp
from imagebuild.artifacts import FileArtifact
from imagebuild.artifacts import ImageArtifact
from imagebuild.artifacts import Kind
from imagebuild.artifacts import OutputFormat
from imagebuild.common import config_options
from imagebuild.common import guest_program
from imagebuild.disks import workspaces
from imagebuild.drivers.build_context import BaseImage
from imagebuild.drivers.build_context import BaseImageKind
from imagebuild.drivers.build_context import BuildContext
from imagebuild.drivers.disk_monitor import DiskMonitor
from imagebuild.drivers.option_schema import InvalidDriverOptions
from imagebuild.drivers.option_schema import Options
from imagebuild.drivers.settings import Settings
from imagebuild.remotes.base import Remote

if TYPE_CHECKING:
    from imagebuild.boot import running

    # It imports this.
    from imagebuild.drivers import isolations

#: What a driver writes while it works.
DiskFormat = Literal['qcow2', 'raw']

__all__ = [
    'Artifact',
    'AttemptStamp',
    'BaseImage',
    'BuildContext',
    'DiskFormat',
    'DiskMonitor',
    'Driver',
    'FileArtifact',
    'ImageArtifact',
    'InvalidDriverOptions',
    'OpenDisk',
    'Options',
    'OutputFormat',
    'Settings',
    'sweep',
]


class OpenDisk(abc.ABC):
    """A disk that one build works on, from :meth:`Driver.open`.

    :ivar remote: reaches inside; it is closed by :meth:`finish` and at the
        end of the ``with`` block. Not there where
        :meth:`Driver.runs_program`.
    :ivar virtual_size: bytes that the guest sees.
    """

    remote: Remote
    virtual_size: int

    def run_program(
        self,
        program: guest_program.GuestProgram,
        listener: guest_program.Listener,
    ) -> None:
        """Have the system do by itself what is described; only once.

        Called by the job, before :meth:`finish`, where
        :meth:`Driver.runs_program`; in place of everything that it would do
        over the Remote. Returns when the system is as described and has been
        cleaned up, or when the listener was told which step has failed.

        :param listener: told about steps as they are heard of.
        :raises InvalidInput: it cannot be run, and nothing was begun.
        :raises StepFailed: the system is gone, or says nothing.
        :raises EnvironmentFault: the cloud has failed.
        """
        raise exception.EnvironmentFault(
            'The driver of this build gives its systems no programs.'
        )

    @abc.abstractmethod
    def finish(
        self, output: pathlib.Path, disk_format: OutputFormat
    ) -> Artifact:
        """Make of the disk what the build ends with; only once.

        Called by the job when the manifest has run and has been tidied up
        after; not called when it failed. Gives the files their SELinux
        labels where the guest uses them, frees what is unused and closes the
        disk in good order.

        Most drivers write it into one file. All or nothing: ``output`` is
        there, whole and on the disk, or is not there. Where
        :meth:`Driver.makes` is ``image`` a cloud makes an image of it, which
        is active when this returns and has the properties of
        :meth:`BuildContext.stamp` from its beginning on.

        :param output: the file to make; one that is there is replaced. Its
            directory must exist.
        :param disk_format: what it is to be.
        :returns: the file, which is ``output``; or the image.
        :raises EnvironmentFault: the disk could not be closed or written, or
            the cloud has failed.
        :raises StepError: the guest's file system refused (it is full).
        """


class Driver(abc.ABC):
    """Where a disk comes from. One object serves any number of builds.

    :cvar name: what users and operators call it, as in its entry point in
        the group ``imagebuild.drivers``.
    :cvar wants_base: whether it works on a base image, which the catalogue
        entry or ``base_image`` of the request then must name; a driver that
        wants none is given one of kind ``none``.
    :cvar base_kinds: where a base image may be.
    :cvar takes_elements: whether it makes disks out of elements of
        diskimage-builder; it has an option ``elements`` then.
    :cvar options: its options with their JSON schema.
    :cvar by_default: whether a conductor whose ``[conductor] drivers`` is
        empty offers it. Others must be named there.
    :cvar boots: whether it boots what it makes, by :meth:`boot`. Otherwise a
        boot test is one of a file, in a machine of the conductor's host.
    """

    name: ClassVar[str]
    wants_base: ClassVar[bool]
    base_kinds: ClassVar[Sequence[BaseImageKind]] = ('glance', 'url', 'path')
    options: ClassVar[type[Options]]
    by_default: ClassVar[bool] = True
    takes_elements: ClassVar[bool] = False
    boots: ClassVar[bool] = False

    @classmethod
    def list_opts(cls) -> config_options.Pairs:
        """The driver's own options in the service's configuration file.

        Its sections are given to :meth:`open` in ``settings.sections``.
        """
        return ()

    def possible_isolations(self, context: BuildContext) -> Sequence[str]:
        """Say in what isolations :meth:`open` may open a build's disk.

        What was written in one is not opened in another. A driver that
        answers opens the disk over ``context.settings.layers``, if there are
        any, and attaches it to them.

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

    def makes(self, options: Mapping[str, Any]) -> Kind:
        """What :meth:`OpenDisk.finish` returns.

        :param options: as for :meth:`validate`, which is called first.
        :returns: ``file``, or ``image`` for an image in the Glance of this
            cloud. That cannot be asked for in another format or for another
            destination, and no conductor keeps a file of it.
        """
        return 'file'

    def runs_program(self, options: Mapping[str, Any]) -> bool:
        """Whether nobody reaches into the system while it is configured.

        It then is given a program, :meth:`OpenDisk.run_program`; what is
        described must be such that one can be made of it.

        :param options: as for :meth:`validate`, which is called first.
        """
        return False

    def works_in_cloud(
        self, sections: Mapping[str, Mapping[str, Any]]
    ) -> bool:
        """Whether attempts make things outside of the conductor's host.

        Conductors have what is left of those removed, by :meth:`reap`.

        :param sections: of the configuration, as ``settings.sections``.
        """
        return False

    def reap(self, stamp: AttemptStamp, settings: Settings) -> int:
        """Remove what an attempt has left outside of the conductor's host.

        Called in a process of its own, which is killed when it takes too
        long, after an attempt has ended that did not succeed, on any conductor
        that has this driver, and perhaps on several at a time; whoever made
        the attempt may have been killed at any moment. Also called after an
        image was adopted: that has no stamp any more and stays. Is called
        again when it has raised.

        :param stamp: of the attempt, as :meth:`BuildContext.stamp` gave it.
        :param settings: of this conductor.
        :returns: how many things were removed; of what was not there, or is
            being removed already, there is no error.
        :raises ImageBuildError: something is left, or nobody knows.
        """
        return 0

    def left_behind(
        self, service: str, settings: Settings
    ) -> Iterable[tuple[str, int]]:
        """Find the attempts that have left something.

        Called now and then, as :meth:`reap` is. What an attempt has there
        that is still made is listed, too; who calls knows which those are.

        :param service: id of this service, as in their stamps.
        :param settings: of this conductor.
        :returns: build id and attempt of each, in any order, repeated or not.
        :raises ImageBuildError: it cannot be found out.
        """
        return ()

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
        self, context: BuildContext
    ) -> AbstractContextManager[BaseImage]:
        """Have ready what the layers of a build lie over.

        Called by the build job before it looks for layers; :meth:`open`
        follows within the block, once or twice. Errors are those of
        :meth:`open`.

        :returns: what ``context.base_image`` is for
            :meth:`possible_isolations` and :meth:`open`; images of one
            ``identity`` are the same to the last byte.
        """
        return contextlib.nullcontext(context.base_image)

    @abc.abstractmethod
    def open(self, context: BuildContext) -> AbstractContextManager[OpenDisk]:
        """Open a disk for one build.

        Called by the build job, once, in a process of its own that may be
        killed at any time; what it leaves in the workspace is removed by
        :func:`sweep` and the directory's owner, what it leaves in the cache
        is resumed or removed by the next build that uses the cache.

        Leaving the ``with`` block closes the Remote, ends the appliance
        and removes what was made in the workspace, except the ``output``
        of :meth:`OpenDisk.finish`.

        :raises InvalidInput: the base image cannot be used: it is not what
            it should be, or there is no operating system in it.
        :raises ChecksumMismatch: the base image that was fetched is not
            the one that was described.
        :raises EnvironmentFault: this machine, its disk, its network or a
            service failed.
        """

    def boot(
        self, context: BuildContext, made: Artifact, user_data: str
    ) -> AbstractContextManager[running.Running]:
        """Boot what was made, once, in a machine that is thrown away.

        Called by the build job where :attr:`boots` and the request wants it,
        once, after the block of :meth:`open` has ended. The machine runs when
        the block begins, and is removed at its end, however that comes; what
        is left is found by its stamp. What the machine writes is not in what
        was made.

        :param made: of :meth:`OpenDisk.finish`.
        :param user_data: for the machine's cloud-init; '' for none.
        :raises InvalidInput: what was made cannot be booted like that.
        :raises EnvironmentFault: the cloud has failed; nothing is known of
            the image.
        """
        raise exception.EnvironmentFault(
            'The driver of this build boots nothing.'
        )


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
