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
"""A raw disk that becomes larger, by the calls of a libguestfs handle."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.common import disk_layout
from imagebuild.disks import host_command
from imagebuild.disks import partitions

#: Seconds for one change; hundredths of one are usual, and some for an ext4
#: of terabytes.
_TIMEOUT = 600.0
_EXT = ('ext2', 'ext3', 'ext4')
#: Exit code of e2fsck(8).
_CORRECTED = 1
_SECTOR = 512
#: blkid's names of tables -> libguestfs'.
_NAMES = {'dos': 'msdos'}
#: Write to the table and to nothing else, and ask no kernel to read it.
_SFDISK = (
    'sfdisk', '--quiet', '--no-reread', '--no-tell-kernel',
    '--wipe=never', '--wipe-partitions=never',
)  # fmt: skip


class RawDisk:
    """A disk, so far as :mod:`grow` changes it, before anything is mounted.

    Its methods do not look at the disk that libguestfs' have first: there is
    one.

    :param path: the disk's raw file.
    :param directory: for a file of ours.
    :param image: what messages call the disk.
    """

    def __init__(
        self, path: pathlib.Path, directory: pathlib.Path, *, image: str
    ) -> None:
        self._path, self._directory = path, directory
        self._image = image

    def part_get_parttype(self, _device: str) -> str:
        """Its kind: ``gpt``, ``msdos`` or what blkid(8) calls it.

        :raises RuntimeError: there is none.
        """
        table = partitions.read(self._path, image=self._image).table
        if not table:
            raise RuntimeError('the disk has no partition table')
        return _NAMES.get(table, table)

    def part_list(self, _device: str) -> Sequence[dict[str, int]]:
        """Partitions: ``part_num`` and ``part_start`` (byte) of each."""
        return [
            {'part_num': number, 'part_start': start * _SECTOR}
            for number, start in self._starts().items()
        ]

    def blockdev_getsize64(self, _device: str) -> int:
        """Bytes of the disk."""
        return self._path.stat().st_size

    def part_expand_gpt(self, _device: str) -> None:
        """Move a GPT's copy to the end of a disk that has become larger.

        :raises HostCommandFailed: sfdisk failed.
        """
        self._change(['--relocate', 'gpt-bak-std'], '')

    def part_resize(self, _device: str, number: int, end: int) -> None:
        """Have a partition end elsewhere; all else of it stays.

        :param end: its last sector.
        :raises HostCommandFailed: sfdisk failed.
        """
        size = end - self._starts()[number] + 1
        self._change(['-N', str(number)], f', {size}\n')

    def resize2fs(self, device: str) -> bool:
        """Make an ext4 or one of its ancestors as large as its device.

        Not by the kernel, when it is mounted: that wants CAP_SYS_RESOURCE,
        which the root of a container may not have.

        :returns: False when it is another file system.
        :raises NotForSandbox: it cannot be done here.
        """
        layout = partitions.read(self._path, image=self._image)
        for found in layout.filesystems:
            if found.device == device and found.kind in _EXT:
                self._resize2fs(found)
                return True
        return False

    def _resize2fs(self, found: disk_layout.FileSystem) -> None:
        name = f'{self._path}?offset={found.offset}'
        try:
            # Without it resize2fs refuses.
            self._run(['e2fsck', '-f', '-p', name], (0, _CORRECTED))
            self._run(['resize2fs', name, f'{found.size // _SECTOR}s'])
        except (
            exception.HostCommandFailed,
            exception.MissingDependency,
        ) as error:
            raise exception.NotForSandbox(
                path=self._image,
                reason=f'{found.device} cannot be made larger here '
                f'({str(error).rstrip(".")})',
            ) from error

    def _starts(self) -> dict[int, int]:
        """Numbers of partitions, and the sectors at which they begin."""
        table = partitions.entries(self._path, image=self._image)
        return {
            partitions.number(self._path, each['node']): each['start']
            for each in table.get('partitions', [])
        }

    def _change(self, options: Sequence[str], script: str) -> None:
        # What sfdisk reads comes from a file.
        file = self._directory / 'partitions.sfdisk'
        file.write_text(script)
        self._run([*_SFDISK, *options, str(self._path)], input_file=file)

    def _run(
        self,
        argv: Sequence[str],
        good: Sequence[int] = (0,),
        *,
        input_file: pathlib.Path | None = None,
    ) -> None:
        host_command.run(
            argv,
            timeout=_TIMEOUT,
            good_exit_codes=good,
            files=host_command.Files(input_file),
            writes_to=self._directory,
        )
