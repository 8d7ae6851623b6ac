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
"""Conductors: who is there, and what it can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagebuild.db import records
from imagebuild.db import transaction
from imagebuild.db.queries import conductors


class ConductorCalls(transaction.Transactions):
    def register_conductor(
        self, values: Mapping[str, Any]
    ) -> records.Conductor:
        """Say that a conductor is there; replaces an earlier entry.

        :param values: name, drivers, operating_systems (empty: all),
            architecture, slots, version.
        """
        now = self._now()
        return self._write(
            lambda session: conductors.register(session, values, now)
        )

    def heartbeat(
        self, name: str, *, running: int, status: str | None = None
    ) -> bool:
        """Say that a conductor lives.

        :param running: its running builds.
        :param status: ``up`` or ``draining``; None leaves it as it is.
        :returns: False if it is not registered, or was taken for dead:
            register again.
        """
        now = self._now()
        return self._write(
            lambda session: conductors.heartbeat(
                session, name, running=running, status=status, now=now
            )
        )

    def unregister(self, name: str) -> None:
        """Say that a conductor is ``down``, or is taken to be.

        What it held becomes an orphan (:meth:`orphans`).
        """
        self._write(lambda session: conductors.unregister(session, name))

    def list_conductors(
        self, alive_within: float | None = None
    ) -> list[records.Conductor]:
        """List conductors by name.

        :param alive_within: only those that are ``up`` or ``draining`` and
            were heard of in so many seconds; None for all.
        """
        since = None if alive_within is None else self._ago(alive_within)
        return self._read(lambda session: conductors.listed(session, since))

    def dead_conductors(self, seconds: float) -> list[records.Conductor]:
        """Conductors that should be there and were not heard of so long."""
        since = self._ago(seconds)
        return self._read(lambda session: conductors.dead(session, since))
