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
"""Remove a directory of a guest, however deep it is.

A program of the guest's makes a directory in a directory a hundred thousand
times within a second; neither a recursion nor a descriptor for each of them
gets to the bottom of that.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(parent: int, name: str) -> None:
    """Remove a name with all that is below.

    :param parent: descriptor of its directory.
    :param name: in that.
    :raises OSError: something cannot be removed; a mount point, for one.
    """
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=parent)
        return
    top = os.open(name, _FLAGS, dir_fd=parent)
    try:
        _empty(top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _empty(top: int) -> None:
    """Empty a directory: what is deeper comes up before it is emptied."""
    mark = f'.{secrets.token_hex(8)}'
    number = 0
    while directories := _files_removed(top):
        for directory in directories:
            below = os.open(directory, _FLAGS, dir_fd=top)
            try:
                for deeper in _files_removed(below):
                    number += 1
                    os.rename(
                        deeper, f'{mark}{number}',
                        src_dir_fd=below, dst_dir_fd=top,
                    )  # fmt: skip
            finally:
                os.close(below)
            os.rmdir(directory, dir_fd=top)


def _files_removed(directory: int) -> list[str]:
    """Remove what is no directory; return the directories."""
    left = []
    for name in os.listdir(directory):
        try:
            os.unlink(name, dir_fd=directory)
        except OSError as error:
            # Linux says the first, POSIX the second.
            if error.errno not in (errno.EISDIR, errno.EPERM):
                raise
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                raise
            left.append(name)
    return left
