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
"""The subvolumes of a mounted btrfs, without btrfs-progs."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

_TREE_SEARCH = 0xD0009411
_INO_LOOKUP = 0xD0009412
_BUFFER = 4096
#: Tree; lowest and highest object, offset and transaction; lowest and highest
#: type; number of items; and four unused.
_KEY = struct.Struct('=QQQQQQQIIII32s')
_HEADER = struct.Struct('=QQQII')
#: Directory, sequence number, length of the name.
_REFERENCE = struct.Struct('<QQH')
_ROOT_TREE = 1
_ROOT_BACKREF = 144
_TOP_LEVEL = 5
_LARGEST = 2**64 - 1
#: More than anybody has; snapshots count.
_MOST = 10000
_DEEPEST = 100


class _Reference(NamedTuple):
    """Where a subvolume is: in a directory of another one."""

    parent: int
    directory: int
    name: str


def paths(root: int) -> dict[str, int]:
    """Find all subvolumes.

    :param root: descriptor of any directory of the file system.
    :returns: paths from the top level, without a slash in front, and ids; in
        the order of their ids.
    :raises OSError: it is no btrfs, or is damaged.
    """
    references = dict(_references(root))
    found = {}
    for number in sorted(references):
        path = _path(root, references, number)
        if path:
            found[path] = number
    return found


def _references(root: int) -> Iterator[tuple[int, _Reference]]:
    # Of user subvolumes; lower numbers are the file system's own trees.
    lowest = 256
    for _ in range(_MOST):
        key = _KEY.pack(
            _ROOT_TREE, lowest, _LARGEST, 0, _LARGEST, 0, _LARGEST,
            _ROOT_BACKREF, _ROOT_BACKREF, 1, 0, b'',
        )  # fmt: skip
        buffer = _search(root, key)
        if not _KEY.unpack_from(buffer)[9]:
            return
        _, number, parent, kind, size = _HEADER.unpack_from(buffer, _KEY.size)
        if kind < _ROOT_BACKREF:
            # The next one's other items come before what is asked for.
            lowest = number
            continue
        if kind == _ROOT_BACKREF:
            start = _KEY.size + _HEADER.size
            item = buffer[start : start + size]
            directory, _, length = _REFERENCE.unpack_from(item)
            name = item[_REFERENCE.size : _REFERENCE.size + length]
            yield number, _Reference(parent, directory, os.fsdecode(name))
        # A subvolume has one place.
        lowest = number + 1


def _search(root: int, key: bytes) -> bytes:
    buffer = bytearray(key.ljust(_BUFFER, b'\0'))
    fcntl.ioctl(root, _TREE_SEARCH, buffer, True)
    return bytes(buffer)


def _path(root: int, references: dict[int, _Reference], number: int) -> str:
    """The path of a subvolume; '' when it is being deleted."""
    parts: list[str] = []
    for _ in range(_DEEPEST):
        if number == _TOP_LEVEL:
            return ''.join(reversed(parts)).rstrip('/')
        reference = references.get(number)
        if reference is None:
            return ''
        inside = _directory(root, reference.parent, reference.directory)
        parts.append(f'{inside}{reference.name}/')
        number = reference.parent
    return ''


def _directory(root: int, tree: int, number: int) -> str:
    """The path of a directory in its subvolume, '' or with a slash behind."""
    buffer = bytearray(struct.pack('=QQ', tree, number).ljust(_BUFFER, b'\0'))
    fcntl.ioctl(root, _INO_LOOKUP, buffer, True)
    return os.fsdecode(bytes(buffer[16:]).split(b'\0', 1)[0])
