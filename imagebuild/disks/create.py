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
"""Disk images with nothing on them."""

from __future__ import annotations

import pathlib
import struct
from typing import Literal

from imagebuild import exception
from imagebuild.common import os_errors
from imagebuild.disks import convert
from imagebuild.disks import image_file
from imagebuild.disks import workspaces

Format = Literal['qcow2', 'raw', 'vmdk', 'vhd', 'vdi']

_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_TABLE = '>4sIQIIQIIQQIIQQQQII'
#: Bytes of a disk that one entry of the first level table stands for.
_L1_ENTRY = _CLUSTER * (_CLUSTER // 8)


def empty_image(path: pathlib.Path, disk_format: Format, size: int) -> None:
    """Make an image of an empty disk.

    A qcow2 or raw one without any program; it takes nearly no room.

    :param path: the file to make; one that is there is replaced.
    :param disk_format: what it is to be.
    :param size: bytes of the disk, a multiple of 512.
    :raises InvalidInput: there is no such format.
    :raises EnvironmentFault: it could not be written.
    """
    if disk_format in ('raw', 'qcow2'):
        content = _qcow2(size) if disk_format == 'qcow2' else b''
        # A raw disk is all hole; a qcow2 file is as long as its tables.
        with os_errors.on_write(path), path.open('wb') as file:
            file.write(content)
            file.truncate(max(size, 0) if not content else len(content))
        return
    if disk_format not in ('vmdk', 'vhd', 'vdi'):
        raise exception.InvalidInput(
            f'Images cannot be written as "{disk_format}".'
        )
    with workspaces.Workspace(path) as workspace:
        raw = workspace.path / 'blank'
        empty_image(raw, 'raw', size)
        convert.convert(
            image_file.inspect(raw),
            path,
            'vpc' if disk_format == 'vhd' else disk_format,
        )


def _qcow2(size: int) -> bytes:
    """A version 3 header and tables without any data."""
    # Four clusters or more: the header, the table of reference counts, the
    # counts themselves, and the first level table.
    entries = -(-size // _L1_ENTRY)
    l1_clusters = -(-entries * 8 // _CLUSTER)
    used = 3 + l1_clusters
    header = struct.pack(
        _TABLE,
        b'QFI\xfb', 3, 0, 0, _CLUSTER_BITS, size, 0, entries,
        3 * _CLUSTER,  # the first level table
        _CLUSTER,  # the table of reference counts
        1, 0, 0, 0, 0, 0,
        4,  # reference counts have 2^4 bits
        104,
    )  # fmt: skip
    refcount_table = struct.pack('>Q', 2 * _CLUSTER)
    refcounts = struct.pack('>H', 1) * used
    parts = (header, refcount_table, refcounts, b'\0' * 8 * entries)
    return b''.join(
        part.ljust(-(-len(part) // _CLUSTER) * _CLUSTER, b'\0')
        for part in parts
    )
