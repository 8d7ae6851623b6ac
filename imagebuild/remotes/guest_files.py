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
"""Write a file into a mounted guest, whatever links lead there.

libguestfs looks at a path with the guest's tree as root, so neither an
absolute link nor a chain of ".." leads out of it. But its mkdir_p fails at a
link where a directory is to be (/bin of every merged /usr), a link that leads
to nothing cannot be written through, and opening a FIFO never ends.
"""

from __future__ import annotations

import posixpath
from collections import deque

from imagebuild import exception
from imagebuild.remotes import guest_handle

#: Bytes in one message; libguestfs takes no more than 4 MiB.
_PIECE = 2 * 1024 * 1024
#: Links that Linux follows in one path.
_MOST_LINKS = 40


def write(
    handle: guest_handle.GuestHandle,
    path: str,
    content: bytes,
    *,
    mode: int,
    uid: int,
    gid: int,
) -> None:
    """Write a file whole; see :meth:`base.Remote.write_file`.

    :param handle: of the guest, mounted.
    :raises StepError: something that is not a file is in the way.
    :raises RuntimeError: the guest's file system refuses.
    """
    directory, name = posixpath.split(path)
    try:
        target = posixpath.join(
            make_directory(handle, directory, uid, gid), name
        )
    except UnicodeDecodeError:
        raise exception.StepError(
            f'{path}: a symbolic link on the way is not UTF-8 text'
        ) from None
    _make_way(handle, target)
    put(handle, target, content)
    handle.chown(uid, gid, target)
    handle.chmod(mode, target)


def put(handle: guest_handle.GuestHandle, path: str, content: bytes) -> None:
    """Write a file of any size where nothing is in the way.

    :raises RuntimeError: the guest's file system refuses.
    """
    handle.write(path, content[:_PIECE])
    for start in range(_PIECE, len(content), _PIECE):
        handle.write_append(path, content[start : start + _PIECE])


def _make_way(handle: guest_handle.GuestHandle, target: str) -> None:
    """Nothing but a file may be written to; a link to nothing goes.

    So does one to a file in /run, which is empty after the next start.
    """
    if handle.is_symlink(target) and (
        not _leads_somewhere(handle, target) or _leads_into_run(handle, target)
    ):
        handle.rm(target)
    if handle.is_file(target, followsymlinks=True):
        return
    if handle.is_dir(target, followsymlinks=True):
        raise exception.StepError(f'{target} is a directory')
    if handle.exists(target):
        raise exception.StepError(f'{target} is not a regular file')


def _leads_into_run(handle: guest_handle.GuestHandle, link: str) -> bool:
    if not handle.is_file(link, followsymlinks=True):
        return False
    try:
        return handle.realpath(link).startswith('/run/')
    except UnicodeDecodeError:
        # It has other names.
        return False


def _leads_somewhere(handle: guest_handle.GuestHandle, link: str) -> bool:
    """Whether something is there; "exists" is true of every link itself."""
    try:
        handle.statns(link)
    except RuntimeError:
        return False
    return True


def make_directory(
    handle: guest_handle.GuestHandle, path: str, uid: int = 0, gid: int = 0
) -> str:
    """Make a directory and its parents, as far as they are missing.

    Links are followed inside the guest; what one of them leads to is made.

    :param path: absolute.
    :param uid: owner of what is made; its mode is 0755.
    :param gid: its group.
    :returns: a path of the directory.
    :raises StepError: something on the way is no directory, or the links
        never end.
    """
    if handle.is_dir(path, followsymlinks=True):
        return path
    todo = deque(path.split('/'))
    links = 0
    here = ''
    while todo:
        part = todo.popleft()
        if part == '..':
            here = posixpath.dirname(here).rstrip('/')
        if part in ('', '.', '..'):
            continue
        there = f'{here}/{part}'
        if handle.is_symlink(there):
            links += 1
            if links > _MOST_LINKS:
                raise exception.StepError(f'{path}: too many symbolic links')
            target: str = handle.readlink(there)
            here = '' if target.startswith('/') else here
            todo.extendleft(reversed(target.split('/')))
            continue
        _make_one(handle, there, uid, gid)
        here = there
    return here or '/'


def _make_one(
    handle: guest_handle.GuestHandle, path: str, uid: int, gid: int
) -> None:
    if handle.is_dir(path):
        return
    if handle.exists(path):
        raise exception.StepError(f'{path} is not a directory')
    handle.mkdir_mode(path, 0o755)
    handle.chown(uid, gid, path)
