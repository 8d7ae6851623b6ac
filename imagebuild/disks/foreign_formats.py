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
"""Files that are neither qcow2 nor a raw disk, recognised by their content.

A raw disk has no magic number: everything that is nothing else is raw. So
what is refused here decides how often somebody's VMDK or half-unpacked
download is booted as if it were a disk.

oslo.utils has a format_inspector. Of what is refused here it takes a gzip, xz,
zstd, bzip2, zip, 7z, tar or DMG file and a fixed VHD for raw disks (8.2.0 to
10.2.0), since Glance need not tell these apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

#: Bytes that must be given from a file's start.
HEAD = 36 * 1024
#: Bytes that must be given from a file's end.
TAIL = 512

_CONVERT = 'convert it to qcow2 or raw first (qemu-img convert)'
_DECOMPRESS = 'decompress it first'


@dataclasses.dataclass(frozen=True)
class _Magic:
    value: bytes
    kind: str
    remedy: str
    offset: int = 0


_MAGIC = (
    _Magic(b'KDMV', 'a VMDK image', _CONVERT),
    _Magic(b'COWD', 'a VMDK image', _CONVERT),
    _Magic(b'# Disk DescriptorFile', 'a VMDK description', _CONVERT),
    _Magic(b'vhdxfile', 'a VHDX image', _CONVERT),
    _Magic(b'conectix', 'a VHD image', _CONVERT),
    _Magic(b'\x7f\x10\xda\xbe', 'a VDI image', _CONVERT, 0x40),
    _Magic(b'QED\0', 'a QED image', _CONVERT),
    _Magic(b'WithoutFreeSpace', 'a Parallels image', _CONVERT),
    _Magic(b'WithouFreSpacExt', 'a Parallels image', _CONVERT),
    _Magic(b'LUKS\xba\xbe', 'encrypted (LUKS)', 'decrypt it first'),
    _Magic(
        b'CD001',
        'an ISO 9660 image (a CD)',
        'give the image of an installed system',
        32769,
    ),
    _Magic(b'\x1f\x8b', 'compressed with gzip', _DECOMPRESS),
    _Magic(b'\xfd7zXZ\0', 'compressed with xz', _DECOMPRESS),
    _Magic(b'\x28\xb5\x2f\xfd', 'compressed with zstd', _DECOMPRESS),
    _Magic(b'1AY&SY', 'compressed with bzip2', _DECOMPRESS, 4),
    _Magic(b'\x04\x22\x4d\x18', 'compressed with lz4', _DECOMPRESS),
    _Magic(b'PK\x03\x04', 'a zip archive', 'unpack it first'),
    _Magic(b'7z\xbc\xaf\x27\x1c', 'a 7z archive', 'unpack it first'),
    _Magic(b'ustar', 'a tar archive (OVA?)', 'unpack it first', 257),
)

_FOOTERS = (
    _Magic(b'conectix', 'a VHD image', _CONVERT),
    _Magic(b'koly', 'a DMG image', _CONVERT),
)


def refusal(head: bytes, tail: bytes) -> str | None:
    """Why a file is not a raw disk.

    :param head: its first :data:`HEAD` bytes, or all of it.
    :param tail: its last :data:`TAIL` bytes, or all of it.
    :returns: a clause such as 'it is a VMDK image; convert it ...', or None
        when nothing speaks against it.
    """
    found = _first(_MAGIC, head.startswith) or _first(
        _FOOTERS, tail.startswith
    )
    return f'it is {found.kind}; {found.remedy}' if found else None


def _first(
    table: tuple[_Magic, ...], starts: Callable[[bytes, int], bool]
) -> _Magic | None:
    for magic in table:
        if starts(magic.value, magic.offset):
            return magic
    return None
