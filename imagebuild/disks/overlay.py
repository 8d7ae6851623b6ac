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
"""A copy-on-write layer: what is written goes here, the image stays."""

from __future__ import annotations

import dataclasses
import pathlib

from imagebuild.disks import image_file
from imagebuild.disks import qemu_img


def create(
    base: image_file.ImageInfo,
    path: pathlib.Path,
    *,
    size: int = 0,
    unopened: bool = False,
    qemu: qemu_img.QemuImg | None = None,
) -> None:
    """Make an empty qcow2 overlay over an image.

    The format of the image is written into the overlay, so nobody ever
    guesses it.

    :param base: the image under it; it is not changed.
    :param path: the overlay to be made.
    :param size: bytes of the disk when it is to be larger than the image.
    :param unopened: the image is not opened: its header may name files that
        are somewhere else now.
    :param qemu: how qemu-img is run.
    :raises ImageBusy: another qemu process writes to the image.
    :raises DiskFull: there is no room for it.
    :raises HostCommandFailed: qemu-img refused.
    """
    size = max(size, base.virtual_size)
    (qemu or qemu_img.QemuImg()).run(
        ['create', '-q', '-f', 'qcow2']
        + (['-u'] if unopened else [])
        + ['-F', base.format, '-b', str(base.path), str(path)]
        + ([str(size)] if unopened or size > base.virtual_size else []),
        image=base.path,
        writes_to=path,
    )


def merge(
    top: image_file.ImageInfo,
    base: image_file.ImageInfo,
    stored_at: pathlib.Path,
    *,
    qemu: qemu_img.QemuImg | None = None,
) -> None:
    """Write the changes of overlays into a copy of what is under them.

    The copy keeps its format, its internal snapshots, its compressed
    clusters where nothing was written, and its own backing file; what was
    trimmed in the overlays is freed in the copy. Nothing is flushed to the
    disk: the caller does that. The overlays are only read.

    :param top: the overlay that was written to last, over others or over
        ``base``.
    :param base: the image under all of them.
    :param stored_at: the copy of ``base`` that is written to.
    :param qemu: how qemu-img is run.
    :raises ImageBusy: the overlay is still open in a qemu process.
    :raises DiskFull: there is no room for it.
    :raises HostCommandFailed: qemu-img refused.
    """
    # The headers name the original; --image-opts puts the copy in its place.
    # -d: the overlay is not emptied, it is thrown away.
    options = []
    overlays = [image for image in top.chain if image not in base.chain]
    for number, image in enumerate(overlays):
        alone = dataclasses.replace(image, backing=None)
        prefix = 'backing.' * number
        options += [qemu_img.options_of(alone, prefix=prefix)]
        options += [f'{prefix}discard=unmap']
        if number:
            # qemu wants what lies between for itself alone, and only reads
            # it. Others may be reading it, too: it changes no more.
            options += [f'{prefix}file.locking=off']
    prefix = 'backing.' * len(overlays)
    options += [
        qemu_img.options_of(
            base, stored_at=stored_at, prefix=prefix, discard=True
        )
    ]
    into = ['-b', str(stored_at)] if len(overlays) > 1 else []
    (qemu or qemu_img.QemuImg()).run(
        ['commit', '-q', '-d', '-t', 'unsafe', *into, '--image-opts']
        + [','.join(options)],
        image=top.path,
        writes_to=stored_at,
    )
