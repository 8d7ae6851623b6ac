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
"""Read a file of a guest, and never more of it than makes sense.

libguestfs' read_file takes whatever is there into memory; a sparse file of
8 GiB costs its author nothing.
"""

from __future__ import annotations

from imagebuild import exception
from imagebuild.remotes import guest_handle

#: Bytes of a file that a step may look at.
LARGEST = 8 * 1024 * 1024
#: Bytes of a small table of the system: os-release, fstab.
LARGEST_TABLE = 256 * 1024
#: Bytes of one answer; libguestfs' messages end at 4 MiB.
_PIECE = 1024 * 1024


def read(
    handle: guest_handle.GuestHandle, path: str, largest: int = LARGEST
) -> bytes | None:
    """Return the content of a regular file, symbolic links followed.

    :param handle: of the guest, mounted.
    :param path: absolute.
    :param largest: bytes.
    :returns: None when there is no such regular file.
    :raises StepError: it is larger.
    :raises RuntimeError: the guest's file system refuses.
    """
    if not handle.is_file(path, followsymlinks=True):
        return None
    content = bytearray()
    # Not by its size, which may not be that of what is read.
    while len(content) <= largest:
        piece: bytes = handle.pread(path, _PIECE, len(content))
        if not piece:
            return bytes(content)
        content += piece
    raise exception.StepError(
        f'{path} in the image is larger than the {largest // 1024} KiB '
        'that are read of such a file'
    )


def table(handle: guest_handle.GuestHandle, path: str) -> str | None:
    """Read a small table of the system; see :func:`read`."""
    content = read(handle, path, LARGEST_TABLE)
    return None if content is None else content.decode('utf-8', 'replace')
