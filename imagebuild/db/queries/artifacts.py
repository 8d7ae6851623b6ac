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
"""Artifacts: finished images in the repositories of conductors.

The directory is believed, and the rows follow it: a conductor tells of what it
puts in, removes and finds. One thing is decided here: whether a file may go
(:func:`retire_artifact`).
"""

from __future__ import annotations

import datetime
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from imagebuild.common import statuses
from imagebuild.db import records
from imagebuild.db.models import Artifact
from imagebuild.db.models import Build
from imagebuild.db.models import Image
from imagebuild.db.models import Job
from imagebuild.db.models import Upload
from imagebuild.db.queries import jobs
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

#: Artifacts in one list of a conductor.
MOST = 50_000
#: Rows in one statement.
_BATCH = 500
_AT_ONCE = 100
_CHANGES = ('status', 'status_reason', 'size', 'os_hash_algo', 'os_hash_value')
_PENDING = ('queued', 'uploading')


@writer
def add_artifact(
    session: Session,
    repository_id: str,
    conductor: str,
    values: Mapping[str, Any],
) -> records.Artifact:
    """Note a file that was put into a repository; may be called again.

    :param values: columns: id, build_id, project_id, disk_format, size,
        virtual_size, os_hash_algo and os_hash_value; source_id of a
        conversion. Status is ``present`` unless given.
    :raises ValueError: there is no such column.
    """
    row = _row(session, values['id'])
    if row is None:
        row = _new(session, repository_id, conductor, values)
        with rows.retry_on_duplicate():
            session.flush()
    else:
        # Put in again, under its old id, after it was lost or removed.
        changes = {'status': 'present', 'status_reason': '', **values}
        for name, value in rows.own_columns(Artifact, changes).items():
            setattr(row, name, value)
        row.repository_id, row.conductor = repository_id, conductor
        row.checked_at = session.now
        session.flush()
    return rows.record(records.Artifact, row)


@writer
def sync_artifacts(
    session: Session,
    repository_id: str,
    conductor: str,
    found: Sequence[Mapping[str, Any]],
    *,
    since: datetime.datetime,
) -> list[str]:
    """Note what a conductor has found in a repository, all of it.

    What has no row gets one; what has one and was not found is ``lost``,
    unless it was put in after the conductor had begun to look. A lost one
    that was found is ``present`` again. May be called again, and by all
    conductors that share the repository.

    :param found: of each file what :func:`add_artifact` takes, and
        ``status_reason``; up to ``MOST``.
    :param since: when the conductor began to look, in naive UTC.
    :returns: ids of files that were found and are to be removed: they were
        given up, and whoever did so died before they were gone; or they are
        of an attempt that died, and the build is uploaded from another file.
    :raises ValueError: there are too many, or there is no such column.
    """
    if len(found) > MOST:
        raise ValueError(f'{len(found)} artifacts in one list')
    known = _known(session, repository_id, [each['id'] for each in found])
    former = _former(
        session, [each for each in found if each['id'] not in known]
    )
    given_up = []
    for values in found:
        row = known.pop(values['id'], None)
        if row is None:
            row = _new(session, repository_id, conductor, values)
            if row.id in former:
                row.status = 'removed'
                given_up.append(row.id)
        elif row.status == 'removed':
            given_up.append(row.id)
        else:
            _follow(row, repository_id, values)
    with rows.retry_on_duplicate():
        session.flush()
    lost = [
        row.id
        for row in known.values()
        if row.status != 'lost' and row.created_at < since
    ]
    _change(session, lost, status='lost', status_reason='its file is gone')
    seen = {each['id'] for each in found}.difference(given_up)
    _change(session, seen, conductor=conductor, checked_at=session.now)
    return given_up


def _former(session: Session, found: Sequence[Mapping[str, Any]]) -> set[str]:
    """Ids of files whose builds were made again, and are uploaded by now.

    :param found: files without a row: whoever put them in died.
    """
    made: dict[str, str] = {}
    for batch in _batches(sorted({each['build_id'] for each in found})):
        query = sa.select(Job.id, Job.result).where(
            Job.id.in_(batch), Job.state == 'done'
        )
        for id, result in session.execute(query):
            made[id] = (result or {}).get('artifact') or ''
    return {
        each['id']
        for each in found
        if made.get(each['build_id'])
        and made[each['build_id']] not in (each['id'], each.get('source_id'))
    }


def give_up_others(session: Session, build_id: str, kept: str) -> None:
    """Give up all files of a build but the one that it is uploaded from.

    They are of attempts that died, and differ from it: an upload to a further
    destination must not begin with one of them.
    """
    session.change(
        sa.update(Artifact)
        .where(
            Artifact.build_id == build_id,
            Artifact.id != kept,
            Artifact.status != 'removed',
        )
        .values(status='removed', checked_at=session.now)
    )


@writer
def retire_artifact(session: Session, id: str) -> bool:
    """Give a file up, unless it is still wanted.

    It is wanted while there is work on its build, such as uploads.
    Whoever makes an upload that needs it asks :func:`want_artifact` in the
    same transaction: then the one or the other happens, and not both.

    :returns: whether the file may be removed; also when there is no row.
    """
    row = _row(session, id, lock=True)
    if row is None or row.status == 'removed':
        return True
    if _is_wanted(session, row.build_id):
        return False
    row.status, row.checked_at = 'removed', session.now
    session.flush()
    return True


