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
"""What a build did: its log, its steps, its events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagebuild.db import records
from imagebuild.db import transaction
from imagebuild.db.queries import events
from imagebuild.db.queries import logs
from imagebuild.db.queries import statistics
from imagebuild.db.queries import steps

#: Bytes of a log that one call of read_log gives at most, unless told.
READ_LIMIT = 1024 * 1024


class HistoryCalls(transaction.Transactions):
    def statistics(self) -> records.Statistics:
        """Add up steps, reuses and uploads of all builds that are kept."""
        return self._read(statistics.statistics)

    def append_log(self, build_id: str, text: str, max_size: int = -1) -> int:
        """Write to the end of a build's log.

        Characters that a database cannot hold (NUL, lone surrogates) are
        replaced.

        :param max_size: bytes; what would go beyond is dropped, and one
            line says so. -1 for no limit.
        :returns: the size of the log now, in bytes of UTF-8.
        :raises NotFound: there is no such build (deleted ones are).
        """
        appending = logs.Appending(build_id, text, max_size)
        return self._write(appending.run)

    def read_log(
        self, build_id: str, offset: int = 0, limit: int = READ_LIMIT
    ) -> tuple[str, int]:
        """Read a part of a build's log.

        Characters are never split: an offset inside of one is moved to the
        next, and the last one fits into the limit (one that is longer than
        the whole limit is given all the same).

        :param offset: where to begin, in bytes of UTF-8.
        :param limit: at most so many bytes.
        :returns: the text, and the offset to go on from; '' at the end.
        :raises NotFound: there is no such build.
        """
        return self._read(
            lambda session: logs.read(session, build_id, offset, limit)
        )

    def add_step(self, build_id: str, values: Mapping[str, Any]) -> None:
        """Note a finished step.

        :param values: attempt, number, path, validator, description,
            result, seconds, message, output.
        :raises NotFound: there is no such build.
        """
        now = self._now()
        self._write(lambda session: steps.add(session, build_id, values, now))

    def list_steps(
        self, build_id: str, *, attempt: int | None = None
    ) -> list[records.Step]:
        """Steps in the order in which they were noted.

        :param attempt: only of that attempt; None for all.
        """
        return self._read(
            lambda session: steps.listed(session, build_id, attempt)
        )

    def add_event(
        self, build_id: str, message: str, *, kind: str = 'note'
    ) -> None:
        """Note something that happened to a build.

        Changes of status by claim, requeue, finish, cancel and delete are
        noted by those calls themselves.

        :param kind: ``status``, ``fault``, ``conductor`` or ``note``.
        :raises NotFound: there is no such build.
        """
        now = self._now()
        self._write(
            lambda session: events.add(session, build_id, kind, message, now)
        )

    def list_events(self, build_id: str) -> list[records.Event]:
        """Events in the order in which they were noted."""
        return self._read(lambda session: events.listed(session, build_id))
