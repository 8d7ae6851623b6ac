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
"""Uploads: images on their way to a destination."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from typing import Any

from imagebuild.db import records
from imagebuild.db import transaction
from imagebuild.db.queries import uploads


class UploadCalls(transaction.Transactions):
    def create_upload(self, values: Mapping[str, Any]) -> records.Upload:
        """Note an upload before Glance is called.

        :param values: columns; at least build_id and disk_format. Status
            is ``queued`` unless given, ``id`` is made unless given.
        :raises NotFound: there is no such build.
        """
        values = {'id': transaction.new_id(), **values}
        now = self._now()
        return self._write(
            lambda session: uploads.create(session, values, now)
        )

    def get_upload(
        self, id: str, *, project_id: str | None = None
    ) -> records.Upload:
        """Look an upload up.

        :raises NotFound: there is none (of that project), or its build was
            deleted.
        """
        return self._read(
            lambda session: uploads.get(session, id, project_id=project_id)
        )

    def list_uploads(
        self,
        *,
        project_id: str | None = None,
        build_id: str | None = None,
        status: str | Collection[str] | None = None,
        conductor: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[records.Upload]:
        """List uploads of builds that are not deleted, oldest first.

        :raises NotFound: there is no upload of the marker's id.
        """
        return self._read(
            lambda session: uploads.listed(
                session,
                project_id=project_id,
                build_id=build_id,
                status=status,
                conductor=conductor,
                limit=limit,
                marker=marker,
            )
        )

    def abandoned_uploads(self) -> list[tuple[records.Upload, str]]:
        """List uploads whose builds ended without them, deleted ones too.

        What they have put into a store is to be removed, and the upload
        given another status.

        :returns: oldest first, each with its build's content key.
        """
        return self._read(uploads.abandoned)

    def update_upload(
        self,
        id: str,
        values: Mapping[str, Any],
        *,
        conductor: str | None = None,
        attempt: int | None = None,
        expected_status: str | Collection[str] | None = None,
    ) -> bool:
        """Change an upload if it is as expected; as :meth:`update_build`."""
        now = self._now()
        return self._write(
            lambda session: uploads.update(
                session,
                id,
                values,
                now=now,
                conductor=conductor,
                attempt=attempt,
                expected_status=expected_status,
            )
        )

    def claim_upload(self, id: str, conductor: str) -> records.Upload | None:
        """Take a queued upload: ``uploading``, conductor, attempt + 1.

        :returns: the upload, None if another was first.
        """
        now = self._now()
        return self._write(
            lambda session: uploads.claim(session, id, conductor, now)
        )
