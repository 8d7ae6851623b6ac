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
"""Check, or reconcile, machines: many at a time, each for itself."""

from __future__ import annotations

import dataclasses
import enum
import queue
import threading
import time
from collections.abc import Callable
from collections.abc import Sequence

from imagebuild import exception
from imagebuild import manifest
from imagebuild.remotes import base
from imagebuild.remotes import ssh_settings

#: Seconds between two looks whether somebody wants to stop.
_TICK = 0.2


class Result(enum.StrEnum):
    """What came out for one machine.

    ``CONFORMS``: test-only, and everything holds. ``UNCHANGED``: reconcile,
    and everything held. ``RECONCILED``: what did not hold does now.
    ``DOES_NOT_CONFORM``: test-only, and something does not hold. ``FAILED``:
    a step failed, or the manifest is not for this machine. ``UNREACHABLE``:
    nothing is known, since it could not be reached or went away.
    """

    CONFORMS = 'conforms'
    UNCHANGED = 'unchanged'
    RECONCILED = 'reconciled'
    DOES_NOT_CONFORM = 'does-not-conform'
    FAILED = 'failed'
    UNREACHABLE = 'unreachable'


GOOD = frozenset({Result.CONFORMS, Result.UNCHANGED, Result.RECONCILED})


@dataclasses.dataclass(frozen=True)
class Check:
    """A machine, and what is to be true of it.

    :ivar name: what it is called in reports.
    :ivar target: how it is reached.
    :ivar what: the manifest or recipe, with the values for this machine.
    """

    name: str
    target: ssh_settings.Target
    what: manifest.Runnable


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came out for one machine.

    :ivar error: one message, '' if all is well. Hidden values are masked.
    :ivar report: of the steps, None if none was begun.
    :ivar seconds: wall time.
    """

    name: str
    result: Result
    error: str = ''
    report: manifest.Report | None = None
    seconds: float = 0.0


#: Gets into a machine.
Connect = Callable[[ssh_settings.Target], base.Remote]


class Checks:
    """Several machines, a bounded number of them at a time.

    :param connect: gets into a machine; it is closed here.
    :param reconcile: whether to change what does not hold.
    :param parallel: how many machines at a time.
    """

    def __init__(
        self, connect: Connect, *, reconcile: bool = False, parallel: int = 8
    ) -> None:
        self._connect = connect
        self._reconcile = reconcile
        self._parallel = parallel
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._open: set[base.Remote] = set()

    def run(
        self,
        checks: Sequence[Check],
        monitor: Callable[[Check], manifest.Monitor],
        on_end: Callable[[Outcome], None],
    ) -> list[Outcome]:
        """Look at all of them; returns when the last one has ended.

        :param monitor: gives the monitor of a machine, in its own thread.
        :param on_end: called in this thread when a machine has ended.
        :returns: in the order of ``checks``.
        :raises BaseException: what is raised in this thread (a signal);
            connections are closed then, and nothing more is begun.
        """
        waiting: queue.SimpleQueue[Check] = queue.SimpleQueue()
        for check in checks:
            waiting.put(check)
        ended: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()

        def work() -> None:
            while not self._stopped.is_set():
                try:
                    check = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    ended.put(self._one(check, monitor(check)))
                except BaseException as error:
                    # A defect; raised in the thread of whoever waits.
                    ended.put(error)

        # Daemons: who is interrupted does not wait for a hung machine.
        for _ in range(min(self._parallel, len(checks))):
            threading.Thread(target=work, daemon=True).start()
        outcomes: dict[str, Outcome] = {}
        try:
            while len(outcomes) < len(checks):
                try:
                    outcome = ended.get(timeout=_TICK)
                except queue.Empty:
                    continue
                if isinstance(outcome, BaseException):
                    raise outcome
                outcomes[outcome.name] = outcome
                on_end(outcome)
        finally:
            self.stop()
        return [outcomes[check.name] for check in checks]

    def stop(self) -> None:
        """Begin nothing more, and end what runs; from any thread."""
        self._stopped.set()
        with self._lock:
            left = list(self._open)
        for remote in left:
            remote.close()

    def _one(self, check: Check, monitor: manifest.Monitor) -> Outcome:
        start = time.monotonic()
        report: manifest.Report | None = None
        error = ''
        try:
            with self._connect(check.target) as remote:
                with self._lock:
                    self._open.add(remote)
                try:
                    report = check.what.run(
                        remote, reconcile=self._reconcile, monitor=monitor
                    )
                finally:
                    with self._lock:
                        self._open.discard(remote)
            result = self._good(report)
        except exception.ImageBuildError as caught:
            report = caught.report
            result, error = _bad(caught)
        return Outcome(
            check.name, result, error, report, time.monotonic() - start
        )

    def _good(self, report: manifest.Report) -> Result:
        if not self._reconcile:
            return Result.CONFORMS
        return Result.RECONCILED if report.changed else Result.UNCHANGED


def _bad(error: exception.ImageBuildError) -> tuple[Result, str]:
    if isinstance(error, exception.NotConforming):
        return Result.DOES_NOT_CONFORM, '\n'.join(map(str, error.failures))
    if isinstance(error, exception.EnvironmentFault):
        return Result.UNREACHABLE, str(error)
    return Result.FAILED, str(error)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """What a program exits with.

    :returns: 0 when all is well with all of them; 1 when one is known not to
        be as described, whatever is not known of others; else 3.
    """
    found = {outcome.result for outcome in outcomes}
    if found <= GOOD:
        return 0
    return 3 if found <= {*GOOD, Result.UNREACHABLE} else 1
