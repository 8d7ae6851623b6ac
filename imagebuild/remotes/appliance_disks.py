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
"""Which file systems the disks of an appliance have, soon.

``list_filesystems`` of libguestfs runs the programs of LVM, mdadm and ldmtool
on every disk, 1.3 to 1.8 s where the appliance is emulated. Most images have
nothing for them: partitions with a file system each.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Protocol

#: What holds files, and no part of something larger.
_PLAIN = frozenset({'ext2', 'ext3', 'ext4', 'swap', 'vfat', 'xfs'})
#: Bytes; a partition of a bootloader, in which nothing is found, has no more.
_LOADER = 2 * 1024 * 1024


class DisksHandle(Protocol):
    """What of libguestfs' handle is used here."""

    def list_devices(self) -> list[str]: ...

    def list_partitions(self) -> list[str]: ...

    def blockdev_getsize64(self, device: str, /) -> int: ...

    def vfs_type(self, device: str, /) -> str: ...

    def list_filesystems(self) -> Mapping[str, str]: ...


def filesystems(handle: DisksHandle) -> Mapping[str, str]:
    """Every file system, and its kind.

    :returns: what ``handle.list_filesystems()`` does, whose kind of what is
        not known is ``unknown``.
    :raises RuntimeError: as the handle does.
    """
    found: dict[str, str] = {}
    for device in _holders(handle):
        kind = _kind(handle, device)
        if kind not in _PLAIN and (
            kind or handle.blockdev_getsize64(device) > _LOADER
        ):
            return handle.list_filesystems()
        found[device] = kind or 'unknown'
    return found


def _kind(handle: DisksHandle, device: str) -> str:
    try:
        return handle.vfs_type(device)
    except RuntimeError:
        # Two kinds at once, say: let libguestfs judge.
        return 'unknown'


def _holders(handle: DisksHandle) -> Iterator[str]:
    """Partitions, and the disks that have none."""
    partitions = handle.list_partitions()
    for disk in handle.list_devices():
        if not any(_is_part(each, disk) for each in partitions):
            yield disk
    yield from partitions


def _is_part(partition: str, disk: str) -> bool:
    # sda has sda1, sdaa has sdaa1.
    return partition.removeprefix(disk).isdigit()
