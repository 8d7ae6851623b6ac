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
"""Checksums of a file, all in one pass."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Callable
from collections.abc import Sequence

_PORTION = 4 * 1024 * 1024


def checksums(
    path: pathlib.Path,
    algorithms: Sequence[str] = ('sha256', 'sha512'),
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Compute checksums of a file.

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
