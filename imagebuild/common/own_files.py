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
"""Files that nobody else could have written, or put in another's place."""

from __future__ import annotations

import logging
import os
import pathlib
import stat

from imagebuild import exception

LOG = logging.getLogger(__name__)

_OTHERS = stat.S_IWGRP | stat.S_IWOTH
#: As many as the kernel follows.
_MOST_LINKS = 40


def is_own(path: pathlib.Path) -> bool:
    """Whether nobody but root and this account has a say in a file.

    Neither in its content nor in which file a path means: every directory and
    link on the way counts, too.

    :param path: of a file; links are followed.
    """
    stranger = _stranger(path)
    if stranger:
        LOG.info('Others have a say in %s: %s', path, stranger)
    return not stranger


def check_private(directory: pathlib.Path, what: str) -> None:
    """Refuse a directory in which others could put or change something.

    :param directory: it is there.
    :param what: is to be kept in it, as the message begins: ``Layers``.
    :raises InvalidInput: it is not a directory, or not this account's alone.
    :raises OSError: it cannot be looked at.
    """
    status = os.stat(directory)
    if not stat.S_ISDIR(status.st_mode):
        raise exception.InvalidInput(
            f'{what} cannot be kept in {directory}: it is not a directory.'
        )
    ours = (0, os.geteuid())
    if (
        status.st_uid != os.geteuid()
        or status.st_mode & _OTHERS
        # Where it is a link, whoever made that chose the directory.
        or os.lstat(directory).st_uid not in ours
    ):
        raise exception.InvalidInput(
            f'{what} cannot be kept in {directory}: it must belong to you, '
            'and nobody else may write to it.'
        )


def _stranger(path: pathlib.Path) -> str:
    """What on the way others can change, '' for nothing."""
    left = list(reversed(pathlib.Path(os.path.abspath(path)).parts))
    found = pathlib.Path(left.pop())
    links = 0
    try:
        while True:
            status = os.lstat(found)
            if status.st_uid not in (0, os.geteuid()):
                return f'{found} belongs to the user {status.st_uid}'
            if stat.S_ISLNK(status.st_mode):
                links += 1
                if links > _MOST_LINKS:
                    return f'{path} has too many links'
                target = pathlib.Path(os.readlink(found))
                left.extend(reversed(target.parts))
                found = found.parent
            elif status.st_mode & _OTHERS and not _is_shared_safely(status):
                return f'others can write to {found}'
            if not left:
                return ''
            found = _below(found, left.pop())
    except OSError as error:
        return f'{found}: {error.strerror}'


def _is_shared_safely(status: os.stat_result) -> bool:
    """A directory in which only owners rename and remove (/tmp)."""
    return stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_ISVTX)


def _below(directory: pathlib.Path, name: str) -> pathlib.Path:
    # No directory on the way is a link, so its parent is where it lies.
    return directory.parent if name == '..' else directory / name
