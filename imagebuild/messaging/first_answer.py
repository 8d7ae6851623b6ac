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
"""Ask several who could answer, one after the other, until one has.

The next one is asked as soon as one has failed, or has been silent for a
while; those that were asked before may answer all the same, as one that has
to wait for the Image service is slow and not gone. All of it ends in time.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import Generic
from typing import TypeVar

T = TypeVar('T')

#: So many are asked at most.
_MOST = 3
#: The next one is asked after this part of the time.
_HEDGE_AFTER = 0.25
#: Seconds for which one that was silent is asked after the others.
_SILENT = 60.0


@dataclasses.dataclass(frozen=True)
class _Outcome(Generic[T]):
    """What one of them said, or why it said nothing."""

    name: str
    answer: T | None = None
    error: Exception | None = None


class Silence:
    """Remembers who has not answered lately. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def note(self, name: str) -> None:
        """Note that one is silent."""
        with self._lock:
            self._until[name] = time.monotonic() + _SILENT

    def end(self, name: str) -> None:
        """Note that one has answered."""
        with self._lock:
            self._until.pop(name, None)

    def last(self, names: Sequence[str]) -> list[str]:
        """The same names, with the silent ones at the end."""
        now = time.monotonic()
        with self._lock:
            self._until = {
                name: until
                for name, until in self._until.items()
                if until > now
            }
            return sorted(names, key=lambda name: name in self._until)


def first_answer(
    names: Sequence[str],
    ask: Callable[[str, float], T],
    *,
    timeout: float,
    silence: Silence,
    is_final: Callable[[T], bool] = lambda _answer: True,
) -> T | None:
    """Ask until one gives an answer.

    :param names: of those who can be asked, the first ones first; not empty.
    :param ask: asks one, which may take the seconds given. What it raises is
        the failure of that one; called in threads.
    :param timeout: seconds for all of it.
    :param silence: who has not answered before; noted here.
    :param is_final: False for an answer after which others are asked; it
        counts when they have no better one.
    :returns: None when there was none in time.
    :raises Exception: what ``ask`` raised first, when nobody answered.
    """
    asking = _Asking(silence.last(names)[:_MOST], ask, timeout, silence)
    kept: _Outcome[T] | None = None
    for outcome in iter(asking.next, None):
        if outcome.error is None:
            kept = outcome
            if is_final(outcome.answer):  # type: ignore[arg-type]
                break
        elif kept is None:
            kept = outcome
    if kept is None:
        return None
    if kept.error is not None:
        raise kept.error
    return kept.answer


class _Asking(Generic[T]):
    """Those who are asked, and what they have said."""

    def __init__(
        self,
        names: Sequence[str],
        ask: Callable[[str, float], T],
        timeout: float,
        silence: Silence,
    ) -> None:
        self._left = list(names)
        self._ask = ask
        self._deadline = time.monotonic() + timeout
        self._hedge_after = timeout * _HEDGE_AFTER
        self._silence = silence
        self._asked: set[str] = set()
        self._outcomes: queue.SimpleQueue[_Outcome[T]] = queue.SimpleQueue()

    def next(self) -> _Outcome[T] | None:
        """Wait for what the next one says.

        :returns: None when nobody is left who could say something in time.
        """
        if not self._asked:
            self._begin()
        while self._asked and self._seconds() > 0:
            try:
                outcome = self._outcomes.get(timeout=self._wait())
            except queue.Empty:
                for name in self._asked:
                    self._silence.note(name)
                self._begin()
                continue
            self._asked.discard(outcome.name)
            return outcome
        return None

    def _seconds(self) -> float:
        return self._deadline - time.monotonic()

    def _wait(self) -> float:
        seconds = self._seconds()
        return min(seconds, self._hedge_after) if self._left else seconds

    def _begin(self) -> None:
        if not self._left:
            return
        name = self._left.pop(0)
        self._asked.add(name)
        threading.Thread(
            target=self._run,
            args=(name, self._seconds()),
            name=f'ask-{name}',
            daemon=True,
        ).start()

    def _run(self, name: str, seconds: float) -> None:
        try:
            outcome = _Outcome(name, answer=self._ask(name, seconds))
            self._silence.end(name)
        except Exception as error:
            outcome = _Outcome(name, error=error)
        self._outcomes.put(outcome)
