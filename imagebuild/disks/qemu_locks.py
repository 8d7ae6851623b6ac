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
"""The locks by which qemu processes keep out of each other's way.

qemu locks single bytes of an image (block/file-posix.c): byte 100 + n means
'I use permission n', byte 200 + n means 'nobody else may use permission n'.
Speaking that language shows a running virtual machine without starting a
program, and, more important, keeps one from being started on an image while
it is packed: it would go on with the old file after the rename.

They are OFD locks: they live as long as the descriptor is open.
"""

from __future__ import annotations

import fcntl
import os
import pathlib
import struct

from imagebuild.common import os_errors
from imagebuild.disks import lock

_USES = 100
_FORBIDS = 200
_READ = 0
_WRITE = 1
_RESIZE = 3

_FLOCK = struct.Struct('hhqqi0q')


def claim(descriptor: int, path: pathlib.Path, *, shared: bool) -> None:
    """Tell qemu that an image is being read and must not change.

    :param descriptor: the image, open for reading; the claim lasts until it
        is closed.
    :param path: the image, for messages.
    :param shared: others that only read are welcome. If not, they are in
        the way too: a machine that has this image under its own disk would
        find another disk there when it is started next.
    :raises ImageBusy: a qemu process uses it.
    :raises UnwritablePath: its file system knows no such locks.
    """
    mine = (_USES + _READ, _FORBIDS + _WRITE, _FORBIDS + _RESIZE)
    theirs = [_USES + _WRITE, _USES + _RESIZE, _FORBIDS + _READ]
    if not shared:
        theirs += [_USES + _READ, _FORBIDS + _WRITE]
    try:
        # First ours, then a look at theirs: two who come at once may both be
        # refused, but never both be let in.
        for byte in mine:
            request = _request(fcntl.F_RDLCK, byte)
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
        taken = any(_is_taken(descriptor, byte) for byte in theirs)
    except (BlockingIOError, PermissionError) as error:
        raise lock.busy(path, lock.user_of(descriptor)) from error
    except OSError as error:
        raise os_errors.write_error(path, error) from error
    if taken:
        raise lock.busy(path, lock.user_of(descriptor))


def _is_taken(descriptor: int, byte: int) -> bool:
    """Whether somebody else holds a lock on a byte."""
    # A write lock conflicts with every other one; it is asked for, not taken.
    answer = fcntl.fcntl(
        descriptor, fcntl.F_OFD_GETLK, _request(fcntl.F_WRLCK, byte)
    )
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _request(kind: int, byte: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0)
