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
"""A checksum with its algorithm, as users and services write it."""

from __future__ import annotations

import dataclasses
import hashlib

from imagebuild import exception

#: What a checksum may be made with; md5 and sha1 can be forged.
ALGORITHMS = ('sha256', 'sha384', 'sha512', 'sha3_256', 'sha3_512')


@dataclasses.dataclass(frozen=True)
class Digest:
    """A checksum with its algorithm.

    :ivar algorithm: one of :data:`ALGORITHMS`.
    :ivar value: hexadecimal, in small letters.
    """

    algorithm: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read ``algorithm:hexdigest``.

        :raises InvalidInput: it is none.
        """
        algorithm, colon, value = text.partition(':')
        value = value.lower()
        if not colon or algorithm not in ALGORITHMS:
            raise exception.InvalidInput(
                f'{text!r} is no checksum: ALGORITHM:HEXDIGEST is expected, '
                f'with one of {", ".join(ALGORITHMS)}.'
            )
        length = hashlib.new(algorithm).digest_size * 2
        if len(value) != length or value.strip('0123456789abcdef'):
            raise exception.InvalidInput(
                f'{text!r} is no checksum: {algorithm} has {length} '
                'hexadecimal digits.'
            )
        return cls(algorithm, value)

    def __str__(self) -> str:
        return f'{self.algorithm}:{self.value}'
