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

import pathlib

from imagebuild.disks import image_file
from imagebuild.disks import qemu_img


def create(
    base: image_file.ImageInfo,
    path: pathlib.Path,
    *,
    size: int = 0,
    qemu: qemu_img.QemuImg | None = None,
) -> None:
    """Make an empty qcow2 overlay over an image.

    The format of the image is written into the overlay, so nobody ever
    guesses it.

    :param base: the image under it; it is not changed.
    :param path: the overlay to be made.
    :param size: bytes of the disk when it is to be larger than the image.
    :param qemu: how qemu-img is run.
    :raises ImageBusy: another qemu process writes to the image.
    :raises DiskFull: there is no room for it.
    :raises HostCommandFailed: qemu-img refused.
    """
    (qemu or qemu_img.QemuImg()).run(
        ['create', '-q', '-f', 'qcow2']
        + ['-F', base.format, '-b', str(base.path), str(path)]
        + ([str(size)] if size > base.virtual_size else []),
        image=base.path,
        writes_to=path,
    )


def merge(
    overlay: pathlib.Path,
    base: image_file.ImageInfo,
    stored_at: pathlib.Path,
    *,
    qemu: qemu_img.QemuImg | None = None,
) -> None:
    """Write an overlay's changes into a copy of its base.

    The copy keeps its format, its internal snapshots, its compressed
    clusters where nothing was written, and its own backing file; what was
    trimmed in the overlay is freed in the copy. Nothing is flushed to the
    disk: the caller does that.

    :param overlay: made by :func:`create`; of no use afterwards.
    :param base: the image that the overlay was made over.
    :param stored_at: the copy of ``base`` that is written to.
    :param qemu: how qemu-img is run.
    :raises ImageBusy: the overlay is still open in a qemu process.
    :raises DiskFull: there is no room for it.
    :raises HostCommandFailed: qemu-img refused.
    """
    # The overlay's own header names the original; --image-opts puts the copy
    # in its place. -d: the overlay is not emptied, it is thrown away.
    top = image_file.ImageInfo(overlay, 'qcow2', base.virtual_size, 0)
    under = qemu_img.options_of(
        base, stored_at=stored_at, prefix='backing.', discard=True
    )
    (qemu or qemu_img.QemuImg()).run(
        ['commit', '-q', '-d', '-t', 'unsafe', '--image-opts']
        + [f'{qemu_img.options_of(top)},discard=unmap,{under}'],
        image=overlay,
        writes_to=stored_at,
    )
