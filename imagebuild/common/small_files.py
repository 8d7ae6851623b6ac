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
"""Files that users name, which are small or refused."""

from __future__ import annotations

import pathlib

from imagebuild import exception
from imagebuild.common.counts import counted


def read(path: pathlib.Path, largest: int, *, name: str = '') -> bytes:
    """Read a file, and never more of it than it may have.

    :param path: of the file; also of a pipe, or of a device without an end.
    :param largest: bytes that it may have.
    :param name: how messages call it; its path by default.
    :raises InvalidInput: it cannot be read, or is larger.
    """
    name = name or str(path)
    try:
        with path.open('rb') as file:
            content = file.read(largest + 1)
    except (OSError, ValueError) as error:
        # ValueError: a path with a zero byte.
        reason = getattr(error, 'strerror', None) or error
        raise exception.InvalidInput(
            f'{name} cannot be read: {reason}.'
        ) from None
    if len(content) > largest:
        raise exception.InvalidInput(
            f'{name} is larger than {_shown(largest)}.'
        )
    return content


def _shown(size: int) -> str:
    """Bytes as people read them."""
    for unit, name in ((1024**2, 'MiB'), (1024, 'KiB')):
        if size >= unit:
            return f'{size // unit} {name}'
    return counted(size, 'byte')
