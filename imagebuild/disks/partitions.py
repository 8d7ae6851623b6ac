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
"""What is on a raw disk, found by blkid(8) and sfdisk(8) of this host."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild import exception
from imagebuild.common import disk_layout
from imagebuild.disks import host_command

#: Seconds for one look; a hundredth of one is usual.
_TIMEOUT = 60.0
#: More than anybody has; each is looked at by itself.
_MOST_PARTITIONS = 256
#: The kind of what carries marks of several kinds.
AMBIGUOUS = 'several kinds at once'
_NOTHING_FOUND = 2
_AMBIGUOUS = 8

_TABLES = ('gpt', 'dos')
#: Partitions that hold others.
_EXTENDED = ('5', 'f', '85')
#: What udev calls what blkid's own options call so.
_TAGS = {'ID_FS_UUID_ENC': 'UUID', 'ID_FS_LABEL_ENC': 'LABEL'}


def read(path: pathlib.Path, *, image: str) -> disk_layout.DiskLayout:
    """Look at a disk's partition table and its file systems.

    Nothing is mounted and nothing written.

    :param path: a raw file; of a FUSE export inside a supervisor
        ``/proc/PID/root/...``.
    :param image: what messages call it.
    :raises InvalidImage: the partition table is damaged.
    :raises DiskServerFailed: the file cannot be read.
    :raises MissingDependency: blkid or sfdisk is not installed.
    :raises HostCommandFailed: one of them failed, or took too long.
    """
    with _opened(path) as disk:
        size = os.fstat(disk).st_size
        whole = _Range(path, disk, 0, size)
        found = whole.probe()
        table = found.get('ID_PART_TABLE_TYPE', '')
        if not table:
            tags = _tags(found)
            alone = disk_layout.FileSystem(
                '/dev/sda', 0, size, found.get('ID_FS_TYPE', ''), tags
            )
            return disk_layout.DiskLayout(size, '', (alone,))
        if table not in _TABLES:
            return disk_layout.DiskLayout(size, table, ())
        listed = entries(path, image=image)
        return disk_layout.DiskLayout(
            size, table, tuple(_partitions(whole, listed, image))
        )


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[int]:
    """The disk's file, which is as good as whoever serves it."""
    with contextlib.ExitStack() as stack:
        try:
            disk = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, disk)
            size = os.fstat(disk).st_size
        except OSError as error:
            raise _unreadable(error.strerror or str(error)) from error
        # What is under a raw file that has gone is an empty one.
        if not size:
            raise _unreadable('it is empty')
        yield disk


def _unreadable(reason: str) -> exception.DiskServerFailed:
    return exception.DiskServerFailed(
        reason=f'the disk cannot be read: {reason}'
    )


class _Range:
    """A part of a disk.

    :param path: the disk's file.
    :param disk: its descriptor.
    :param offset: where the part begins, a byte.
    :param size: bytes.
    """

    def __init__(
        self, path: pathlib.Path, disk: int, offset: int, size: int
    ) -> None:
        self.path, self.disk = path, disk
        self.offset, self.size = offset, size

    def probe(self) -> Mapping[str, str]:
        """What blkid finds there, by udev's names."""
        self._refuse_unreadable()
        command = ['blkid', '-p', '-o', 'udev', '-O', str(self.offset)]
        command += ['-S', str(self.size), str(self.path)]
        try:
            output = host_command.run(
                command, timeout=_TIMEOUT, good_exit_codes=(0, _NOTHING_FOUND)
            )
        except exception.HostCommandFailed as error:
            if error.kwargs['exit_code'] == _AMBIGUOUS:
                return {'ID_FS_TYPE': AMBIGUOUS}
            raise
        pairs = (line.partition('=') for line in output.splitlines())
        return {name: value for name, _, value in pairs}

    def _refuse_unreadable(self) -> None:
        # blkid finds nothing in what cannot be read, and says no more.
        try:
            os.pread(self.disk, 4096, self.offset)
        except OSError as error:
            raise _unreadable(error.strerror or str(error)) from error


def _tags(found: Mapping[str, str]) -> dict[str, str]:
    return {
        tag: _decoded(found[name])
        for name, tag in _TAGS.items()
        if name in found
    }


def _decoded(text: str) -> str:
    r"""A value as it was before udev's escapes (``\x20``)."""

    def byte(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 16)])

    raw = re.sub(rb'\\x([0-9a-fA-F]{2})', byte, os.fsencode(text))
    return raw.decode('utf-8', 'replace')


def entries(path: pathlib.Path, *, image: str) -> Mapping[str, Any]:
    """Read a partition table.

    :param path: a raw file with one, see :func:`read`.
    :returns: what sfdisk(8) tells of it.
    :raises InvalidImage: it is damaged.
    """
    try:
        output = host_command.run(
            ['sfdisk', '--json', str(path)], timeout=_TIMEOUT
        )
        table: Mapping[str, Any] = json.loads(output)['partitiontable']
    except exception.HostCommandFailed as error:
        if error.kwargs['exit_code'] == 'none':
            raise
        reason = str(error.kwargs['reason']).replace(str(path), 'the disk')
        raise exception.InvalidImage(
            path=image,
            reason=f'its partition table cannot be read: {reason}',
        ) from error
    except (ValueError, KeyError) as error:
        raise exception.InvalidImage(
            path=image, reason='its partition table cannot be read'
        ) from error
    return table


def _partitions(
    whole: _Range, table: Mapping[str, Any], image: str
) -> Iterator[disk_layout.FileSystem]:
    found = table.get('partitions', [])
    if len(found) > _MOST_PARTITIONS:
        raise exception.InvalidImage(
            path=image, reason=f'it has {len(found)} partitions'
        )
    sector = int(table.get('sectorsize', 512))
    numbered = {number(whole.path, entry['node']): entry for entry in found}
    for each, entry in sorted(numbered.items()):
        offset, size = entry['start'] * sector, entry['size'] * sector
        size = min(size, whole.size - offset)
        if entry['type'].lower() in _EXTENDED or size <= 0:
            continue
        part = _Range(whole.path, whole.disk, offset, size)
        probed = part.probe()
        yield disk_layout.FileSystem(
            device=f'/dev/sda{each}',
            offset=offset,
            size=size,
            kind=probed.get('ID_FS_TYPE', ''),
            tags=_tags(probed) | _entry_tags(table, entry, each),
        )


def number(path: pathlib.Path, node: str) -> int:
    """The number of a partition: sfdisk appends it to the disk's name."""
    return int(node[len(str(path)) :].removeprefix('p'))


def _entry_tags(
    table: Mapping[str, Any], entry: Mapping[str, Any], each: int
) -> dict[str, str]:
    identity = entry.get('uuid', '')
    if table.get('label') == 'dos':
        # As the kernel makes one of the disk's identifier.
        disk = table.get('id', '').removeprefix('0x').rjust(8, '0')
        identity = f'{disk}-{each:02x}'
    tags = {
        'PART_ENTRY_UUID': identity.lower(),
        'PART_ENTRY_NAME': entry.get('name', ''),
        'PART_ENTRY_TYPE': entry['type'].lower(),
    }
    return {tag: value for tag, value in tags.items() if value}
