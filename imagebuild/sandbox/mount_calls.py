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
"""System calls for mounts and for paths inside a root (Linux 5.12).

The C library of many a distribution does not have them.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import pathlib
import struct
from collections.abc import Mapping

from imagebuild.sandbox import syscalls

# The numbers are the same on all architectures since 2019.
_OPEN_TREE = 428
_MOVE_MOUNT = 429
_FSOPEN = 430
_FSCONFIG = 431
_FSMOUNT = 432
_FSPICK = 433
_OPENAT2 = 437
_MOUNT_SETATTR = 442

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_CLOEXEC = 1
_OPEN_TREE_CLONE = 1
_FROM_EMPTY = 0x04
_TO_EMPTY = 0x40
_SET_FLAG, _SET_STRING, _CREATE, _RECONFIGURE = 0, 1, 6, 7
_FSPICK_EMPTY_PATH = 8
_MS_PRIVATE = 1 << 18

#: Mount attributes.
_ATTR_RDONLY = 0x01
ATTR_NOSUID = 0x02
ATTR_NODEV = 0x04
ATTR_NOATIME = 0x10
_ATTR_IDMAP = 0x00100000

_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
#: openat2(2) gives up when something was renamed meanwhile.
_TIMES = 20

_FITRIM = 0xC0185879


class _OpenHow(ctypes.Structure):
    _fields_ = [
        ('flags', ctypes.c_uint64),
        ('mode', ctypes.c_uint64),
        ('resolve', ctypes.c_uint64),
    ]


class _MountAttr(ctypes.Structure):
    _fields_ = [
        ('attr_set', ctypes.c_uint64),
        ('attr_clr', ctypes.c_uint64),
        ('propagation', ctypes.c_uint64),
        ('userns_fd', ctypes.c_uint64),
    ]


def open_in_root(root: int, path: str, flags: int, mode: int = 0) -> int:
    """Open a path whose root is a directory (openat2(2)).

    No link leads out of it, whoever changes what meanwhile; links into other
    processes (/proc/PID/fd) are not followed at all.

    :param root: descriptor of the directory.
    :param path: absolute, as seen from there.
    :param flags: as of open(2).
    :param mode: of a file that is made.
    :returns: a descriptor, closed at exec.
    :raises OSError: it cannot be opened.
    """
    how = _OpenHow(
        flags | os.O_CLOEXEC,
        mode if flags & os.O_CREAT else 0,
        _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS,
    )
    for attempt in range(_TIMES):
        try:
            return syscalls.call(
                _OPENAT2,
                ctypes.c_int(root),
                os.fsencode(path),
                ctypes.byref(how),
                ctypes.c_size_t(ctypes.sizeof(how)),
            )
        except BlockingIOError:
            if attempt == _TIMES - 1:
                raise
    raise AssertionError


def knows(kind: str) -> bool:
    """Whether the kernel has a file system, or a module for it.

    True, too, for who may not mount anything.
    """
    try:
        os.close(
            syscalls.call(_FSOPEN, kind.encode(), ctypes.c_uint(_CLOEXEC))
        )
    except OSError as error:
        return error.errno != errno.ENODEV
    return True


def make_mount(
    kind: str, source: str, options: Mapping[str, str | None], attributes: int
) -> int:
    """Mount a file system, nowhere yet (fsopen(2), fsmount(2)).

    Options are no text that is taken apart: none can bring others with it.

    :param kind: of the file system.
    :param source: its block device.
    :param options: name to value, None for one that has none.
    :param attributes: of the mount, ``ATTR_...``.
    :returns: descriptor of the mount's root.
    :raises OSError: it cannot be mounted; with what the kernel says of it.
    """
    context = syscalls.call(_FSOPEN, kind.encode(), ctypes.c_uint(_CLOEXEC))
    try:
        for name, value in {'source': source, **options}.items():
            _configure(context, name, value)
        _configure(context, None, None)
        return syscalls.call(
            _FSMOUNT,
            ctypes.c_int(context),
            ctypes.c_uint(_CLOEXEC),
            ctypes.c_uint(attributes),
        )
    except OSError as error:
        said = _messages(context)
        raise OSError(error.errno, said or error.strerror) from error
    finally:
        os.close(context)


def _configure(context: int, name: str | None, value: str | None) -> None:
    if name is None:
        command = _CREATE
    else:
        command = _SET_FLAG if value is None else _SET_STRING
    syscalls.call(
        _FSCONFIG,
        ctypes.c_int(context),
        ctypes.c_uint(command),
        None if name is None else name.encode(),
        None if value is None else os.fsencode(value),
        ctypes.c_int(0),
    )


def _messages(context: int) -> str:
    """What the kernel has to say, oldest first."""
    lines = []
    try:
        while True:
            lines.append(os.read(context, 4096).decode('utf-8', 'replace'))
    except OSError:
        pass
    # "e ext4: ...": how bad it is, and a text.
    return '; '.join(line[2:].strip() for line in lines[-3:])


def attach(mount: int, target: int) -> None:
    """Put a detached mount onto a directory (move_mount(2)).

    :param mount: descriptor of its root.
    :param target: descriptor of the directory.
    """
    syscalls.call(
        _MOVE_MOUNT,
        ctypes.c_int(mount), b'', ctypes.c_int(target), b'',
        ctypes.c_uint(_FROM_EMPTY | _TO_EMPTY),
        what='move_mount',
    )  # fmt: skip


def open_apart(path: pathlib.Path, flags: int) -> int:
    """Open a file by a mount of it that is nowhere.

    Whoever may see what the descriptor is of then sees "/" for its path, and
    not where the file lies.

    :param flags: as of open(2).
    :returns: a descriptor, closed at exec.
    :raises OSError: it cannot be opened.
    """
    apart = syscalls.call(
        _OPEN_TREE,
        ctypes.c_int(_AT_FDCWD),
        os.fsencode(path),
        ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC),
    )
    try:
        return os.open(f'/proc/self/fd/{apart}', flags | os.O_CLOEXEC)
    finally:
        os.close(apart)


def clone_tree(root: int) -> int:
    """Copy a mount with all below it; the copy is nowhere yet.

    :param root: descriptor of the mount's root.
    :returns: descriptor of the copy's root.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH | _AT_RECURSIVE
    return syscalls.call(
        _OPEN_TREE, ctypes.c_int(root), b'', ctypes.c_uint(flags)
    )


