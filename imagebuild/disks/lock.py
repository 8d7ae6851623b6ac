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
"""One pack at a time: a lock on the image file itself.

The lock is flock(2) on the image, so nothing is left behind whatever
happens, and the kernel drops it when its holder dies. A finished pack
renames a new file over the image; a lock on the old file is then worthless,
which is why the path is looked at again once the lock is held.

On NFS, flock is a lock on all bytes of the file for everybody and so keeps
qemu out as well: images there have to be copied to a local disk first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

from imagebuild import exception
from imagebuild.common import os_errors
from imagebuild.disks import image_file

_ATTEMPTS = 10


@contextlib.contextmanager
def lock_image(path: pathlib.Path, *, shared: bool) -> Iterator[int]:
    """Lock an image as long as the ``with`` block lasts; never wait.

    :param path: the image; symbolic links are followed.
    :param shared: others may hold it shared, too (test only).
    :returns: a file descriptor of the locked file, open for reading.
    :raises ImageBusy: another process holds it.
    :raises InvalidImage: it is not a regular file, or cannot be read.
    :raises UnwritablePath: its file system knows no locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    for _ in range(_ATTEMPTS):
        with image_file.open_regular(path) as descriptor:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise busy(path, _holder(descriptor)) from error
            except OSError as error:
                raise os_errors.write_error(path, error) from error
            # A pack that ended between open and flock has put a new file at
            # the path; then this lock is of no use.
            if _still_at(path, descriptor):
                yield descriptor
                return
    raise busy(path, None)


def busy(path: pathlib.Path, pid: int | None) -> exception.ImageBusy:
    """The error for an image that somebody else uses.

    :param pid: the other process, None when it is not known.
    """
    return exception.ImageBusy(
        path=path, by='' if pid is None else f' (process {pid})'
    )


def user_of(descriptor: int) -> int | None:
    """Another process that has the same file open.

    Only processes that this user may look into are found.

    :returns: its pid, None when none is found.
    """
    wanted = os.fstat(descriptor)
    for name in os.listdir('/proc'):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            for number in os.listdir(f'/proc/{name}/fd'):
                with contextlib.suppress(OSError):
                    found = os.stat(f'/proc/{name}/fd/{number}')
                    if os.path.samestat(found, wanted):
                        return int(name)
    return None


def _holder(descriptor: int) -> int | None:
    """The process that holds a flock on a file, from /proc/locks.

    Its lines look like ``7: FLOCK ADVISORY WRITE 123 fe:00:4711 0 EOF``.
    """
    status = os.fstat(descriptor)
    device = f'{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}'
    wanted = f'{device}:{status.st_ino}'
    with contextlib.suppress(OSError):
        for line in pathlib.Path('/proc/locks').read_text().splitlines():
            fields = line.split()
            if fields[1] == 'FLOCK' and fields[5] == wanted:
                # 0 for a process of another pid namespace.
                return int(fields[4]) or None
    return None


def _still_at(path: pathlib.Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
