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
"""Signals that ask to stop, raised in whatever the main thread does."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

from imagebuild import exception

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

#: Seconds after which one that was lost is raised again.
_SOON = 0.02


def raise_first(
    numbers: Sequence[signal.Signals],
    on_first: Callable[[], object] = lambda: None,
) -> Callable[[], None]:
    """Raise the first of these signals as ``Interrupted``, ignore the others.

    They are ignored while whoever is interrupted cleans up. Python drops what
    is raised in a finalizer or in the callback of a weak reference, of which
    an import runs many: that is raised again a moment later.

    :param numbers: the signals.
    :param on_first: called before the first is raised.
    :returns: what brings the handlers of before back.
    """
    first = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        # Before the raise: another one must not end the cleaning up.
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        if not first.is_set():
            first.set()
            on_first()
        raise exception.Interrupted(signal=signal.Signals(number).name)

    def on_lost(lost: UnraisableHookArgs) -> None:
        if not isinstance(lost.exc_value, exception.Interrupted):
            hook(lost)
        elif first.is_set():
            signal.signal(numbers[0], stop)
            timer = threading.Timer(_SOON, os.kill, [os.getpid(), numbers[0]])
            timer.daemon = True
            timer.start()

    before = {number: signal.signal(number, stop) for number in numbers}
    hook, sys.unraisablehook = sys.unraisablehook, on_lost

    def restore() -> None:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)

    return restore