def _is_wanted(session: Session, build_id: str) -> bool:
    build = rows.build(session, build_id)
    if build is not None and build.status in statuses.RUNNING:
        return True
    jobs_to_do = sa.select(Job.id).where(
        Job.build_id == build_id, Job.state.not_in(jobs.ENDED)
    )
    uploads_to_come = sa.select(Upload.id).where(
        Upload.build_id == build_id, Upload.status.in_(_PENDING)
    )
    return any(
        session.execute(query.limit(1)).first() is not None
        for query in (jobs_to_do, uploads_to_come)
    )


def want_artifact(session: Session, id: str) -> records.Artifact | None:
    """An artifact that is there, and is not given up before the commit.

    A part of the transaction that makes an upload of it.
    """
    row = _row(session, id, lock=True)
    if row is None or row.status != 'present':
        return None
    return rows.record(records.Artifact, row)


@writer
def mark_artifact(
    session: Session, id: str, status: str, reason: str = ''
) -> bool:
    """Note what became of a file, such as ``lost`` or ``corrupt``.

    :returns: False when there is no such row, or it was given up.
    """
    return bool(
        session.change(
            sa.update(Artifact)
            .where(Artifact.id == id, Artifact.status != 'removed')
            .values(
                status=status, status_reason=reason, checked_at=session.now
            )
        )
    )


@reader
def get_artifact(session: Session, id: str) -> records.Artifact | None:
    """An artifact, None without one."""
    row = _row(session, id)
    return None if row is None else rows.record(records.Artifact, row)


@reader
def list_artifacts(
    session: Session,
    *,
    build_id: str | None = None,
    repository_id: str | None = None,
    status: str | Collection[str] | None = 'present',
    limit: int = 1000,
) -> list[records.Artifact]:
    """Artifacts, the newest first.

    :param build_id: only of this build.
    :param repository_id: only of this repository.
    :param status: only with it, or one of several; None for all.
    """
    query = sa.select(Artifact).order_by(
        Artifact.created_at.desc(), Artifact.id
    )
    if build_id is not None:
        query = query.where(Artifact.build_id == build_id)
    if repository_id is not None:
        query = query.where(Artifact.repository_id == repository_id)
    if status is not None:
        query = query.where(rows.one_of(Artifact.status, status))
    return [
        rows.record(records.Artifact, row)
        for row in session.scalars(query.limit(limit))
    ]


@reader
def artifacts_of_deleted_builds(
    session: Session, repository_id: str
) -> list[records.Artifact]:
    """Files that nobody will ask for any more: at most 100.

    A build that others reuse is still the one that made the image: its files
    go when the image goes.
    """
    image = sa.exists().where(
        Image.build_id == Artifact.build_id, Image.status == 'active'
    )
    build = sa.exists().where(
        Build.id == Artifact.build_id, Build.deleted_at.is_(None)
    )
    query = (
        sa.select(Artifact)
        .where(
            Artifact.repository_id == repository_id,
            Artifact.status != 'removed',
            ~build,
            ~image,
        )
        .order_by(Artifact.created_at)
        .limit(_AT_ONCE)
    )
    return [
        rows.record(records.Artifact, row) for row in session.scalars(query)
    ]


def purge_gone(session: Session, older_than: datetime.datetime) -> None:
    """Remove rows of files that have been gone for long."""
    session.change(
        sa.delete(Artifact).where(
            Artifact.status.in_(('removed', 'lost')),
            Artifact.checked_at < older_than,
        )
    )


def _row(session: Session, id: str, *, lock: bool = False) -> Artifact | None:
    return session.get(
        Artifact, id, populate_existing=True, with_for_update=lock or None
    )


def _new(
    session: Session,
    repository_id: str,
    conductor: str,
    values: Mapping[str, Any],
) -> Artifact:
    row = Artifact(
        **{'status': 'present', **rows.own_columns(Artifact, values)},
        repository_id=repository_id,
        conductor=conductor,
        created_at=session.now,
        checked_at=session.now,
    )
    session.add(row)
    return row


def _follow(
    row: Artifact, repository_id: str, values: Mapping[str, Any]
) -> None:
    """Bring a row to what was found; changes nothing that is so already."""
    wanted = {'status': 'present', 'status_reason': '', **values}
    for name in _CHANGES:
        if name in wanted and getattr(row, name) != wanted[name]:
            setattr(row, name, wanted[name])
    # The directory was copied, or got another id.
    if row.repository_id != repository_id:
        row.repository_id = repository_id


def _known(
    session: Session, repository_id: str, ids: Sequence[str]
) -> dict[str, Artifact]:
    """Rows of a repository that are not removed, and all with these ids."""
    query = sa.select(Artifact).where(
        Artifact.repository_id == repository_id, Artifact.status != 'removed'
    )
    found = {row.id: row for row in session.scalars(query)}
    for batch in _batches([each for each in ids if each not in found]):
        query = sa.select(Artifact).where(Artifact.id.in_(batch))
        found.update((row.id, row) for row in session.scalars(query))
    return found


def _change(session: Session, ids: Collection[str], **values: Any) -> None:
    for batch in _batches(sorted(ids)):
        session.change(
            sa.update(Artifact).where(Artifact.id.in_(batch)).values(**values)
        )


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]
