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
"""What is on a disk: its partitions and their file systems."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class FileSystem:
    """A partition, or a whole disk without partitions, and what is in it.

    :ivar device: its name as an appliance with this one disk has it, such as
        ``/dev/sda1``; ``/dev/sda`` for a whole disk.
    :ivar offset: byte of the disk at which it begins.
    :ivar size: bytes.
    :ivar kind: as blkid(8) calls it: ``ext4``, ``LVM2_member``, ...; '' when
        nothing is known of it.
    :ivar tags: as blkid(8) calls them: ``UUID``, ``LABEL``,
        ``PART_ENTRY_UUID``, ``PART_ENTRY_NAME``, ``PART_ENTRY_TYPE``; those
        that it has.
    """

    device: str
    offset: int
    size: int
    kind: str
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class DiskLayout:
    """A disk.

    :ivar size: bytes.
    :ivar table: ``gpt``, ``dos``, or '' when there is no partition table.
    :ivar filesystems: in the order of their partitions' numbers.
    """

    size: int
    table: str
    filesystems: tuple[FileSystem, ...]
