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
"""The header of a qcow2 file, read without qemu.

qemu-img would open the files an image refers to before anybody could ask
whether that is wanted, so the header is read here first. Nothing but bytes
comes in; no file is opened. The layout is docs/interop/qcow2 of QEMU, and
strings end at a NUL as they do for qemu, so both always see the same name.

The format_inspector of oslo.utils does not do: it calls every image with a
backing file unsafe, whoever named that file, and one with extended_l2; it
reads neither the format of the backing file nor the name of a data file; and
it takes images that are cut off, encrypted, dirty or corrupt.
"""

from __future__ import annotations

import dataclasses
import enum
import os
import struct
from typing import NamedTuple

MAGIC = b'QFI\xfb'

_FIXED = struct.Struct('>4sIQIIQIIQQIIQ')
_VERSION_3 = struct.Struct('>QQQII')
_EXTENSION = struct.Struct('>II')
_BACKING_FORMAT = 0xE2792ACA
_DATA_FILE = 0x44415441
#: Bytes; the limit of the format itself.
_LONGEST_NAME = 1023


class _Fixed(NamedTuple):
    """The fields that every version has, in their order."""

    magic: bytes
    version: int
    backing_offset: int
    backing_size: int
    cluster_bits: int
    virtual_size: int
    crypt_method: int
    l1_size: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    snapshots: int
    snapshots_offset: int


class Feature(enum.IntFlag):
    """Incompatible features: who does not know one must not open it."""

    DIRTY = 1 << 0
    CORRUPT = 1 << 1
    DATA_FILE = 1 << 2
    COMPRESSION_TYPE = 1 << 3
    EXTENDED_L2 = 1 << 4


_KNOWN = sum(Feature)


class BadHeader(ValueError):
    """The header breaks the rules; the text completes 'because ...'."""


@dataclasses.dataclass(frozen=True)
class Qcow2Header:
    """The fields that matter here.

    :ivar version: 2 or 3.
    :ivar virtual_size: bytes that a guest sees.
    :ivar encrypted: the clusters are encrypted.
    :ivar features: the incompatible features.
    :ivar snapshots: number of internal snapshots.
    :ivar backing_file: the name as it is written, '' for none.
    :ivar backing_format: as it is written, '' for none.
    :ivar data_file: name of the external data file, '' for none recorded.
    :ivar end_of_tables: bytes that the file must at least have.
    """

    version: int
    virtual_size: int
    encrypted: bool
    features: Feature
    snapshots: int
    backing_file: str
    backing_format: str
    data_file: str
    end_of_tables: int

    @property
    def has_data_file(self) -> bool:
        """Whether anything hints at an external data file."""
        return bool(self.data_file or self.features & Feature.DATA_FILE)


def parse(head: bytes) -> Qcow2Header:
    """Read a header.

    :param head: the file's first 2 MiB (the largest cluster), or all of it.
    :raises BadHeader: it is cut off, contradicts itself, is of a version
        other than 2 and 3, or uses features unknown here.
    """
    if len(head) < _FIXED.size:
        raise BadHeader('its qcow2 header is cut off')
    fixed = _Fixed._make(_FIXED.unpack_from(head))
    _check_version(fixed.version)
    bits = fixed.cluster_bits
    if not 9 <= bits <= 21:
        raise BadHeader(f'its qcow2 cluster size is 2^{bits}')
    cluster = head[: 1 << bits]
    features, length = _features(cluster, fixed.version)
    extensions = _extensions(cluster, length, fixed.backing_offset)
    return Qcow2Header(
        version=fixed.version,
        virtual_size=fixed.virtual_size,
        encrypted=fixed.crypt_method != 0,
        features=features,
        snapshots=fixed.snapshots,
        backing_file=_backing(
            cluster, fixed.backing_offset, fixed.backing_size
        ),
        backing_format=extensions.get(_BACKING_FORMAT, ''),
        data_file=extensions.get(_DATA_FILE, ''),
        end_of_tables=max(
            fixed.l1_offset + 8 * fixed.l1_size,
            fixed.refcount_offset + (fixed.refcount_clusters << bits),
        ),
    )


def _check_version(version: int) -> None:
    if version == 1:
        raise BadHeader(
            'it is a qcow image of version 1; convert it to qcow2 first'
        )
    if version not in (2, 3):
        raise BadHeader(f'its qcow2 version is {version}, not 2 or 3')


def _features(cluster: bytes, version: int) -> tuple[Feature, int]:
    """The incompatible features and the length of the fixed header."""
    if version == 2:
        return Feature(0), _FIXED.size
    end = _FIXED.size + _VERSION_3.size
    if len(cluster) < end:
        raise BadHeader('its qcow2 header is cut off')
    bits, _, _, _, length = _VERSION_3.unpack_from(cluster, _FIXED.size)
    if bits & ~_KNOWN:
        raise BadHeader(
            'it uses qcow2 features that are not known here '
            f'(bits {bits & ~_KNOWN:#x})'
        )
    if length < end or length % 8 or length > len(cluster):
        raise BadHeader(f'its qcow2 header claims to be {length} bytes long')
    return Feature(bits), length


def _backing(cluster: bytes, offset: int, size: int) -> str:
    if not offset:
        return ''
    if size > _LONGEST_NAME or offset + size > len(cluster):
        raise BadHeader('the name of its backing file is cut off')
    return _text(cluster[offset : offset + size])


def _extensions(
    cluster: bytes, position: int, backing_offset: int
) -> dict[int, str]:
    """The two extensions that name things, by their type."""
    # The name of the backing file follows the extensions.
    end = backing_offset or len(cluster)
    found: dict[int, str] = {}
    while position + _EXTENSION.size <= end:
        kind, size = _EXTENSION.unpack_from(cluster, position)
        position += _EXTENSION.size
        if kind == 0:
            # The mark of the end.
            break
        if position + size > end:
            raise BadHeader('a qcow2 header extension is cut off')
        if kind in (_BACKING_FORMAT, _DATA_FILE):
            # qemu would use the last one, another program the first.
            if kind in found:
                raise BadHeader('a qcow2 header extension occurs twice')
            found[kind] = _text(cluster[position : position + size])
        # Each one is padded to 8 bytes.
        position += (size + 7) & ~7
    return found


def _text(raw: bytes) -> str:
    return os.fsdecode(raw.split(b'\0')[0])
