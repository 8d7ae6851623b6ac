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
"""What a disk image file is, found out without trusting it.

An image may come from anywhere, and a qcow2 header can name any file of
this host as its backing or data file; qemu would then hand that file's
content to the guest. So an image is looked at here before any program
opens it, formats are recognised by content and never by a file's name, and
from then on every program is given the format: nothing is ever probed again
(a guest can write a qcow2 header into its raw disk).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import stat
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Literal

from imagebuild import exception
from imagebuild.common import os_errors
from imagebuild.disks import foreign_formats
from imagebuild.disks import qcow2_header

Format = Literal['qcow2', 'raw']

_LARGEST_CLUSTER = 2 * 1024 * 1024
_SECTOR = 512
_REPAIR = 'repair it first (qemu-img check -r all)'


@dataclasses.dataclass(frozen=True)
class ImageInfo:
    """A disk image.

    :ivar path: its real path, no symbolic link in it.
    :ivar format: ``qcow2`` or ``raw``.
    :ivar virtual_size: bytes that a guest sees.
    :ivar allocated: bytes that it takes on this host's disk, without what
        it refers to.
    :ivar snapshots: number of internal snapshots.
    :ivar backing: the image under it.
    :ivar data_file: real path of its external data file.
    """

    path: pathlib.Path
    format: Format
    virtual_size: int
    allocated: int
    snapshots: int = 0
    backing: ImageInfo | None = None
    data_file: pathlib.Path | None = None

    @property
    def chain(self) -> tuple[ImageInfo, ...]:
        """This image and all that are under it, this one first."""
        return (self, *(self.backing.chain if self.backing else ()))


def inspect(
    path: pathlib.Path, *, allowed_backing: Sequence[pathlib.Path] = ()
) -> ImageInfo:
    """Find out what an image is and whether it is safe to open.

    :param path: the image; symbolic links are followed.
    :param allowed_backing: the backing and data files that the user named;
        compared by real path.
    :raises InvalidImage: it is not a qcow2 or raw image, or is damaged or
        encrypted, or something under it is.
    :raises UnsafeImage: it refers to a file that the user did not name, or
        to something that is not a plain file name.
    """
    allowed = frozenset(real_path(name) for name in allowed_backing)
    return _Inspection(allowed).look_at(path)


def real_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """The path with every symbolic link followed."""
    return pathlib.Path(os.path.realpath(path))


@contextlib.contextmanager
def open_regular(path: pathlib.Path) -> Iterator[int]:
    """Open a regular file for reading, and nothing else.

    Devices and FIFOs are not opened at all: that alone can block or do
    things.

    :returns: a file descriptor, closed at the end.
    :raises InvalidImage: there is no such file, it is of another kind, or
        it may not be read.
    """
    # Should a device or FIFO come between the two: opening it neither waits
    # for a writer nor makes it our terminal.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        _refuse_kind(path, os.stat(path).st_mode)
        descriptor = os.open(path, flags)
    except OSError as error:
        raise exception.InvalidImage(
            path=path, reason=os_errors.reason_of(error)
        ) from error
    try:
        # Again: it may be another file than the one looked at.
        _refuse_kind(path, os.fstat(descriptor).st_mode)
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_kind(path: pathlib.Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {
        stat.S_IFDIR: 'a directory',
        stat.S_IFBLK: 'a block device',
        stat.S_IFCHR: 'a character device',
        stat.S_IFIFO: 'a pipe (FIFO)',
        stat.S_IFSOCK: 'a socket',
    }
    kind = kinds.get(stat.S_IFMT(mode), 'something else')
    raise exception.InvalidImage(
        path=path, reason=f'it is {kind}, not an image file'
    )


class _Inspection:
    """One walk down a backing chain."""

    def __init__(self, allowed: frozenset[pathlib.Path]) -> None:
        self._allowed = allowed
        self._seen: set[pathlib.Path] = set()

    def look_at(
        self, path: pathlib.Path, recorded: str | None = None
    ) -> ImageInfo:
        """Inspect one image and what is under it.

        :param recorded: the format that the image above recorded for this
            one; qemu will believe it, so it holds whatever is in the file.
        """
        real = real_path(path)
        if real in self._seen:
            raise _invalid(path, 'it is its own backing file')
        self._seen.add(real)
        # The header and its extensions lie in the first cluster.
        with open_regular(real) as descriptor:
            size = os.fstat(descriptor).st_size
            if not size:
                raise _invalid(path, 'it is empty')
            head = os.pread(descriptor, _LARGEST_CLUSTER, 0)
            tail_at = max(0, size - foreign_formats.TAIL)
            tail = os.pread(descriptor, foreign_formats.TAIL, tail_at)
            allocated = os.fstat(descriptor).st_blocks * 512
        if recorded == 'raw':
            # Whatever its content looks like: a guest may have written it.
            return _raw(real, size, allocated)
        if head.startswith(qcow2_header.MAGIC):
            return self._qcow2(real, head, size, allocated)
        reason = foreign_formats.refusal(head, tail)
        if reason or recorded:
            raise _invalid(path, reason or f'it is not {recorded}')
        return _raw(real, size, allocated)

    def _qcow2(
        self, path: pathlib.Path, head: bytes, size: int, allocated: int
    ) -> ImageInfo:
        try:
            header = qcow2_header.parse(head)
        except qcow2_header.BadHeader as error:
            raise _invalid(path, str(error)) from error
        _refuse_state(path, header, size)
        data_file = self._data_file(path, header)
        return ImageInfo(
            path=path,
            format='qcow2',
            virtual_size=header.virtual_size,
            allocated=allocated,
            snapshots=header.snapshots,
            backing=self._backing(path, header),
            data_file=data_file,
        )

    def _backing(
        self, path: pathlib.Path, header: qcow2_header.Qcow2Header
    ) -> ImageInfo | None:
        name = header.backing_file
        if not name:
            return None
        under = self._named(path, name, 'backing file')
        if not header.backing_format:
            raise _invalid(
                path,
                'the format of its backing file is not recorded; record it '
                f'first (qemu-img rebase -u -b {name} -F FORMAT)',
            )
        if header.backing_format not in ('qcow2', 'raw'):
            raise _invalid(
                path,
                'its backing file is recorded as '
                f'{header.backing_format!r}, which is not supported',
            )
        return self.look_at(under, header.backing_format)

    def _data_file(
        self, path: pathlib.Path, header: qcow2_header.Qcow2Header
    ) -> pathlib.Path | None:
        if not header.has_data_file:
            return None
        if not header.data_file:
            raise _invalid(path, 'the name of its data file is missing')
        named = self._named(path, header.data_file, 'external data file')
        with open_regular(named):
            return named

    def _named(self, path: pathlib.Path, name: str, what: str) -> pathlib.Path:
        """The real path of a file that an image refers to.

        It is not touched before it is known to be allowed.
        """
        # qemu takes what comes before a colon for a protocol: nbd:, json:.
        if ':' in name.partition('/')[0]:
            raise exception.UnsafeImage(
                path=path,
                reason=f'its {what} is not a plain file name ({name!r})',
            )
        real = real_path(path.parent / name)
        if real not in self._allowed:
            raise exception.UnsafeImage(
                path=path,
                reason=f'it refers to the {what} {name!r}, which was not '
                'named',
            )
        return real


def _raw(path: pathlib.Path, size: int, allocated: int) -> ImageInfo:
    if size % _SECTOR:
        raise _invalid(
            path,
            f'its size ({size} bytes) is not a multiple of 512: it is not a '
            'disk image, or it is cut off',
        )
    return ImageInfo(path, 'raw', size, allocated)


def _refuse_state(
    path: pathlib.Path, header: qcow2_header.Qcow2Header, size: int
) -> None:
    if header.encrypted:
        raise _invalid(path, 'it is encrypted; decrypt it first')
    if header.features & qcow2_header.Feature.CORRUPT:
        raise _invalid(path, f'it is marked as corrupt; {_REPAIR}')
    if header.features & qcow2_header.Feature.DIRTY:
        raise _invalid(path, f'it was not closed properly; {_REPAIR}')
    if header.end_of_tables > size:
        raise _invalid(path, 'it is cut off: its tables are missing')
    if not header.virtual_size:
        raise _invalid(path, 'it is a disk of 0 bytes')


def _invalid(path: pathlib.Path, reason: str) -> exception.InvalidImage:
    return exception.InvalidImage(path=path, reason=reason)
