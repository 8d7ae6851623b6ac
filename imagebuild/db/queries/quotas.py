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
"""Quotas: the limits of projects, and holding them.

Limits are given by resource; -1 or none is no limit. Those of a project's own
are in the database, the others are the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from imagebuild import exception
from imagebuild.db import records
from imagebuild.db.channel_models import Channel
from imagebuild.db.models import Build
from imagebuild.db.models import Pipeline
from imagebuild.db.models import Quota
from imagebuild.db.queries import builds
from imagebuild.db.queries import images
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

RESOURCES = (
    'queued', 'running', 'stored_bytes', 'builds', 'request_bytes',
    'pipelines', 'channels',
)  # fmt: skip


@reader
def get_quotas(session: Session, project_id: str) -> dict[str, int]:
    """The limits that a project has of its own: resource -> limit."""
    query = sa.select(Quota.resource, Quota.hard_limit).where(
        Quota.project_id == project_id
    )
    return {row.resource: row.hard_limit for row in session.execute(query)}


@writer
def set_quota(
    session: Session, project_id: str, resource: str, hard_limit: int | None
) -> None:
    """Give a project a limit of its own.

    :param resource: ``queued``, ``running``, ``stored_bytes``,
        ``builds``, ``request_bytes``, ``pipelines`` or ``channels``.
    :param hard_limit: -1 for unlimited, None to take it back.
    :raises InvalidInput: there is no such resource.
    """
    if resource not in RESOURCES:
        raise exception.InvalidInput(
            f'There is no quota for {resource}; there are '
            f'{", ".join(RESOURCES)}.'
        )
    row = session.get(Quota, (project_id, resource))
    if hard_limit is None:
        if row is not None:
            session.delete(row)
        return
    if row is None:
        row = Quota(project_id=project_id, resource=resource)
        session.add(row)
    row.hard_limit = hard_limit
    with rows.retry_on_duplicate():
        session.flush()


@reader
def check_growth(
    session: Session,
    build: records.Build,
    request: Mapping[str, Any],
    quotas: Mapping[str, int],
) -> None:
    """See that a build's request may become another one.

    Not what changes it, so requests at the same time may go beyond the
    limit by as much as they add.

    :param request: what it is to be.
    :param quotas: as of ``create_build``.
    :raises QuotaExceeded: the project would keep too many bytes.
    """
    more = builds.size_of(request) - builds.size_of(build.request)
    if more > 0:
        limits = {**quotas, **get_quotas(session, build.project_id)}
        check_kept(session, build.project_id, {'request_bytes': more}, limits)


def check_kept(
    session: Session,
    project_id: str,
    wanted: Mapping[str, int],
    limits: Mapping[str, int],
) -> None:
    """See that a project may keep so much more.

    :param wanted: ``builds`` and ``request_bytes`` that come to what is
        there; those that are not named are not looked at.
    :param limits: by resource; -1 or none is no limit.
    :raises QuotaExceeded: it may not.
    """
    if all(limits.get(resource, -1) < 0 for resource in wanted):
        # Counted only if there is a limit: then there are not many more.
        return
    kept = sa.select(sa.func.count(), sa.func.sum(Build.request_size)).where(
        Build.project_id == project_id, rows.LIVE
    )
    count, size = session.execute(kept).one()
    counted = {'builds': int(count), 'request_bytes': int(size or 0)}
    for resource, more in wanted.items():
        limit, used = limits.get(resource, -1), counted[resource]
        if limit >= 0 and used + more > limit:
            raise exception.QuotaExceeded(
                project=project_id, resource=resource, limit=limit, used=used
            )


def check_pipeline(
    session: Session,
    project_id: str,
    more: int,
    quotas: Mapping[str, int],
    *,
    new: bool = True,
) -> None:
    """See that a project may keep a pipeline.

    :param more: bytes of its request, beyond those that are there already.
    :param quotas: the limits of a project that has none of its own.
    :param new: whether it is one more.
    :raises QuotaExceeded: the project would keep too many pipelines, or
        bytes of their requests.
    """
    limits = {**quotas, **get_quotas(session, project_id)}
    kept = sa.select(
        sa.func.count(), sa.func.sum(Pipeline.request_size)
    ).where(Pipeline.project_id == project_id)
    count, size = session.execute(kept).one()
    used = {'pipelines': int(count), 'request_bytes': int(size or 0)}
    wanted = {'pipelines': int(new), 'request_bytes': more}
    for resource, number in wanted.items():
        limit = limits.get(resource, -1)
        if number > 0 and limit >= 0 and used[resource] + number > limit:
            raise exception.QuotaExceeded(
                project=project_id,
                resource=resource,
                limit=limit,
                used=used[resource],
            )


def check_channels(
    session: Session,
    project_id: str,
    quotas: Mapping[str, int],
    *,
    besides: str | None,
) -> None:
    """See that a project may have one more channel.

    :param besides: id of a row that is there and does not count.
    :param quotas: the limits of a project that has none of its own.
    :raises QuotaExceeded: it may not.
    """
    limits = {**quotas, **get_quotas(session, project_id)}
    limit = limits.get('channels', -1)
    if limit < 0:
        return
    # Those that were deleted count until their tags are gone.
    used = int(
        session.scalar(
            sa.select(sa.func.count()).where(
                Channel.project_id == project_id, Channel.id != (besides or '')
            )
        )
        or 0
    )
    if used >= limit:
        raise exception.QuotaExceeded(
            project=project_id, resource='channels', limit=limit, used=used
        )


def check_queued(
    session: Session, project_id: str, limits: Mapping[str, int]
) -> None:
    """See that a project may queue one more build.

    :raises QuotaExceeded: it may not.
    """
    # Counted only if there is a limit: sums over many rows are not free.
    counters: dict[str, Callable[[], int]] = {
        'queued': lambda: _queued(session, project_id),
        'stored_bytes': lambda: images.stored_bytes(session, project_id),
    }
    for resource, count in counters.items():
        limit = limits.get(resource, -1)
        if limit >= 0 and (used := count()) >= limit:
            raise exception.QuotaExceeded(
                project=project_id, resource=resource, limit=limit, used=used
            )


def _queued(session: Session, project_id: str) -> int:
    query = sa.select(sa.func.count()).where(
        Build.project_id == project_id, Build.status == 'queued', rows.LIVE
    )
    return session.scalar(query) or 0
