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

from collections.abc import Mapping
from typing import Any

from imagebuild import exception
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Image
from imagebuild.db.queries import builds
from imagebuild.db.queries import history
from imagebuild.db.queries import images
from imagebuild.db.queries import jobs
from imagebuild.db.queries import quotas
from imagebuild.db.queries import retention
from imagebuild.db.queries import rows
from imagebuild.db.queries import single_flight
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import writer


@writer
def create_build(
    session: Session,
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
    :raises Conflict: there is a build of this id.
    :raises ValueError: there is no such column.
    """
    values = {'id': session.call.row_id, **values}
    # Before anything is counted: quotas and flights are the project's.
    rows.lock_project(session, values['project_id'])
    earlier = rows.build(session, values['id'])
    if earlier is not None:
        return _made_before(session, earlier)
    build = _new_row(session, values)
    limits = _limits(session, build, quotas or {})
    _check_kept(session, build, limits)
    image = _reusable(session, build)
    if image is not None:
        _use(session, build, image)
    else:
        _queue(session, build, limits)
    with rows.retry_on_duplicate():
        session.add(build)
        session.flush()
        if build.reuse == 'always' and build.status == 'queued':
            # Its key is unique: of two that would lead one gets an error
            # here, runs again, and follows.
            single_flight.lead(session, build)
            session.flush()
    if build.status == 'queued' and build.leader_id is None:
        jobs.enqueue_build(session, build)
    history.note_status(session, build, _how(build))
    return rows.build_record(session, build)


def _new_row(session: Session, values: Mapping[str, Any]) -> Build:
    build = Build(
        **rows.own_columns(Build, values),
        created_at=session.now,
        updated_at=session.now,
    )
    build.reuse = build.reuse or 'always'
    build.request_size = builds.size_of(build.request)
    return build


def _made_before(session: Session, earlier: Build) -> records.Build:
    if not session.did(earlier.created_at):
        raise exception.Conflict(
            what='Build',
            id=earlier.id,
            status=earlier.status,
            reason='there is one of this id already',
        )
    return rows.build_record(session, earlier)


def _limits(
    session: Session, build: Build, given: Mapping[str, int]
) -> dict[str, int]:
    return {**given, **quotas.get_quotas(session, build.project_id)}


def _check_kept(
    session: Session, build: Build, limits: Mapping[str, int]
) -> None:
    """See that there is room for one more row, whoever makes its image."""
    wanted = {'builds': 1, 'request_bytes': build.request_size}
    quotas.check_kept(session, build.project_id, wanted, limits)
    if (kept := limits.get('builds', -1)) >= 0:
        retention.purge_deleted_beyond(session, build.project_id, kept)


def _reusable(session: Session, build: Build) -> Image | None:
    if build.reuse != 'always':
        return None
    return images.reusable(
        session, build.project_id, build.content_key, build.max_age
    )


def _use(session: Session, build: Build, image: Image) -> None:
    build.status = 'active'
    build.image_row_id = image.id
    build.reused_from = image.build_id
    build.size = image.size
    build.os_hash_algo = image.os_hash_algo
    build.os_hash_value = image.os_hash_value
    # It is part of the key: whoever made the image has booted it so.
    maker = rows.build(session, image.build_id)
    build.boot_test = maker.boot_test if maker else None
    build.secrets = None
    build.finished_at = session.now


def _queue(session: Session, build: Build, limits: Mapping[str, int]) -> None:
    quotas.check_queued(session, build.project_id, limits)
    build.status = 'queued'
    if build.reuse == 'always':
        single_flight.join(session, build)


def _how(build: Build) -> str:
    if build.reused_from:
        return f'active: the image of build {build.reused_from} is reused'
    if build.leader_id:
        return f'queued: waits for build {build.leader_id} of the same content'
    return 'queued'
