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
"""Files of a mounted guest, whatever links, FIFOs and devices are there.

The operations have the names, arguments and results of a libguestfs handle's
methods (``remotes.guest_handle.GuestHandle``), so that the same functions work
over either.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild.sandbox import mount_calls
from imagebuild.sandbox import tree_glob
from imagebuild.sandbox import tree_removal

#: Bytes of a file that is read whole; more is none of what is looked at.
_LARGEST = 64 * 1024 * 1024
#: Bytes of a file read or written at once.
_PIECE = 4 * 1024 * 1024
#: As the appliance's daemon has it.
_UMASK = 0o022

_NOWHERE = (errno.ENOENT, errno.ENOTDIR)
_GETFLAGS = 0x80086601
_SETFLAGS = 0x40086602
#: The letters of lsattr(1).
_FLAGS = {
    's': 0x1, 'u': 0x2, 'c': 0x4, 'S': 0x8, 'i': 0x10, 'a': 0x20, 'd': 0x40,
    'A': 0x80, 'E': 0x800, 'I': 0x1000, 'j': 0x4000, 't': 0x8000,
    'D': 0x10000, 'T': 0x20000, 'V': 0x100000, 'e': 0x80000, 'C': 0x800000,
    'x': 0x2000000, 'N': 0x10000000, 'P': 0x20000000, 'F': 0x40000000,
}  # fmt: skip


class Tree:
    """A mounted guest's files, reached from a descriptor of its root.

    Every path is looked up with the guest's root as root (openat2(2)), so no
    link leads out of it. Nothing but regular files is opened, and nothing
    waits: not for the other end of a FIFO either.

    RuntimeError, with one line of text, is what every method raises when
    something is refused; UnicodeDecodeError when a name that it returns is
    not UTF-8.

    :param root: descriptor of the guest's root directory, closed by who has
        opened it; None when nothing is mounted.
    """

    def __init__(self, root: int | None) -> None:
        self._root = root

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        """Open a path; see :func:`mount_calls.open_in_root`.

        :returns: a descriptor, which the caller closes.
        """
        with self._told(path):
            return self._open(path, flags, mode)

    # -- questions ----------------------------------------------------------

    def exists(self, path: str) -> bool:
        """Whether something has this name; true of a link to nothing."""
        return self._status(path, followed=False) is not None

    def is_file(self, path: str, *, followsymlinks: bool = False) -> bool:
        """Whether it is a regular file."""
        status = self._status(path, followed=followsymlinks)
        return status is not None and stat.S_ISREG(status.st_mode)

    def is_dir(self, path: str, *, followsymlinks: bool = False) -> bool:
        """Whether it is a directory."""
        status = self._status(path, followed=followsymlinks)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def is_symlink(self, path: str) -> bool:
        """Whether it is a symbolic link."""
        status = self._status(path, followed=False)
        return status is not None and stat.S_ISLNK(status.st_mode)

    def statns(self, path: str) -> Mapping[str, int]:
        """The status of a file, followed."""
        with self._opened(path, os.O_PATH) as found:
            return _as_dict(os.fstat(found))

    def lstatns(self, path: str) -> Mapping[str, int]:
        """The status of a file or of a link itself."""
        with self._opened(path, os.O_PATH | os.O_NOFOLLOW) as found:
            return _as_dict(os.fstat(found))

    def filesize(self, path: str) -> int:
        """Bytes in a file, followed."""
        return self.statns(path)['st_size']

    def readlink(self, path: str) -> str:
        """What a link holds."""
        with self._opened(path, os.O_PATH | os.O_NOFOLLOW) as found:
            if not stat.S_ISLNK(os.fstat(found).st_mode):
                raise _error(errno.EINVAL)
            return os.readlink(b'', dir_fd=found).decode()

    def realpath(self, path: str) -> str:
        """The path without any link, "." or ".." in it."""
        with self._opened(path, os.O_PATH) as found:
            return self._path_of(found)

    def glob_expand(
        self, pattern: str, *, directoryslash: bool = True
    ) -> list[str]:
        """Paths that match a shell's pattern, sorted."""
        with self._told(pattern):
            found = tree_glob.expand(self._names, pattern)
        slash = '/' if directoryslash else ''
        return [
            path + slash if slash and self.is_dir(path) else path
            for path in found
        ]

    # -- content ------------------------------------------------------------

    def read_file(self, path: str) -> bytes:
        """All of a regular file, followed; 64 MiB at most."""
        content = bytearray()
        with self._regular(path, os.O_RDONLY) as file:
            while piece := os.read(file, _PIECE):
                content += piece
                if len(content) > _LARGEST:
                    raise _error(errno.EFBIG)
        return bytes(content)

    def pread(self, path: str, count: int, offset: int) -> bytes:
        """A piece of a regular file, followed."""
        content = bytearray()
        with self._regular(path, os.O_RDONLY) as file:
            wanted = min(count, _PIECE)
            while len(content) < wanted:
                at = offset + len(content)
                piece = os.pread(file, wanted - len(content), at)
                if not piece:
                    break
                content += piece
        return bytes(content)

    def write(self, path: str, content: bytes) -> None:
        """Make a file, followed, or write all of it."""
        with self._regular(path, os.O_WRONLY | os.O_CREAT) as file:
            # Not O_TRUNC: it would be done before its kind is known.
            os.ftruncate(file, 0)
            _write_all(file, content)

    def write_append(self, path: str, content: bytes) -> None:
        """Write at the end of a file, followed."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with self._regular(path, flags) as file:
            _write_all(file, content)

    def touch(self, path: str) -> None:
        """Make an empty file, or give one that is there the time of now."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        with self._regular(path, flags) as file:
            os.utime(file)

    # -- names --------------------------------------------------------------

    def mkdir_mode(self, path: str, mode: int) -> None:
        """Make one directory."""
        with self._parent(path) as (parent, name):
            os.mkdir(name, 0o700, dir_fd=parent)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            made = os.open(name, flags | os.O_CLOEXEC, dir_fd=parent)
            try:
                inherited = os.fstat(made).st_mode & stat.S_ISGID
                os.fchmod(made, mode & 0o7777 & ~_UMASK | inherited)
            finally:
                os.close(made)

    def ln_s(self, target: str, path: str) -> None:
        """Make the symbolic link ``path`` that holds ``target``."""
        with self._parent(path) as (parent, name):
            os.symlink(os.fsencode(target), name, dir_fd=parent)

    def rename(self, old: str, new: str) -> None:
        """rename(2)."""
        with (
            self._parent(old) as (old_parent, old_name),
            self._parent(new) as (new_parent, new_name),
        ):
            os.rename(
                old_name, new_name,
                src_dir_fd=old_parent, dst_dir_fd=new_parent,
            )  # fmt: skip

    def rm(self, path: str) -> None:
        """Remove a file, a link or what else is no directory."""
        with self._parent(path) as (parent, name):
            os.unlink(name, dir_fd=parent)

    def rm_f(self, path: str) -> None:
        """As :meth:`rm`; no error when nothing is there."""
        if self.exists(path):
            self.rm(path)

    def rm_rf(self, path: str) -> None:
        """Remove with all that is below."""
        if self.exists(path):
            with self._parent(path) as (parent, name):
                tree_removal.remove(parent, name)

    # -- attributes ---------------------------------------------------------

    def chmod(self, mode: int, path: str) -> None:
        """Set all of the permission bits, followed."""
        with self._opened(path, os.O_PATH) as found:
            os.chmod(_link_to(found), mode & 0o7777)

    def chown(self, uid: int, gid: int, path: str) -> None:
        """Set owner and group, followed."""
        with self._opened(path, os.O_PATH) as found:
            os.chown(_link_to(found), uid, gid)

    def get_e2attrs(self, path: str) -> str:
        """The letters of lsattr(1) that are set."""
        with self._plain(path) as file:
            flags = _flags(file)
        return ''.join(each for each, bit in _FLAGS.items() if flags & bit)

    def set_e2attrs(
        self, path: str, attributes: str, *, clear: bool = False
    ) -> None:
        """Set these, or take them away."""
        wanted = 0
        for letter in attributes:
            if letter not in _FLAGS:
                raise RuntimeError(f'{path}: unknown attribute {letter}')
            wanted |= _FLAGS[letter]
        with self._plain(path) as file:
            flags = _flags(file)
            flags = flags & ~wanted if clear else flags | wanted
            fcntl.ioctl(file, _SETFLAGS, struct.pack('@l', flags))

    def lgetxattrs(self, path: str) -> Sequence[Mapping[str, Any]]:
        """The extended attributes, of a link itself."""
        with self._opened(path, os.O_PATH | os.O_NOFOLLOW) as found:
            link = _link_to(found)
            return [
                {'attrname': name, 'attrval': os.getxattr(link, name)}
                for name in os.listxattr(link)
            ]

    def lsetxattr(self, name: str, value: str, size: int, path: str) -> None:
        """Set an extended attribute; a NUL character follows the value."""
        content = value.encode() + b'\0'
        with self._opened(path, os.O_PATH | os.O_NOFOLLOW) as found:
            os.setxattr(_link_to(found), name, content[:size])

    # -- how ----------------------------------------------------------------

    @contextlib.contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """Tell errors as libguestfs does.

        :raises RuntimeError: for each OSError, and for a path that is none.
        """
        try:
            yield
        except OSError as error:
            raise RuntimeError(f'{path!r}: {error.strerror}') from error
        except UnicodeDecodeError:
            raise
        except ValueError as error:
            raise RuntimeError(f'{path!r}: {error}') from error

    def _open(self, path: str, flags: int, mode: int = 0) -> int:
        if self._root is None:
            raise _error(errno.ENODEV)
        if not path.startswith('/'):
            raise _error(errno.EINVAL)
        if '\0' in path:
            raise ValueError('embedded null byte')
        return mount_calls.open_in_root(self._root, path, flags, mode)

    @contextlib.contextmanager
    def _opened(self, path: str, flags: int, mode: int = 0) -> Iterator[int]:
        """A descriptor for the time of a block, with its errors told."""
        with self._told(path):
            found = self._open(path, flags, mode)
            try:
                yield found
            finally:
                os.close(found)

    @contextlib.contextmanager
    def _regular(self, path: str, flags: int) -> Iterator[int]:
        """A regular file; anything else is refused before it is used."""
        # Opening a FIFO does not wait then, and there are no devices on
        # mounts without them.
        flags |= os.O_NONBLOCK | os.O_NOCTTY
        with self._opened(path, flags, 0o666 & ~_UMASK) as file:
            mode = os.fstat(file).st_mode
            if stat.S_ISDIR(mode):
                raise _error(errno.EISDIR)
            if not stat.S_ISREG(mode):
                raise OSError(errno.EINVAL, 'not a regular file')
            yield file

    @contextlib.contextmanager
    def _plain(self, path: str) -> Iterator[int]:
        """A file or directory that is no link, for its attributes."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW
        with self._opened(path, flags) as file:
            mode = os.fstat(file).st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise _error(errno.EOPNOTSUPP)
            yield file

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """The directory of a path, and the name in it."""
        before, _, name = path.rstrip('/').rpartition('/')
        with self._opened(before or '/', os.O_PATH | os.O_DIRECTORY) as found:
            if name in ('', '.', '..'):
                raise _error(errno.EINVAL)
            with self._told(path):
                yield found, name

    def _status(self, path: str, *, followed: bool) -> os.stat_result | None:
        """None where nothing is."""
        flags = os.O_PATH if followed else os.O_PATH | os.O_NOFOLLOW
        with self._told(path):
            try:
                found = self._open(path, flags)
            except OSError as error:
                if error.errno in _NOWHERE:
                    return None
                raise
            try:
                return os.fstat(found)
            finally:
                os.close(found)

    def _names(self, directory: str) -> list[bytes]:
        """The names in a directory; none where none can be listed."""
        flags = os.O_RDONLY | os.O_DIRECTORY
        try:
            found = self._open(directory, flags)
        except OSError:
            return []
        try:
            return [os.fsencode(name) for name in os.listdir(found)]
        finally:
            os.close(found)

    def _path_of(self, found: int) -> str:
        """The path of an open file, as the guest has it."""
        assert self._root is not None  # noqa: S101
        root = os.readlink(_link_to(self._root).encode()).rstrip(b'/')
        path = os.readlink(_link_to(found).encode())
        if path == root:
            return '/'
        if not path.startswith(root + b'/'):
            raise _error(errno.ENOENT)
        return path[len(root) :].decode()


def _link_to(descriptor: int) -> str:
    """A path by which an O_PATH descriptor can be used."""
    return f'/proc/self/fd/{descriptor}'


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view[:_PIECE]) :]


def _flags(file: int) -> int:
    raw = fcntl.ioctl(file, _GETFLAGS, struct.pack('@l', 0))
    return int(struct.unpack('@l', raw)[0]) & 0xFFFFFFFF


def _as_dict(status: os.stat_result) -> dict[str, int]:
    times = {
        'atime': status.st_atime_ns,
        'mtime': status.st_mtime_ns,
        'ctime': status.st_ctime_ns,
    }
    found = {
        'st_dev': status.st_dev,
        'st_ino': status.st_ino,
        'st_mode': status.st_mode,
        'st_nlink': status.st_nlink,
        'st_uid': status.st_uid,
        'st_gid': status.st_gid,
        'st_rdev': status.st_rdev,
        'st_size': status.st_size,
        'st_blksize': status.st_blksize,
        'st_blocks': status.st_blocks,
    }
    for name, nanoseconds in times.items():
        seconds, rest = divmod(nanoseconds, 1_000_000_000)
        found[f'st_{name}_sec'], found[f'st_{name}_nsec'] = seconds, rest
    return found
