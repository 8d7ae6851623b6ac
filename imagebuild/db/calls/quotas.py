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
"""Limits of a project that differ from the configured ones."""

from __future__ import annotations

from imagebuild.db import transaction
from imagebuild.db.queries import quotas


class QuotaCalls(transaction.Transactions):
    def get_quotas(self, project_id: str) -> dict[str, int]:
        """The limits that a project has of its own: resource -> limit."""
        return self._read(lambda session: quotas.of(session, project_id))

    def set_quota(
        self, project_id: str, resource: str, hard_limit: int | None
    ) -> None:
        """Give a project a limit of its own.

        :param resource: ``queued``, ``running``, ``stored_bytes``,
            ``builds`` or ``request_bytes``.
        :param hard_limit: -1 for unlimited, None to take it back.
        :raises InvalidInput: there is no such resource.
        """
        self._write(
            lambda session: quotas.put(
                session, project_id, resource, hard_limit
            )
        )
