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
"""Taking in a request."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from imagebuild import exception
from imagebuild.db import models
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.queries import builds
from imagebuild.db.queries import common
from imagebuild.db.queries import events
from imagebuild.db.queries import flights
from imagebuild.db.queries import images
from imagebuild.db.queries import purge
from imagebuild.db.queries import quotas


def create(
    session: orm.Session,
    values: Mapping[str, Any],
    limits: Mapping[str, int],
    now: datetime.datetime,
) -> records.Build:
    common.lock_project(session, values['project_id'])
    earlier = builds.row(session, values['id'])
    if earlier is not None:
        return _made_before(session, earlier, now)
    build = Build(
        **common.own_columns(Build, values), created_at=now, updated_at=now
    )
    build.reuse = build.reuse or 'always'
    build.request_size = builds.size_of(build.request)
    limits = {**limits, **quotas.of(session, build.project_id)}
    _check_new(session, build, limits)
    if (kept := limits.get('builds', -1)) >= 0:
        purge.deleted_builds_beyond(session, build.project_id, kept)
    image = _reusable(session, build, now)
    if image is not None:
        _use(build, image, now)
    else:
        _check_quotas(session, build.project_id, limits)
        build.status = 'queued'
        if build.reuse == 'always':
            flights.join(session, build)
    with common.retry_on_duplicate():
        session.add(build)
        session.flush()
        if build.reuse == 'always' and build.status == 'queued':
            flights.lead(session, build)
            session.flush()
    events.add_status(session, build, _how(build), now)
    return builds.as_record(session, build)


def _made_before(
    session: orm.Session, earlier: models.Build, now: datetime.datetime
) -> records.Build:
    if not common.is_retry(session) or earlier.created_at != now:
        raise exception.Conflict(
            what='Build',
            id=earlier.id,
            status=earlier.status,
            reason='there is one of this id already',
        )
    # By this very call, in a run whose end was lost.
    return builds.as_record(session, earlier)


def _reusable(
    session: orm.Session, build: models.Build, now: datetime.datetime
) -> models.Image | None:
    if build.reuse != 'always':
        return None
    since = None
    if build.max_age is not None:
        since = now - datetime.timedelta(seconds=build.max_age)
    return images.reusable(
        session, build.project_id, build.content_key, since=since
    )


def _use(
    build: models.Build, image: models.Image, now: datetime.datetime
) -> None:
    build.status = 'active'
    build.image_row_id = image.id
    build.reused_from = image.build_id
    build.size = image.size
    build.os_hash_algo = image.os_hash_algo
    build.os_hash_value = image.os_hash_value
    build.secrets = None
    build.finished_at = now


def _check_new(
    session: orm.Session, build: models.Build, limits: Mapping[str, int]
) -> None:
    """See that there is room for one more row, whoever makes its image."""
    wanted = {'builds': 1, 'request_bytes': build.request_size}
    check_kept(session, build.project_id, wanted, limits)


def check_kept(
    session: orm.Session,
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
    kept = sa.select(sa.func.count(), sa.func.sum(Build.request_size)).where(
        Build.project_id == project_id, builds.LIVE
    )
    count, size = session.execute(kept).one()
    counted = {'builds': int(count), 'request_bytes': int(size or 0)}
    for resource, more in wanted.items():
        limit, used = limits.get(resource, -1), counted[resource]
        if limit >= 0 and used + more > limit:
            raise exception.QuotaExceeded(
                project=project_id,
                resource=resource,
                limit=limit,
                used=used,
            )


def _check_quotas(
    session: orm.Session, project_id: str, limits: Mapping[str, int]
) -> None:
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


def _queued(session: orm.Session, project_id: str) -> int:
    query = sa.select(sa.func.count()).where(
        Build.project_id == project_id,
        Build.status == 'queued',
        builds.LIVE,
    )
    return session.scalar(query) or 0


def _how(build: models.Build) -> str:
    if build.reused_from:
        return f'active: the image of build {build.reused_from} is reused'
    if build.leader_id:
        return f'queued: waits for build {build.leader_id} of the same content'
    return 'queued'
