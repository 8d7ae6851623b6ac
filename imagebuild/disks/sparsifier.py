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
"""Making an image file as small as its content allows."""

from __future__ import annotations

import json
import logging
import os
import pathlib
from typing import Any

from imagebuild import exception
from imagebuild.disks import host_command
from imagebuild.disks import image_file
from imagebuild.disks import qemu_img

LOG = logging.getLogger(__name__)


def sparsify(
    image: image_file.ImageInfo,
    stored_at: pathlib.Path,
    *,
    qemu: qemu_img.QemuImg,
) -> None:
    """Give back the room that an image file does not need.

    Blocks of zeros in a raw image become holes. A qcow2 image is written
    again without its unused clusters, with the same cluster size and
    features, and the result is taken if it is smaller (it is not when the
    image was compressed). One with internal snapshots, bitmaps or a backing
    file is left as it is: they would be lost.

    :param image: what the image is.
    :param stored_at: the file to make smaller.
    :param qemu: how qemu-img is run.
    :raises DiskFull: there is no room for it.
    :raises HostCommandFailed: qemu-img refused.
    """
    if image.format == 'raw':
        _dig_holes(stored_at, qemu)
    else:
        _rewrite(stored_at, qemu)


def _dig_holes(path: pathlib.Path, qemu: qemu_img.QemuImg) -> None:
    try:
        host_command.run(
            ['fallocate', '--dig-holes', str(path)],
            watch=host_command.unless(qemu.cancelled),
            on_start=qemu.on_start,
            writes_to=path,
        )
    except exception.HostCommandFailed as error:
        # Not every file system knows holes; the image is good without.
        LOG.warning('%s stays as large as it is: %s', path, error)


def _rewrite(path: pathlib.Path, qemu: qemu_img.QemuImg) -> None:
    answer = qemu.run(
        ['info', '--output=json', '-f', 'qcow2', str(path)], image=path
    )
    described: dict[str, Any] = json.loads(answer)
    features = described['format-specific']['data']
    if (
        described.get('snapshots')
        or described.get('backing-filename')
        or features.get('bitmaps')
    ):
        LOG.info('%s is not rewritten: it holds more than one disk', path)
        return
    smaller = path.with_name(f'{path.name}.smaller')
    qemu.run(
        ['convert', '-q', '-f', 'qcow2', '-O', 'qcow2', '-t', 'unsafe']
        + ['-o', _options(described, features), str(path), str(smaller)],
        image=path,
        writes_to=smaller,
    )
    if os.stat(smaller).st_blocks < os.stat(path).st_blocks:
        os.replace(smaller, path)
    else:
        os.unlink(smaller)


def _options(described: dict[str, Any], features: dict[str, Any]) -> str:
    """The options of qemu-img create that made an image."""
    options = {
        'compat': features['compat'],
        'cluster_size': described['cluster-size'],
        'refcount_bits': features['refcount-bits'],
    }
    if features['compat'] != '0.10':
        options['compression_type'] = features['compression-type']
        options['lazy_refcounts'] = _switch(features['lazy-refcounts'])
        options['extended_l2'] = _switch(features['extended-l2'])
    return ','.join(f'{name}={value}' for name, value in options.items())


def _switch(value: bool) -> str:
    return 'on' if value else 'off'
