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
"""A file that a program makes: there whole or not at all."""

from __future__ import annotations

import errno
import os
import pathlib

from imagebuild import exception
from imagebuild.common import os_errors
from imagebuild.disks import convert

#: What link(2) says where a file system has no hard links: vfat, exfat and
#: many that are in user space or in the network.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def check(output: pathlib.Path, *, force: bool) -> None:
    """Refuse a place where it cannot be made, before anything is.

    :param force: one that is there is replaced.
    :raises InvalidInput: it cannot.
    """
    try:
        if not output.parent.is_dir():
            raise exception.InvalidInput(
                f'There is no directory {output.parent}.'
            )
        if output.is_symlink():
            raise exception.InvalidInput(
                f'{output} is a link; name the file itself.'
            )
        if output.exists() and not output.is_file():
            raise exception.InvalidInput(f'{output} is not a file.')
        if output.exists() and not force:
            raise _exists(output)
    except OSError as error:
        raise exception.InvalidInput(
            f'{output} cannot be made: {os_errors.reason_of(error)}.'
        ) from error


def put(new: pathlib.Path, output: pathlib.Path, *, force: bool) -> None:
    """Give a finished file its name, with the rights that the user gives.

    :param new: the file, on the same file system.
    :param force: replace one that is there.
    :raises InvalidInput: one is there by now.
    :raises DiskFull: there is no room.
    :raises UnwritablePath: of every other error.
    """
    with os_errors.on_write(output):
        new.chmod(0o666 & ~_umask())
        convert.flush(new)
        if force:
            new.replace(output)
        else:
            _put_new(new, output)
        convert.flush(output.parent)


def _put_new(new: pathlib.Path, output: pathlib.Path) -> None:
    try:
        try:
            os.link(new, output)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # An empty one has the name until then: nobody else's is replaced.
            os.close(os.open(output, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            new.replace(output)
    except FileExistsError:
        raise _exists(output) from None


def _exists(output: pathlib.Path) -> exception.InvalidInput:
    return exception.InvalidInput(
        f'{output} is there already; use --force to replace it.'
    )


def _umask() -> int:
    found = os.umask(0o077)
    os.umask(found)
    return found
