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
"""Progress of what is read, written or sent, in bytes."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Called with bytes done and bytes in all (0 when not known).
OnProgress = Callable[[int, int], None]

#: Seconds between two calls.
INTERVAL = 1.0


class Throttled:
    """Passes progress on, at most once a second, and the end always.

    :param on_progress: who is called; None for nobody.
    """

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._next = 0.0
        self._at_end = False

    def __call__(self, done: int, total: int) -> None:
        """Tell, if it is time.

        :param done: bytes done.
        :param total: bytes in all, 0 when not known.
        """
        if self._on_progress is None:
            return
        now = time.monotonic()
        # Told once: who waits at the end, or for something empty, calls
        # again and again.
        is_end = done == total and not self._at_end
        self._at_end = done == total
        if now >= self._next or is_end:
            self._next = now + INTERVAL
            self._on_progress(done, total)


def moved(done: int, total: int | None) -> str:
    """Say in words how much of a transfer is done: ``1.5 of 4.0 MiB``.

    :param done: bytes done.
    :param total: bytes in all, None when that is not known.
    """
    unit, name = _unit(max(done, total or 0))
    if total is None:
        return f'{_amount(done, unit)} {name}'
    return f'{_amount(done, unit)} of {_amount(total, unit)} {name}'


def _unit(size: int) -> tuple[int, str]:
    for power, name in ((4, 'TiB'), (3, 'GiB'), (2, 'MiB'), (1, 'KiB')):
        if size >= 1024**power:
            return 1024**power, name
    return 1, 'bytes'


def _amount(size: int, unit: int) -> str:
    return str(size) if unit == 1 else f'{size / unit:.1f}'
