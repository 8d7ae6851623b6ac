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
"""Builds as a queue: which a conductor may have, claiming one, requeueing."""

from __future__ import annotations

from collections.abc import Collection

from imagebuild.db import records
from imagebuild.db import transaction
from imagebuild.db.queries import claims
from imagebuild.db.queries import endings


class ClaimCalls(transaction.Transactions):
    def claimable(
        self,
        *,
        drivers: Collection[str],
        operating_systems: Collection[str] = (),
        architecture: str,
        running_limit: int = -1,
        limit: int = 20,
    ) -> list[str]:
        """Find queued builds that a conductor could take, best first.

        Order: priority (high first); projects with few running builds
        first, where builds earlier in the answer count as running; age.
        Left out are followers, builds to be cancelled, and projects at
        their quota ``running``.

        :param operating_systems: names, empty for all. Builds on a base
            image of the request (os '') are for every conductor.
        :param architecture: builds with '' are for every one.
        :param running_limit: for projects without a quota of their own in
            the database; -1 for none.
        :returns: ids for :meth:`claim`, which others may claim meanwhile.
        """
        wanted = claims.Wanted(
            drivers=tuple(drivers),
            operating_systems=tuple(operating_systems),
            architecture=architecture,
            running_limit=running_limit,
        )
        return self._read(
            lambda session: claims.claimable(session, wanted, limit)
        )

    def claim(
        self, id: str, conductor: str, *, running_limit: int = -1
    ) -> records.Build | None:
        """Take a queued build; of several conductors exactly one gets it.

        Sets status ``building``, conductor, claimed_at, started_at (the
        first time) and attempt + 1; a later call of the same conductor is
        fenced by that attempt.

        :param running_limit: as in :meth:`claimable`; checked again.
        :returns: the build, None if it cannot be had (any more).
        """
        now = self._now()
        return self._write(
            lambda session: claims.claim(
                session, id, conductor, running_limit=running_limit, now=now
            )
        )

    def requeue_build(
        self,
        id: str,
        *,
        conductor: str,
        attempt: int,
        reason: str,
        counts: bool = True,
    ) -> bool:
        """Put a running build back into the queue.

        By its conductor when it drains, by any other when that one is dead.
        A build to be cancelled or deleted becomes just that instead.

        :param reason: a sentence for the build's events and status_reason.
        :param counts: whether the attempt is held against the build.
        :returns: False when that conductor and attempt have it no more.
        """
        now = self._now()
        return self._write(
            lambda session: endings.requeue(
                session,
                id,
                conductor=conductor,
                attempt=attempt,
                reason=reason,
                counts=counts,
                now=now,
            )
        )

    def builds_of(self, conductor: str) -> list[records.Build]:
        """Every running build (``deleting`` ones too) of a conductor."""
        return self._read(lambda session: claims.held_by(session, conductor))

    def orphans(self, seconds: float) -> list[records.Build]:
        """Running builds whose conductor is dead, down or unknown.

        :param seconds: how long without a heartbeat makes a conductor dead.
        """
        since = self._ago(seconds)
        return self._read(lambda session: claims.orphans(session, since))
