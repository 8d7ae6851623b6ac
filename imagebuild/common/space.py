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
"""Room on the disk, asked for before work starts instead of after."""

from __future__ import annotations

import os
import pathlib

from imagebuild import exception
from imagebuild.common import os_errors
from imagebuild.common.counts import counted

GIB = 1024 * 1024 * 1024
#: Bytes; with less a file system counts as full, while a disk lies on it that
#: a guest writes to.
FULL = 4 * 1024 * 1024


def free(place: pathlib.Path | int) -> int:
    """Bytes that this user may still write to a file system.

    :param place: any file or directory of it, or a descriptor of one.
    :raises OSError: it is not there.
    """
    status = os.statvfs(place)
    # Not f_bfree: the blocks reserved for root are not for everybody.
    return status.f_bavail * status.f_frsize


def check(directory: pathlib.Path, needed: int) -> None:
    """Refuse to start what will not fit.

    :param directory: any directory of the file system in question.
    :param needed: bytes.
    :raises NoSpace: less than that is free for this user.
    """
    with os_errors.on_write(directory):
        found = free(directory)
    if found < needed:
        raise exception.NoSpace(
            path=directory, needed=human(needed), free=human(found)
        )


def human(size: int) -> str:
    """A size for people: ``512 bytes``, ``3.2 GiB``.

    :param size: bytes.
    """
    if size < 1024:
        return counted(size, 'byte')
    amount = float(size)
    for unit in ('KiB', 'MiB', 'GiB'):
        amount /= 1024
        if amount < 1024:
            return f'{amount:.1f} {unit}'
    return f'{amount / 1024:.1f} TiB'
