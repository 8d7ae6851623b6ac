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
"""Files that are put into an initrd (cpio, the format "newc")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

_ALIGNED = 4
#: A file of root's that nobody else can read.
_MODE = 0o100600
_END = 'TRAILER!!!'


def append(initrd: BinaryIO, files: Mapping[str, bytes]) -> None:
    """Write files behind an initrd.

    The kernel unpacks one archive after the other. An archive must begin at
    a multiple of four bytes, and zeros may be before it.

    :param initrd: is written to where it is, which is its end.
    :param files: by their paths in the root, without a slash in them.
    """
    _pad(initrd)
    for number, (name, content) in enumerate(files.items(), 1):
        _entry(initrd, name, content, number)
    _entry(initrd, _END, b'', 0)
    _pad(initrd)


def _entry(stream: BinaryIO, name: str, content: bytes, number: int) -> None:
    encoded = name.encode('ascii') + b'\0'
    fields = (
        number, _MODE if number else 0, 0, 0, 1, 0, len(content),
        0, 0, 0, 0, len(encoded), 0,
    )  # fmt: skip
    head = '070701' + ''.join(f'{each:08X}' for each in fields)
    stream.write(head.encode('ascii') + encoded)
    _pad(stream)
    stream.write(content)
    _pad(stream)


def _pad(stream: BinaryIO) -> None:
    stream.write(bytes(-stream.tell() % _ALIGNED))