def make_read_only(path: str) -> None:
    """Let nothing be written through a mount and those below it.

    Other mounts of the same file systems stay as they are.

    :param path: where it is mounted.
    :raises OSError: something is open for writing.
    """
    attributes = _MountAttr(_ATTR_RDONLY, 0, 0, 0)
    syscalls.call(
        _MOUNT_SETATTR,
        ctypes.c_int(_AT_FDCWD),
        os.fsencode(path),
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
        what='mount_setattr',
    )


def shift_ids(tree: int, user_namespace: int) -> None:
    """Show the ids of a detached copy as a user namespace maps them.

    :param tree: descriptor of its root; all below is meant, too.
    :param user_namespace: descriptor.
    :raises OSError: EINVAL when one of its file systems does not know how.
    """
    wanted = _MountAttr(_ATTR_IDMAP, 0, _MS_PRIVATE, user_namespace)
    syscalls.call(
        _MOUNT_SETATTR,
        ctypes.c_int(tree),
        b'',
        ctypes.c_uint(_AT_EMPTY_PATH | _AT_RECURSIVE),
        ctypes.byref(wanted),
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )


def detach(path: str) -> None:
    """Take away what is mounted on a path, with all below (lazily)."""
    syscalls.umount(path, syscalls.MNT_DETACH)


def sync(root: int) -> None:
    """Write a file system's data to its device.

    :param root: descriptor that was opened before what is to be written:
        the loss of what was written meanwhile is reported, too.
    :raises OSError: writes were lost.
    """
    syscalls.syncfs(root)


def set_readonly(root: int, readonly: bool) -> None:
    """Make a file system read only, everything written, or writable again.

    It is meant as a whole, wherever it is mounted.

    :param root: descriptor of its root.
    :raises OSError: EBUSY when a file is open for writing.
    """
    flags = _CLOEXEC | _FSPICK_EMPTY_PATH
    context = syscalls.call(
        _FSPICK, ctypes.c_int(root), b'', ctypes.c_uint(flags)
    )
    try:
        _configure(context, 'ro' if readonly else 'rw', None)
        syscalls.call(
            _FSCONFIG, ctypes.c_int(context), ctypes.c_uint(_RECONFIGURE),
            None, None, ctypes.c_int(0),
        )  # fmt: skip
    except OSError as error:
        said = _messages(context)
        raise OSError(error.errno, said or error.strerror) from error
    finally:
        os.close(context)


def trim(root: int) -> None:
    """Tell the device which blocks are free."""
    fcntl.ioctl(root, _FITRIM, struct.pack('QQQ', 0, 2**64 - 1, 0))
