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
"""The claim that an upload is made under."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagebuild import db
from imagebuild import exception
from imagebuild.common import host_paths
from imagebuild.conductor import claims
from imagebuild.conductor import retry_policy

_LONGEST_REASON = 4000


class UploadClaim:
    """An upload that this conductor holds, and every change to it.

    A change that finds it held by another raises :class:`claims.ClaimLost`.

    :ivar shows: whether its progress is that of the build, too.
    """

    def __init__(
        self,
        database: db.Database,
        job: db.Job,
        build: db.Build,
        retry: retry_policy.RetryPolicy,
        paths: host_paths.HostPaths,
        *,
        shows: bool,
    ) -> None:
        self._paths = paths
        self._database = database
        self._retry = retry
        self.shows = shows
        self._holder: claims.Holder = {
            'conductor': job.conductor or '',
            'attempt': job.attempt,
        }
        self.job = job
        self.build = build

    def update(self, values: Mapping[str, Any]) -> None:
        """Change columns of the build, if its progress is ours to show.

        :raises ClaimLost: it is no longer uploading.
        :raises DatabaseUnavailable: it is not known whether it was done.
        """
        if self.shows and not self._database.update_build(
            self.build.id, values, expected_status='uploading'
        ):
            self.look()

    def note(self, values: Mapping[str, Any]) -> bool:
        """Change columns of the upload's row.

        :returns: False without the database.
        :raises ClaimLost: it is no longer ours.
        """
        try:
            if not self._database.update_upload(
                self.job.id,
                values,
                expected_status='uploading',
                **self._holder,
            ):
                self.look()
        except exception.DatabaseUnavailable:
            return False
        return True

    def look(self) -> None:
        """See whether it still is ours and wanted.

        :raises ClaimLost: it is not ours.
        :raises Cancelled: it is, and somebody wants it stopped.
        :raises DatabaseUnavailable: not known.
        """
        try:
            now = self._database.get_job(self.job.id)
        except exception.NotFound as error:
            raise claims.ClaimLost('the upload was removed') from error
        found = {'conductor': now.conductor, 'attempt': now.attempt}
        if found != self._holder or now.state != 'running':
            raise claims.ClaimLost(
                f'the upload is {now.state}, attempt {now.attempt} of '
                f'{now.conductor or "nobody"}'
            )
        if now.cancel_requested:
            raise claims.Cancelled('cancelled on request')
        try:
            build = self._database.get_build(self.build.id)
        except exception.NotFound as error:
            raise claims.Cancelled('the build was deleted') from error
        if build.cancel_requested or build.status == 'deleting':
            raise claims.Cancelled('cancelled on request')

    def finish(self, outcome: db.UploadOutcome) -> db.Build:
        """End the upload; see ``Database.finish_upload``.

        :returns: the build as it is now.
        :raises ClaimLost: it is no longer ours; nothing was done.
        """
        build = self._retry.until_available(
            'the end of an upload',
            lambda: self._database.finish_upload(
                self.job.id, outcome, **self._holder
            ),
        )
        if build is None:
            raise claims.ClaimLost('the upload has another owner')
        return build

    def release(
        self, reason: str, *, counts: bool = True, delay: float = 0
    ) -> None:
        """Give the upload back to the queue.

        :param counts: whether the attempt is held against it.
        :param delay: seconds that it waits there.
        :raises ClaimLost: it is no longer ours.
        """
        if not self._retry.until_available(
            'handing back',
            lambda: self._database.requeue_upload(
                self.job.id,
                **self._holder,
                reason=self.shown(reason),
                counts=counts,
                delay=delay,
            ),
        ):
            raise claims.ClaimLost('the upload has another owner')

    def shown(self, reason: str) -> str:
        """A reason as users may see it."""
        return self._paths.hide(reason)[:_LONGEST_REASON]
