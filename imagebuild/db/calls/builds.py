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
"""Builds: made, looked at, changed, ended."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild.db import records
from imagebuild.db import transaction
from imagebuild.db.queries import builds
from imagebuild.db.queries import creation
from imagebuild.db.queries import endings
from imagebuild.db.queries import purge
from imagebuild.db.queries import quotas as quota_queries


class BuildCalls(transaction.Transactions):
    def create_build(
        self,
        values: Mapping[str, Any],
        *,
        quotas: Mapping[str, int] | None = None,
    ) -> records.Build:
        """Take in a request: reuse an image, follow a build, or queue one.

        With ``reuse`` ``always``, in this order: an active image of the
        project with the same content key, not older than ``max_age``, makes
        the build ``active`` at once (``reused_from``, ``image_row_id``); a
        build of the same content that has not ended becomes its leader
        (``leader_id``; never claimed); else it is queued and leads the
        others. Of any number of calls at once exactly one leads.

        :param values: columns of the build; at least project_id, user_id,
            name, driver, architecture, request, content_key, base and
            timeout. ``id`` is made when it is not given.
        :param quotas: the limits of a project that has none of its own in
            the database, by resource: ``queued`` (followers count, builds
            that reuse do not), ``stored_bytes``, ``builds`` (rows that are
            not deleted) and ``request_bytes`` (of these, with the new one);
            -1 or none is no limit.
        :raises QuotaExceeded: nothing was made.
        """
        values = {'id': transaction.new_id(), **values}
        now = self._now()
        return self._write(
            lambda session: creation.create(session, values, quotas or {}, now)
        )

    def check_growth(
        self,
        build: records.Build,
        request: Mapping[str, Any],
        quotas: Mapping[str, int],
    ) -> None:
        """See that a build's request may become another one.

        Not what changes it, so requests at the same time may go beyond the
        limit by as much as they add.

        :param request: what it is to be.
        :param quotas: as of :meth:`create_build`.
        :raises QuotaExceeded: the project would keep too many bytes.
        """
        more = builds.size_of(request) - builds.size_of(build.request)
        if more > 0:
            self._read(
                lambda session: creation.check_kept(
                    session,
                    build.project_id,
                    {'request_bytes': more},
                    {**quotas, **quota_queries.of(session, build.project_id)},
                )
            )

    def get_build(
        self, id: str, *, project_id: str | None = None
    ) -> records.Build:
        """Look a build up.

        :param project_id: only if it is this project's; None for any.
        :raises NotFound: there is none, or it was deleted.
        """
        return self._read(
            lambda session: builds.get(session, id, project_id=project_id)
        )

    def list_builds(
        self,
        *,
        project_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        sort: Sequence[tuple[str, str]] = (),
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[records.Build]:
        """List builds that are not deleted.

        :param project_id: only this project's; None for all.
        :param filters: column -> value or collection of values (any of
            them); see ``queries.builds.FILTERS``.
        :param sort: pairs of a column (``records.SORT_KEYS``) and
            ``asc`` or ``desc``; default: newest first.
        :param limit: at most so many.
        :param marker: id of the last build of the page before.
        :raises InvalidInput: an unknown filter, sort key or direction.
        :raises NotFound: there is no build of the marker's id.
        """
        return self._read(
            lambda session: builds.listed(
                session,
                project_id=project_id,
                filters=filters or {},
                sort=sort,
                limit=limit,
                marker=marker,
            )
        )

    def page_of_builds(
        self,
        *,
        limit: int,
        max_bytes: int,
        project_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        sort: Sequence[tuple[str, str]] = (),
        marker: str | None = None,
    ) -> tuple[list[records.Build], bool]:
        """List builds as :meth:`list_builds` does, within some memory.

        :param limit: at most so many.
        :param max_bytes: of what the builds hold; the page ends before the
            build that goes beyond it, but holds at least one.
        :returns: the builds, and whether there are more.
        :raises InvalidInput: an unknown filter, sort key or direction.
        :raises NotFound: there is no build of the marker's id.
        """
        return self._read(
            lambda session: builds.page(
                session,
                project_id=project_id,
                filters=filters or {},
                sort=sort,
                limit=limit,
                max_bytes=max_bytes,
                marker=marker,
            )
        )

    def update_build(
        self,
        id: str,
        values: Mapping[str, Any],
        *,
        conductor: str | None = None,
        attempt: int | None = None,
        expected_status: str | Collection[str] | None = None,
    ) -> bool:
        """Change columns of a build if it is still as expected.

        :param conductor: only while this conductor has it.
        :param attempt: only while this is its attempt.
        :param expected_status: only in this status, or one of these.
        :returns: whether it was changed. False to a conductor means that
            the build is no longer its own (or is being deleted).
        :raises ValueError: there is no such column, or it is not to be
            changed this way.
        """
        now = self._now()
        return self._write(
            lambda session: builds.update(
                session,
                id,
                values,
                now=now,
                conductor=conductor,
                attempt=attempt,
                expected_status=expected_status,
            )
        )

    def finish_build(
        self,
        id: str,
        *,
        conductor: str,
        attempt: int,
        status: str,
        reason: str = '',
        fault: str | None = None,
        image: Mapping[str, Any] | None = None,
    ) -> records.Build | None:
        """End a running build, and give what came of it to its followers.

        ``active``: the followers get its image. ``error`` with fault
        ``user``: the same content would fail the same way, so they get the
        same error. Else the oldest follower is promoted: it is claimable,
        and the others follow it. Secrets are wiped.

        A build in status ``deleting`` is deleted, whatever ``status`` says;
        an image that it made all the same is left ``deleting`` for
        :meth:`images_without_users`.

        :param status: ``active``, ``error`` or ``cancelled``.
        :param image: the image in this cloud, for ``active``: image_id,
            disk_format, container_format, size, os_hash_algo and
            os_hash_value; more by :meth:`add_image`.
        :returns: the build as it is now (``deleted_at`` is set if it was to
            be deleted); None when this conductor and attempt do not have it
            any more: nothing was done.
        """
        now = self._now()
        return self._write(
            lambda session: endings.finish(
                session,
                id,
                endings.Ending(
                    status=status,
                    reason=reason,
                    fault=fault,
                    image=dict(image) if image else None,
                    now=now,
                ),
                conductor=conductor,
                attempt=attempt,
            )
        )

    def list_ended_with(self, build: records.Build) -> list[records.Build]:
        """List the followers that ended when a build did.

        :param build: as :meth:`finish_build` returned it.
        """
        return self._read(lambda session: builds.ended_with(session, build))

    def earlier_builds(
        self, build: records.Build, limit: int
    ) -> list[records.EarlierBuild]:
        """List what made images like that of a build, the newest first.

        Of the same project, operating system, driver and architecture;
        deleted ones count until they are purged.

        :param limit: at most so many.
        """
        return self._read(
            lambda session: builds.earlier(session, build, limit)
        )

    def request_cancel(self, id: str) -> records.Build:
        """Cancel a build: a queued one now, a running one by its conductor.

        :returns: the build afterwards: ``cancelled``; or running with
            ``cancel_requested``, for its conductor to see to; or, if it had
            ended before, unchanged.
        :raises NotFound: there is none.
        """
        now = self._now()
        return self._write(lambda session: endings.cancel(session, id, now))

    def delete_build(self, id: str) -> records.Image | None:
        """Delete a build.

        One that no conductor has is deleted now (not found any more). A
        running one becomes ``deleting`` with ``cancel_requested``, and its
        conductor's :meth:`finish_build` deletes it. Its followers go on with
        a new leader in both cases. Deleting twice is no error while it is
        ``deleting``.

        :returns: the image in this cloud that lost its last user, now
            ``deleting``: a conductor has to delete it in Glance, and to say
            :meth:`image_deleted` then. None if there is none.
        :raises NotFound: there is no such build.
        """
        now = self._now()
        return self._write(lambda session: endings.delete(session, id, now))

    def count_builds(self) -> dict[tuple[str, str | None], int]:
        """Count builds that are not deleted, by status and fault."""
        return self._read(builds.counts)

    def oldest_queued(self) -> datetime.datetime | None:
        """When the longest waiting build (no follower) was created."""
        return self._read(builds.oldest_queued)

    def purge(self, older_than: datetime.datetime) -> int:
        """Remove for good what nobody can use any more.

        Builds deleted, or ended ``error`` or ``cancelled``, before that time
        with their logs, steps, events and uploads; deleted images;
        conductors that were not heard of since. Many small transactions.

        :param older_than: naive UTC.
        :returns: how many builds were removed.
        """
        removed = 0
        while True:
            batch = self._write(
                lambda session: purge.some_builds(session, older_than)
            )
            removed += batch
            if batch < purge.BATCH:
                break
        self._write(lambda session: purge.the_rest(session, older_than))
        return removed
