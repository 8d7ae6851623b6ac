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
"""Whether an image file can be replaced by a new one at its path.

Everything that would make the rename at the end of an hour's work fail, or
succeed and silently change what the file is, is looked for at the start.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re

from imagebuild import exception
from imagebuild.common import os_errors
from imagebuild.disks import file_copy
from imagebuild.disks import image_file

#: Device, inode, size and time of the last change, in nanoseconds.
State = tuple[int, int, int, int]

_MOUNT_POINT = 4


def check(image: image_file.ImageInfo) -> None:
    """Refuse an image that must not be replaced.

    :raises InvalidImage: it has several names (hard links), which would
        become different files, or its data are in a second file.
    :raises UnwritablePath: it is write-protected, immutable, on a read-only
        file system, or mounted at its path.
    """
    path = image.path
    links = os.stat(path).st_nlink
    if links > 1:
        raise exception.InvalidImage(
            path=path,
            reason=f'it has {links} names (hard links), and only this one '
            'would be changed; copy it first (cp)',
        )
    if image.data_file:
        raise exception.InvalidImage(
            path=path,
            reason='it keeps its data in a second file; make it one file '
            'first (qemu-img convert)',
        )
    with os_errors.on_write(path):
        # Not written to: this shows permissions and flags of the file.
        os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    if _is_mounted(path):
        raise exception.UnwritablePath(
            path=path,
            reason='it is mounted as a single file and cannot be replaced; '
            'mount its directory',
        )


def state_of(path: pathlib.Path) -> State | None:
    """What changes when a file is written to or replaced.

    :returns: None when it is gone.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
    )


def try_attributes(
    source: int, path: pathlib.Path, trial: pathlib.Path
) -> None:
    """Try whether a new file can be given an image's owner and labels.

    :param source: descriptor of the image.
    :param path: the image, for the message.
    :param trial: an empty file is made here and removed.
    :raises UnwritablePath: it cannot.
    """
    with os_errors.on_write(trial), trial.open('xb') as file:
        try:
            file_copy.copy_attributes(source, file.fileno())
        except PermissionError as error:
            raise exception.UnwritablePath(
                path=path,
                reason='this user cannot give a new file its owner, group '
                'and labels; run as its owner or as root',
            ) from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(trial)


def _is_mounted(path: pathlib.Path) -> bool:
    """Whether a file is itself a mount point, as containers do it."""
    wanted = os.fsencode(path)
    with open('/proc/self/mountinfo', 'rb') as file:
        return any(
            _unescape(line.split()[_MOUNT_POINT]) == wanted for line in file
        )


def _unescape(field: bytes) -> bytes:
    return re.sub(
        rb'\\([0-7]{3})', lambda found: bytes([int(found[1], 8)]), field
    )
