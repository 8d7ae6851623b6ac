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
"""From the file of a build to its end: its uploads, as jobs of their own.

The job of a build ends when its file is in a repository. Each destination is
an upload then, with a job that a conductor with that repository claims. The
build ends with the last of them: it is active when its image is where the
build's image has to be, which is this cloud or else the first destination;
what failed elsewhere is said beside it, and can be retried.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from imagebuild import exception
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Image
from imagebuild.db.models import Job
from imagebuild.db.models import Upload
from imagebuild.db.queries import artifacts
from imagebuild.db.queries import image_sources
from imagebuild.db.queries import images
from imagebuild.db.queries import jobs
from imagebuild.db.queries import lifecycle
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import writer

_OF_IMAGE = (
    'image_id', 'size', 'disk_format', 'os_hash_algo', 'os_hash_value',
)  # fmt: skip


@writer
def start_uploads(
    session: Session,
    build_id: str,
    uploads: Sequence[Mapping[str, Any]],
    *,
    conductor: str,
    attempt: int,
    repository: str = '',
    artifact: str = '',
    made: Mapping[str, Any] | None = None,
) -> records.Build | None:
    """End the job of a build, and queue its uploads.

    :param uploads: each with id, destination, disk_format and
        container_format.
    :param repository: id of the repository that has the file.
    :param artifact: the id of the file there.
    :param made: instead of a file, the image that a cloud has made, which is
        adopted, as ``ImageArtifact.to_document`` has it.
    :returns: the build, ``uploading``; None when this conductor and attempt
        do not have it any more, or it is to be cancelled: nothing was done.
    """
    build = lifecycle.locked(session, build_id)
    if build is None:
        return None
    job = session.get(Job, build_id, populate_existing=True)
    if not lifecycle.has(build, conductor, attempt) or job is None:
        return None
    if session.is_retry and job.state == 'done':
        return rows.build_record(session, build)
    if build.cancel_requested or job.state != 'running':
        return None
    result = {'image': dict(made)} if made else {'artifact': artifact}
    jobs.end(session, build_id, 'done', result)
    artifacts.give_up_others(session, build_id, artifact)
    build.status = 'uploading'
    build.updated_at = session.now
    for each in uploads:
        row = session.get(Upload, each['id'], populate_existing=True)
        # What an earlier attempt has uploaded is there.
        if row is None or row.status != 'active':
            _start(
                session,
                build,
                each,
                repository=repository,
                artifact=artifact,
                made=made,
            )
    session.flush()
    return rows.build_record(session, build)


@writer
def add_upload(
    session: Session,
    build_id: str,
    upload: Mapping[str, Any],
    *,
    seconds: float = 60,
) -> records.Upload:
    """Queue a further upload of a build that is active.

    Where no conductor keeps its file, it comes from an image of the build.

    :param upload: as one of :func:`start_uploads`.
    :param seconds: how long ago the heartbeat of a conductor may be.
    :raises NotFound: there is no such build.
    :raises Conflict: the build is not active; its file is not kept, and no
        image gives it back; or it is uploaded already, or that is under way.
    """
    build = rows.locked_build(session, build_id)
    if build.deleted_at is not None:
        raise exception.NotFound(what='build', id=build_id)
    if build.status != 'active':
        raise exception.Conflict(
            what='Build',
            id=build_id,
            status=build.status,
            reason='only an active build has an image to upload',
        )
    row = session.get(Upload, upload['id'], populate_existing=True)
    if row is None or row.status == 'error':
        row = _start_further(session, build, upload, seconds)
    elif not session.did(row.updated_at):
        # The store would take the one that it deletes for the new one.
        raise exception.Conflict(
            what='Upload',
            id=row.id,
            status=row.status,
            reason='its image is being deleted: wait until it is gone'
            if row.status == 'deleting'
            else 'it is there already, or on its way',
        )
    session.flush()
    return rows.record(records.Upload, row, project_id=build.project_id)


def _start_further(
    session: Session,
    build: Build,
    upload: Mapping[str, Any],
    seconds: float,
) -> Upload:
    kept = _kept(session, build, upload['disk_format'])
    if kept is not None:
        return _start(
            session,
            build,
            upload,
            repository=kept.repository_id,
            artifact=kept.id,
        )
    row = _start(session, build, upload, repository='', artifact='')
    offered = image_sources.alive(session, seconds)
    image = image_sources.choose(session, build, row, offered)
    if image is None:
        raise exception.Conflict(
            what='Build',
            id=build.id,
            status='active, without a file',
            reason='no conductor keeps its file any more, and no cloud gives '
            'its image back: build it again',
        )
    image_sources.use(session, build, row, image)
    return row


def _kept(
    session: Session, build: Build, disk_format: str
) -> records.Artifact | None:
    """The file of a build, best in that format; not removed from now on.

    :returns: None when no conductor has it.
    """
    found = artifacts.list_artifacts(
        session, build_id=build.reused_from or build.id
    )
    # What was built, before what was converted to another format again.
    for each in sorted(
        found,
        key=lambda one: (one.disk_format != disk_format, bool(one.source_id)),
    ):
        kept = artifacts.want_artifact(session, each.id)
        if kept is not None:
            return kept
    return None


def _start(
    session: Session,
    build: Build,
    upload: Mapping[str, Any],
    *,
    repository: str,
    artifact: str,
    made: Mapping[str, Any] | None = None,
) -> Upload:
    row = session.get(Upload, upload['id'], populate_existing=True)
    if row is None:
        row = Upload(
            id=upload['id'],
            build_id=build.id,
            project_id=build.project_id,
            destination=upload['destination'],
            created_at=session.now,
        )
        session.add(row)
    row.disk_format = upload['disk_format']
    row.status, row.status_reason = 'queued', ''
    row.image_id = row.conductor = None
    row.bytes_done = row.attempt = 0
    row.updated_at = session.now
    needs = image_sources.of_repository(repository, upload['destination'])
    spec = {
        'artifact': artifact,
        'repository': repository,
        'container_format': upload['container_format'],
    }
    if made:
        needs = image_sources.of_made(build.driver, upload['destination'])
        spec['made'] = dict(made)
    jobs.enqueue(session, build, 'upload', needs, id=row.id, spec=spec)
    return row


@writer
def finish_upload(
    session: Session,
    id: str,
    outcome: records.UploadOutcome,
    *,
    conductor: str,
    attempt: int,
) -> records.Build | None:
    """End an upload, and with the last one of a build the build.

    :returns: the build as it is now; None when this conductor and attempt do
        not have the upload any more: nothing was done.
    """
    job, build = _locked(session, id)
    if job is None or build is None:
        return None
    mine = (job.conductor, job.attempt) == (conductor, attempt)
    if job.state != 'running' or not mine:
        if mine and session.did(job.finished_at):
            return rows.build_record(session, build)
        return None
    _end(session, build, id, outcome)
    _conclude(session, build)
    return rows.build_record(session, build)


def _end(
    session: Session, build: Build, id: str, outcome: records.UploadOutcome
) -> None:
    row = session.get_one(Upload, id, populate_existing=True)
    row.status = 'active' if outcome.image else 'error'
    row.status_reason = outcome.reason
    row.updated_at = session.now
    if outcome.image:
        for name, value in outcome.image.items():
            if name in _OF_IMAGE:
                setattr(row, name, value)
        row.bytes_done = row.size or 0
        images.insert(
            session,
            build,
            {
                'disk_format': row.disk_format,
                **outcome.image,
                'destination': row.destination,
            },
            wanted=_is_wanted(build),
        )
    state = 'done' if outcome.image else outcome.state
    jobs.end(session, id, state, {'fault': outcome.fault})
    session.flush()


def _is_wanted(build: Build) -> bool:
    return (
        build.deleted_at is None
        and not build.cancel_requested
        and build.status in ('uploading', 'active')
    )


def _conclude(session: Session, build: Build) -> None:
    """End a build that has no upload to wait for any more."""
    if build.status not in ('uploading', 'deleting') or build.deleted_at:
        return
    found = session.execute(
        sa.select(Upload, Job)
        .join(Job, Job.id == Upload.id)
        .where(Upload.build_id == build.id)
        .order_by(Upload.destination, Upload.id)
        .execution_options(populate_existing=True)
    ).all()
    if not found or any(job.state not in jobs.ENDED for _, job in found):
        return
    own = session.get(Job, build.id, populate_existing=True)
    if own is not None and own.state not in jobs.ENDED:
        # It is built again.
        return
    outcome = _outcome(build, found)
    image = None
    if outcome.image is not None:
        query = sa.select(Image).where(
            Image.build_id == build.id,
            Image.destination == outcome.image['destination'],
            Image.image_id == outcome.image['image_id'],
            Image.status == 'active',
        )
        image = session.scalars(query).first()
        if image is None:
            outcome = records.Outcome(
                'error', 'Its image was deleted meanwhile.', fault='service'
            )
    lifecycle.end_uploaded(session, build, outcome, image)


def _outcome(
    build: Build, found: Sequence[sa.Row[Upload, Job]]
) -> records.Outcome:
    if build.cancel_requested or build.status == 'deleting':
        return records.Outcome('cancelled', 'cancelled on request')
    [primary, job] = _primary(build, found)
    failed = '; '.join(
        f'Destination "{upload.destination}": {upload.status_reason}'
        for upload, _ in found
        if upload.status != 'active' and upload is not primary
    )
    if primary.status == 'active':
        image = {
            'destination': primary.destination,
            'image_id': primary.image_id,
        }
        return records.Outcome('active', failed, image=image)
    fault = (job.result or {}).get('fault')
    reason = primary.status_reason or 'The upload failed.'
    return records.Outcome(
        'error', reason, fault='user' if fault == 'user' else 'service'
    )


def _primary(
    build: Build, found: Sequence[sa.Row[Upload, Job]]
) -> sa.Row[Upload, Job]:
    """The upload that makes the build's image."""
    wanted = build.request.get('destinations') or ['']
    name = '' if '' in wanted else wanted[0]
    return next(
        (each for each in found if each[0].destination == name), found[0]
    )


