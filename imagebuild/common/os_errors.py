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
"""Errors of the operating system, translated into exceptions of ours."""

from __future__ import annotations

import contextlib
import errno
import pathlib
from collections.abc import Iterator

from imagebuild import exception

_FULL = (errno.ENOSPC, errno.EDQUOT)


def reason_of(error: OSError) -> str:
    """An error as a clause, without its number."""
    if isinstance(error, FileNotFoundError):
        return 'there is no such file'
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def write_error(
    path: pathlib.Path, error: OSError
) -> exception.EnvironmentFault:
    """What to raise when writing a file or directory failed.

    :returns: DiskFull when there was no room, else UnwritablePath.
    """
    if error.errno in _FULL:
        return exception.DiskFull(path=path)
    return exception.UnwritablePath(path=path, reason=reason_of(error))


@contextlib.contextmanager
def on_write(path: pathlib.Path) -> Iterator[None]:
    """Turn every OSError of the block into :func:`write_error`.

    :raises DiskFull: there was no room.
    :raises UnwritablePath: of every other error.
    """
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


def read_error(
    path: pathlib.Path, error: OSError
) -> exception.EnvironmentFault:
    """What to raise when reading a file or directory failed."""
    return exception.EnvironmentFault(
        f'{path} cannot be read: {reason_of(error)}.'
    )


@contextlib.contextmanager
def on_read(path: pathlib.Path) -> Iterator[None]:
    """Turn every OSError of the block into :func:`read_error`.

    :raises EnvironmentFault: of every error.
    """
    try:
        yield
    except OSError as error:
        raise read_error(path, error) from error
