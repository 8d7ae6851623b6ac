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
"""The one door to the database."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from imagebuild import exception
from imagebuild.db import engine
from imagebuild.db import migration
from imagebuild.db import transaction
from imagebuild.db.calls import builds
from imagebuild.db.calls import claims
from imagebuild.db.calls import conductors
from imagebuild.db.calls import history
from imagebuild.db.calls import images
from imagebuild.db.calls import quotas
from imagebuild.db.calls import uploads


class Database(
    builds.BuildCalls,
    claims.ClaimCalls,
    images.ImageCalls,
    uploads.UploadCalls,
    conductors.ConductorCalls,
    history.HistoryCalls,
    quotas.QuotaCalls,
):
    """A database of the service; may be used by many threads at once.

    Nothing is connected to before the first call. A connection that was lost
    is made anew by the call that finds it so. Every call is one transaction
    (unless it says otherwise) and may raise
    :class:`exception.DatabaseUnavailable`: the server is gone, locked or
    full, and retrying for a bounded time did not help. After that the call
    may have happened or not. The retries themselves never do a thing twice,
    also when the connection breaks at the commit.

    Times come from the caller's clock, never from the server's, so the hosts
    of a deployment need synchronised clocks (within a few seconds).

    :param connection: an SQLAlchemy URL, such as
        ``sqlite:////var/lib/imagebuild/imagebuild.sqlite``,
        ``mysql+pymysql://...`` or ``postgresql+psycopg://...``.
    :param clock: gives the time in naive UTC; tests bring their own.
    :param pool: sizes and times of the connection pool.
    :param retries: how long a call tries before it gives up.
    """

    def __init__(
        self,
        connection: str,
        *,
        clock: Callable[[], datetime.datetime] | None = None,
        pool: engine.PoolSettings | None = None,
        retries: transaction.Retries | None = None,
    ) -> None:
        super().__init__(
            engine.create(connection, pool or engine.PoolSettings()),
            clock=clock,
            retries=retries or transaction.Retries(),
        )

    def ping(self) -> None:
        """See whether the database answers; one try, no retries.

        :raises DatabaseUnavailable: it does not.
        """
        self._ping()

    def check_tables(self) -> None:
        """See whether the tables are there and new enough; one try.

        :raises TablesMissing: they are not.
        :raises DatabaseUnavailable: the database does not answer.
        """
        reason = migration.missing(self._revision())
        if reason:
            raise exception.TablesMissing(reason=reason)

    def close(self) -> None:
        """Close the connections that no call uses; calls may follow."""
        self._engine.dispose()