@writer
def requeue_upload(
    session: Session,
    id: str,
    *,
    conductor: str,
    attempt: int,
    reason: str,
    counts: bool = True,
    delay: float = 0,
) -> bool:
    """Put a running upload back into the queue.

    By its conductor, or by any other when that one is dead.

    :param reason: a sentence for its status_reason.
    :param counts: whether the attempt is held against it.
    :param delay: seconds that it waits.
    :returns: False when that conductor and attempt no longer have it.
    """
    job, build = _locked(session, id)
    if job is None or build is None:
        return False
    mine = (job.conductor, job.attempt) == (conductor, attempt)
    if job.state != 'running' or not mine:
        return job.attempt == attempt and session.did(job.updated_at)
    jobs.put_back(session, id, counts=counts, delay=delay)
    row = session.get_one(Upload, id, populate_existing=True)
    row.status, row.status_reason = 'queued', reason
    row.conductor, row.bytes_done = None, 0
    row.updated_at = session.now
    if not _is_wanted(build):
        cancel_waiting(session, build)
    return True


def cancel_waiting(
    session: Session, build: Build, id: str | None = None
) -> None:
    """End the uploads of a build that no conductor has, and it with them.

    :param id: only this one.
    """
    waiting = sa.select(Job.id).where(
        Job.build_id == build.id,
        Job.kind == 'upload',
        Job.state.in_(('waiting', 'queued')),
    )
    if id is not None:
        waiting = waiting.where(Job.id == id)
    session.flush()
    outcome = records.UploadOutcome('Cancelled on request.', 'cancelled')
    for id in list(session.scalars(waiting)):
        _end(session, build, id, outcome)
    _conclude(session, build)


def end_all(
    session: Session, build: Build, ids: Sequence[str], reason: str
) -> None:
    """End uploads of a build with an error of the service."""
    for id in ids:
        outcome = records.UploadOutcome(reason, fault='service')
        _end(session, build, id, outcome)
    _conclude(session, build)


def _locked(
    session: Session, id: str
) -> tuple[Job, Build] | tuple[None, None]:
    job = session.get(Job, id)
    if job is None:
        return None, None
    build = lifecycle.locked(session, job.build_id or '')
    if build is None:
        return None, None
    session.refresh(job)
    return job, build
