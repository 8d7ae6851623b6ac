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
"""What code of others prints and logs, kept apart by thread.

Several plugins may run in one process, each in a thread (running machines are
looked at many at a time), while others print reports. There is one standard
output, and one logger of each name, for all of them: so one stand-in for each
asks in whose thread it is called.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import Literal
from typing import TextIO

Stream = Literal['stdout', 'stderr']
#: Takes a piece of output.
Take = Callable[[Stream, str], None]


def _lose(_stream: Stream, _text: str) -> None:
    pass


class _Takers:
    """Who takes what is printed in which thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        #: Thread -> takers, the innermost last. None: nobody, for now.
        self._of_thread: dict[int, list[Take | None]] = {}
        self._stdout: _Stdout | None = None
        self._loggers: dict[str, _Listened] = {}

    def find(self) -> Take | None:
        """Who takes what this thread prints; None for the real output.

        Of a thread that a plugin has started nobody knows whose it is: where
        several run, what it prints is lost rather than shown as another's.
        """
        with self._lock:
            ident = threading.get_ident()
            if ident in self._of_thread:
                return self._of_thread[ident][-1]
            if threading.current_thread() is threading.main_thread():
                return None
            if len(self._of_thread) == 1:
                [takers] = self._of_thread.values()
                return takers[0]
            return _lose if self._of_thread else None

    @contextlib.contextmanager
    def taking(self, take: Take | None) -> Iterator[None]:
        """Give a taker what this thread prints as long as the block lasts."""
        ident = threading.get_ident()
        with self._lock:
            self._of_thread.setdefault(ident, []).append(take)
            if self._stdout is None:
                self._stdout = _Stdout(sys.stdout)
                sys.stdout = self._stdout
        try:
            yield
        finally:
            with self._lock:
                self._of_thread[ident].pop()
                if not self._of_thread[ident]:
                    del self._of_thread[ident]
                if not self._of_thread and self._stdout is not None:
                    # Whoever has put something over it keeps that.
                    if sys.stdout is self._stdout:
                        sys.stdout = self._stdout.real
                    self._stdout = None

    @contextlib.contextmanager
    def listening(self, name: str) -> Iterator[None]:
        """Also take what a package's loggers are told."""
        with self._lock:
            if name not in self._loggers:
                self._loggers[name] = _Listened(name)
            listened = self._loggers[name]
            listened.count += 1
        try:
            yield
        finally:
            with self._lock:
                listened.count -= 1
                if not listened.count:
                    listened.close()
                    del self._loggers[name]


class _Stdout:
    """A standard output that asks who prints.

    :ivar real: the one before.
    """

    def __init__(self, real: TextIO) -> None:
        self.real = real

    def write(self, text: str) -> int:
        take = TAKERS.find()
        if take is None:
            return self.real.write(text)
        take('stdout', text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class _Listened:
    """The loggers of a package, while somebody takes what they are told."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self._logger = logging.getLogger(name)
        self._handler = _Handler(logging.INFO)
        self._level = self._logger.level
        self._propagates = self._logger.propagate
        self._logger.addHandler(self._handler)
        # Other handlers know nothing of secrets.
        self._logger.propagate = False
        if self._logger.getEffectiveLevel() > logging.INFO:
            self._logger.setLevel(logging.INFO)

    def close(self) -> None:
        self._logger.removeHandler(self._handler)
        self._logger.setLevel(self._level)
        self._logger.propagate = self._propagates


class _Handler(logging.Handler):
    """A handler of log records."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            take = TAKERS.find()
            if take is not None:
                take('stderr', f'{record.getMessage()}\n')
        # As any handler of the library does.
        except Exception:
            self.handleError(record)


TAKERS = _Takers()


@contextlib.contextmanager
def collecting(take: Take, package: str) -> Iterator[None]:
    """Take what this thread prints and logs as long as the block lasts.

    :param package: whose loggers are listened to.
    """
    with TAKERS.taking(take), TAKERS.listening(package):
        yield


def passing() -> contextlib.AbstractContextManager[None]:
    """Let what this thread prints reach the real output for a while."""
    return TAKERS.taking(None)
