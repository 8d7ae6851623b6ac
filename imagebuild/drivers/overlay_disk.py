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
"""A disk over a base image, written into a file of its own at the end."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import pathlib
import shutil
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import appliance
from imagebuild import exception
from imagebuild import sandbox
from imagebuild.common import phases
from imagebuild.common import space
from imagebuild.disks import convert
from imagebuild.disks import image_file
from imagebuild.disks import overlay
from imagebuild.disks import qemu_img
from imagebuild.disks import storage_daemon
from imagebuild.disks import workspaces
from imagebuild.drivers import base
from imagebuild.drivers import host_programs
from imagebuild.drivers import isolations
from imagebuild.drivers import open_disk
from imagebuild.drivers import openings
from imagebuild.drivers import option_schema

LOG = logging.getLogger(__name__)

#: Our names of formats -> qemu's.
FORMATS: dict[base.OutputFormat, convert.TargetFormat] = {
    'qcow2': 'qcow2',
    'raw': 'raw',
    'vmdk': 'vmdk',
    'vhd': 'vpc',
    'vdi': 'vdi',
}
#: GiB; more than any cloud's root disk, less than ext4's 16 TiB.
_LARGEST_SIZE = 8192
#: Bytes that a build is expected to add to its disk.
_GROWTH = space.GIB
#: The JSON schema of the driver option.
COMPRESSION = option_schema.described(
    'How qcow2 is compressed: zstd, which QEMU reads since 5.1, or zlib, '
    'which every QEMU reads and which takes six times as long to write.',
    {'enum': ['zlib', 'zstd'], 'x-message': 'is neither zlib nor zstd'},
)
#: What it is called in the build's steps.
_START: dict[isolations.Isolation, str] = {
    'appliance': 'start the appliance',
    'sandbox': 'open the disk in the sandbox',
}
#: Program -> what to install.
_PROGRAMS = {'qemu-img': 'qemu-img (qemu-utils)'}
_APPLIANCE_PROGRAMS = {
    'qemu-system-x86_64': 'qemu-system-x86_64 (qemu-system-x86)',
    'slirp4netns': 'slirp4netns',
}


@dataclasses.dataclass(frozen=True)
class Options(base.Options):
    """How the disk is opened and written.

    :ivar size: GiB that it has at least; its last partition and the file
        system in it are made larger. 0: as large as the base image.
    :ivar root_filesystem: which operating system; '' to find the one.
    :ivar isolation: in what it is opened; only stricter than the operator's
        setting.
    :ivar compress: whether qcow2 is compressed: half the size or less, at
        the cost of time.
    :ivar compression_type: how. ``zstd`` takes a sixth of the time of
        ``zlib``, and is read by QEMU 5.1 and later; no Nova of a supported
        release runs an older one.
    """

    size: int = dataclasses.field(
        default=0,
        metadata=option_schema.described(
            'GiB that the disk has at least; without it, it is as large as '
            'the base image.',
            option_schema.integer(1, _LARGEST_SIZE, 'GiB'),
        ),
    )
    root_filesystem: str = dataclasses.field(
        default='',
        metadata=option_schema.described(
            'Which operating system of an image that has several, such as '
            '/dev/sda2.',
            option_schema.TEXT,
        ),
    )
    isolation: isolations.Setting = dataclasses.field(
        default='auto', metadata=isolations.SCHEMA
    )
    compress: bool = dataclasses.field(
        default=True,
        metadata=option_schema.described(
            'Whether qcow2 is compressed: half the size or less, at the cost '
            'of time.',
            option_schema.BOOLEAN,
        ),
    )
    compression_type: convert.Compression = dataclasses.field(
        default='zstd', metadata=COMPRESSION
    )


def missing(isolation: isolations.Setting) -> Sequence[str]:
    """What this machine lacks to open disks.

    :param isolation: in what; ``auto`` wants one of them. A disk that is not
        for the sandbox cannot be opened then on a machine that has no other.
    """
    if isolation == 'appliance':
        return [*host_programs.not_installed(_PROGRAMS), *_without_appliance()]
    lacking = [*host_programs.not_installed(_PROGRAMS), *sandbox.missing()]
    if lacking and isolation == 'auto':
        return missing('appliance')
    return lacking


def _without_appliance() -> list[str]:
    """What the appliance wants besides."""
    lacking = host_programs.not_installed(_APPLIANCE_PROGRAMS)
    try:
        appliance.import_guestfs()
    except exception.MissingDependency:
        lacking.append('the Python binding of libguestfs (python3-guestfs)')
    return lacking


def isolations_here() -> Mapping[str, Sequence[str]]:
    """In what this host can open disks, each with what is missing for it."""
    return {
        'appliance': missing('appliance'),
        'sandbox': missing('sandbox'),
    }


@contextlib.contextmanager
def opened(
    image: image_file.ImageInfo,
    name: str,
    options: Options,
    directory: pathlib.Path,
    *,
    trusted: bool,
    settings: base.Settings,
    monitor: base.DiskMonitor,
) -> Iterator[OverlayDisk]:
    """Put an overlay over an image and open it.

    :param image: the base image; it is not changed.
    :param name: how messages call it.
    :param directory: the build's workspace.
    :param trusted: see :func:`isolations.is_trusted`.
    :raises InvalidInput: there is no operating system to be found in it.
    :raises EnvironmentFault: see :class:`guestfs.GuestfsRemote`.
    """
    choice = isolations.choose(
        settings.isolation, options.isolation, trusted=trusted
    ).for_layers(settings.layers)
    if choice.reason:
        # Of this host, and nothing that who builds could do about.
        LOG.info('This host has no sandbox: %s', choice.reason)
    # An attempt that was killed may have left its appliance running.
    base.sweep(directory)
    with workspaces.Workspace(
        directory / 'disk', directory=directory
    ) as workspace:
        space.check(directory, _GROWTH + settings.space_reserve)
        opening = dataclasses.replace(
            _over(image, name, options, settings, workspace), choice=choice
        )

        def start(
            kind: isolations.Isolation,
        ) -> contextlib.AbstractContextManager[None]:
            return monitor.step(_START[kind], phase=phases.APPLIANCE)

        with (
            open_disk.opened(opening, start=start, notices=monitor) as disk,
            disk.attached_to(settings.layers),
        ):
            yield OverlayDisk(disk, options, settings, monitor)


def _over(
    image: image_file.ImageInfo,
    name: str,
    options: Options,
    settings: base.Settings,
    workspace: workspaces.Workspace,
) -> openings.Opening:
    """Put an overlay over an image, or over the layers of it.

    :raises InvalidInput: the disk would be larger than it may be.
    """
    under = settings.layers.over(image) if settings.layers else image
    size = max(under.virtual_size, options.size * space.GIB)
    settings.check_size(size)
    path = workspace.path / 'overlay.qcow2'
    overlay.create(
        under,
        path,
        size=size,
        unopened=under is not image,
        qemu=qemu_img.QemuImg(workspace.record_process),
    )
    return openings.Opening(
        image_file.ImageInfo(path, 'qcow2', size, 0, backing=under),
        name,
        workspace,
        settings.guest(options.root_filesystem),
        root_option='the driver option root_filesystem',
        grown=size > under.virtual_size,
        served=settings.layers is not None,
    )


def possible_isolations(
    settings: base.Settings, asked: isolations.Setting, *, trusted: bool
) -> Sequence[str]:
    """See :meth:`base.Driver.possible_isolations`."""
    if shutil.which(storage_daemon.PROGRAM) is None:
        # Builds go on without layers.
        return ()
    return isolations.choose(
        settings.isolation, asked, trusted=trusted
    ).possible


class OverlayDisk(base.OpenDisk):
    """A disk over a base image."""

    def __init__(
        self,
        opened_disk: open_disk.OpenedDisk,
        options: Options,
        settings: base.Settings,
        monitor: base.DiskMonitor,
    ) -> None:
        self.remote = opened_disk.remote
        self.virtual_size = opened_disk.top.virtual_size
        self._opened = opened_disk
        self._options = options
        self._settings = settings
        self._monitor = monitor

    def finish(
        self, output: pathlib.Path, disk_format: base.OutputFormat
    ) -> base.FileArtifact:
        """See :meth:`base.OpenDisk.finish`."""
        if disk_format not in FORMATS:
            raise exception.InvalidInput(
                f'Images cannot be written as "{disk_format}".'
            )
        with self._monitor.step('close the disk'):
            self._opened.close(trim=True)
        disk = self._opened.top
        with self._monitor.step(f'write the {disk_format} file'):
            compression = self._compression(disk_format)
            self._check_room(disk, output, is_compressed=bool(compression))
            convert.convert(
                disk, output, FORMATS[disk_format], compression=compression
            )
        return base.FileArtifact(output, disk_format, self.virtual_size)

    def _compression(
        self, disk_format: base.OutputFormat
    ) -> convert.Compression | None:
        wanted = disk_format == 'qcow2' and self._options.compress
        return self._options.compression_type if wanted else None

    def _check_room(
        self,
        disk: image_file.ImageInfo,
        output: pathlib.Path,
        *,
        is_compressed: bool,
    ) -> None:
        if is_compressed:
            needed = sum(
                os.stat(image.path).st_blocks * 512 for image in disk.chain
            )
        else:
            # Base images are compressed, mostly.
            needed = convert.most_bytes(disk)
        space.check(output.parent, needed + self._settings.space_reserve)
