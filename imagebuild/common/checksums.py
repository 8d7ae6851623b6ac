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
"""Checksums of files: what one is, how it is written, how it is computed."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable
from collections.abc import Sequence

from imagebuild import exception

#: What a checksum may be made with; md5 and sha1 can be forged.
ALGORITHMS = ('sha256', 'sha384', 'sha512', 'sha3_256', 'sha3_512')

_PORTION = 4 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Checksum:
    """A checksum with its algorithm; written ``algorithm:hexdigest``.

    A checksum that another service gives may be made with any algorithm;
    only :meth:`parse` asks for one that cannot be forged.

    :ivar algo: as :mod:`hashlib` calls it.
    :ivar value: hexadecimal, in small letters.
    """

    algo: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Checksum:
        """Read ``algorithm:hexdigest``.

        :raises InvalidInput: it is not a checksum, or can be forged.
        """
        algo, colon, value = text.partition(':')
        value = value.lower()
        if not colon or algo not in ALGORITHMS:
            raise exception.InvalidInput(
                f'{text!r} is not a checksum: ALGORITHM:HEXDIGEST is '
                f'expected, with one of {", ".join(ALGORITHMS)}.'
            )
        length = hashlib.new(algo).digest_size * 2
        if len(value) != length or value.strip('0123456789abcdef'):
            raise exception.InvalidInput(
                f'{text!r} is not a checksum: {algo} has {length} '
                'hexadecimal digits.'
            )
        return cls(algo, value)

    def __str__(self) -> str:
        return f'{self.algo}:{self.value}'


def compute(
    path: pathlib.Path,
    algorithms: Sequence[str] = ('sha256', 'sha512'),
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Compute checksums of a file, reading it once.

    :param path: the file.
    :param algorithms: names that :mod:`hashlib` knows.
    :param on_progress: called with bytes done and bytes in all.
    :returns: hexadecimal digest by algorithm.
    :raises OSError: the file cannot be read.
    """
    digests = {name: hashlib.new(name) for name in algorithms}
    total = path.stat().st_size
    done = 0
    with path.open('rb') as file:
        while portion := file.read(_PORTION):
            for digest in digests.values():
                digest.update(portion)
            done += len(portion)
            if on_progress:
                on_progress(done, total)
    return {name: digest.hexdigest() for name, digest in digests.items()}
