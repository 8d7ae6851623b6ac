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
"""What an image file holds, whatever it is called and wherever it lies."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Iterator

from imagebuild.disks import image_file

_BLOCK = 1024 * 1024
_ZEROES = bytes(_BLOCK)


def identity(image: image_file.ImageInfo) -> str:
    """A digest of an image and of all that is under it.

    A copy has the same, also where it has other holes.

    :returns: ``sha256:`` and hexadecimal digits.
    :raises OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for item in image.chain:
        digest.update(f'{item.format} {item.virtual_size}\n'.encode())
        for path in (item.path, item.data_file):
            if path:
                _add(path, digest)
    return f'sha256:{digest.hexdigest()}'


def _add(path: pathlib.Path, digest: hashlib._Hash) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        digest.update(f'file {size}\n'.encode())
        for offset in _blocks(descriptor, size):
            block = os.pread(descriptor, _BLOCK, offset)
            if block != _ZEROES[: len(block)]:
                digest.update(f'{offset}\n'.encode())
                digest.update(block)
    finally:
        os.close(descriptor)


def _blocks(descriptor: int, size: int) -> Iterator[int]:
    """Offsets of the blocks that are not wholly in a hole."""
    offset = 0
    while offset < size:
        try:
            data = os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError:  # nothing but a hole follows
            return
        offset = max(offset, data - data % _BLOCK)
        yield offset
        offset += _BLOCK
