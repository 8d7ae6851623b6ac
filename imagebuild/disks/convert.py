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
"""From one disk format to another."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable
from typing import Literal
from typing import get_args

from imagebuild import exception
from imagebuild.common import os_errors
from imagebuild.common import space
from imagebuild.disks import image_file
from imagebuild.disks import qemu_img
from imagebuild.disks import workspaces

#: How the clusters of a qcow2 image are compressed.
Compression = Literal['zlib', 'zstd']
TargetFormat = Literal['raw', 'qcow2', 'vmdk', 'vpc', 'vdi']

_COMPRESSIBLE = ('qcow2',)
# Without force_size a VHD is rounded up to whole cylinders.
_OPTIONS = {'vpc': 'subformat=dynamic,force_size=on'}


class ConversionStopped(exception.LackOfRoom):
    """It took more than there was when it began, or others took that."""

    msg_fmt = (
        'The conversion to %(format)s was stopped: the disk that it is '
        'written to is nearly full.'
    )


def convert(
    source: image_file.ImageInfo,
    target: pathlib.Path,
    target_format: TargetFormat,
    *,
    compression: Compression | None = None,
    reserve: int = 0,
) -> None:
    """Write an image in another format, as one file without backing.

    The target appears, or is replaced, when it is complete and on the disk.
    Internal snapshots are not taken along.

    :param source: the image, from :func:`image_file.inspect`.
    :param target: the file to be made.
    :param target_format: ``vpc`` is what others call VHD.
    :param compression: for qcow2: smaller, slower to make and to read; None
        for none. ``zstd`` is faster than ``zlib``, and is read by QEMU 5.1
        and later.
    :param reserve: bytes that are left free beside it. Only watched: see
        :func:`most_bytes` for what is asked for before.
    :raises InvalidInput: this cannot be done.
    :raises ImageBusy: a qemu process writes to the source.
    :raises DiskFull: there is no room for it.
    :raises ConversionStopped: no more than the reserve was left.
    :raises UnwritablePath: the target cannot be written.
    :raises HostCommandFailed: qemu-img refused.
    """
    _refuse(source, target, target_format, compress=bool(compression))
    workspaces.sweep(target)
    with workspaces.Workspace(target) as place, os_errors.on_write(target):
        made = place.path / 'image'
        options = _OPTIONS.get(target_format)
        if compression == 'zstd':
            # The other is what every qemu-img does.
            options = 'compression_type=zstd'
        # -t unsafe: qemu never flushes; that is done once, below. -m and -W:
        # eight clusters are compressed at a time, written in any order.
        watch = _leaving(place.path, reserve, target_format)
        watch()
        qemu_img.QemuImg(place.record_process, watch=watch).run(
            ['convert', '-q', '-O', target_format, '-t', 'unsafe']
            + (['-o', options] if options else [])
            + (['-c', '-m', '8', '-W'] if compression else [])
            + ['--image-opts', qemu_img.options_of(source), str(made)],
            image=source.path,
            writes_to=target,
        )
        flush(made)
        os.replace(made, target)


def most_bytes(source: image_file.ImageInfo) -> int:
    """Bytes that an image takes at most in any format, not compressed.

    What is compressed in it, or not there, is no measure of what is written:
    it is counted as what it is when it is read. The tables of other formats
    are as small as those of qcow2, which these are.

    :param source: the image, with all under it.
    :raises ImageBuildError: as :func:`convert`.
    """
    measured = qemu_img.QemuImg().run(
        ['measure', '--output', 'json', '-O', 'qcow2']
        + ['--image-opts', qemu_img.options_of(source)],
        image=source.path,
    )
    return int(json.loads(measured)['required'])


def _leaving(
    place: pathlib.Path, reserve: int, target_format: str
) -> Callable[[], None]:
    """What stops a conversion that takes the room of others."""

    def watch() -> None:
        if space.free(place) < reserve:
            raise ConversionStopped(format=target_format)

    return watch


def flush(path: pathlib.Path) -> None:
    """Bring a file or directory to the disk (fsync).

    :raises OSError: the system refuses.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse(
    source: image_file.ImageInfo,
    target: pathlib.Path,
    target_format: str,
    *,
    compress: bool,
) -> None:
    if target_format not in get_args(TargetFormat):
        raise exception.InvalidInput(
            f'Images cannot be converted to the format "{target_format}".'
        )
    if compress and target_format not in _COMPRESSIBLE:
        raise exception.InvalidInput(
            f'Images in the format "{target_format}" cannot be compressed.'
        )
    if image_file.real_path(target) in {i.path for i in source.chain}:
        raise exception.InvalidInput(
            f'{target} cannot be converted into itself.'
        )
