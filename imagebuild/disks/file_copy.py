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
"""Copies of large files: shared with the original, or at least sparse."""

from __future__ import annotations

import errno
import fcntl
import os
import pathlib
import tempfile
from collections.abc import Iterator

# linux/fs.h; Python's fcntl has no name for it.
_FICLONE = 0x40049409
_CHUNK = 64 * 1024 * 1024
_PORTION = 1024 * 1024
# What copy_file_range(2) answers between file systems that it cannot serve.
_CANNOT = (
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.EPERM,
)
# Content hashes, made again by the kernel: those of the old file are wrong.
_NOT_COPIED = ('security.ima', 'security.evm')


def can_share(source: int, directory: pathlib.Path) -> bool:
    """Whether a copy made in a directory shares its blocks (reflink).

    :param source: descriptor of the original.
    :param directory: where the copy would be; nothing is left there.
    """
    try:
        with tempfile.TemporaryFile(dir=directory) as trial:
            return _share(source, trial.fileno())
    except OSError:
        return False


def copy_file(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copy a file's content into a new one.

    :raises OSError: the system refuses; a part may have been copied.
    """
    with source.open('rb') as old, target.open('xb') as new:
        copy_content(old.fileno(), new.fileno())


def copy_content(source: int, target: int) -> None:
    """Copy a file's content.

    :param source: descriptor of the original; its offset moves.
    :param target: descriptor of an empty file, open for writing.
    :raises OSError: the system refuses.
    """
    if _share(source, target):
        return
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    for start, end in _data(source, size):
        _copy_range(source, target, start, end)


def copy_attributes(source: int, target: int) -> None:
    """Copy owner, group, mode and extended attributes.

    The latter hold access control lists and the SELinux label. Times are
    not copied.

    :raises OSError: the system refuses; who is not root may not give files
        away.
    """
    status = os.fstat(source)
    old = os.fstat(target)
    if (status.st_uid, status.st_gid) != (old.st_uid, old.st_gid):
        os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, status.st_mode & 0o7777)
    try:
        names = os.listxattr(source)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return
        raise
    for name in names:
        value = os.getxattr(source, name)
        if name not in _NOT_COPIED and value != _xattr(target, name):
            os.setxattr(target, name, value)


def _xattr(descriptor: int, name: str) -> bytes | None:
    try:
        return os.getxattr(descriptor, name)
    except OSError:
        return None


def _share(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _data(source: int, size: int) -> Iterator[tuple[int, int]]:
    """The ranges of a file that are no holes, as (start, end)."""
    end = 0
    while end < size:
        try:
            start = os.lseek(source, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                # Nothing but a hole up to the end.
                return
            raise
        end = os.lseek(source, start, os.SEEK_HOLE)
        yield start, end


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        try:
            done = os.copy_file_range(
                source, target, min(end - start, _CHUNK), start, start
            )
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            done = _copy_portion(source, target, start, end)
        # Somebody truncates it: the loop would never end.
        if not done:
            raise OSError(errno.EIO, 'The file became shorter')
        start += done


def _copy_portion(source: int, target: int, start: int, end: int) -> int:
    portion = os.pread(source, min(end - start, _PORTION), start)
    return os.pwrite(target, portion, start)
