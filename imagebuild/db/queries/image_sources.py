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
"""Images that give a file back that no conductor has any more."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from imagebuild.common import placement
from imagebuild.db.models import Build
from imagebuild.db.models import Conductor
from imagebuild.db.models import Image
from imagebuild.db.models import Job
from imagebuild.db.models import Upload
from imagebuild.db.queries import conductors
from imagebuild.db.queries import jobs
from imagebuild.db.queries import lifecycle
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import writer

#: Formats that others are made of.
_CONVERTIBLE = ('qcow2', 'raw')

#: Where in the ``spec`` of an upload's job it is.
SOURCE = 'source'
_UNUSABLE = 'unusable_sources'


def alive(
    session: Session, seconds: float, *, down: bool = False
) -> list[placement.Capability]:
    """What the conductors offer that have had a heartbeat since.

    :param down: those that have gone down since as well.
    """
    query = sa.select(Conductor).where(
        Conductor.heartbeat_at >= session.ago(seconds)
    )
    if not down:
        query = query.where(Conductor.status != 'down')
    found = session.scalars(query)
    return [conductors.record(row).capability for row in found]


def choose(
    session: Session,
    build: Build,
    upload: Upload,
    offered: Collection[placement.Capability],
    *,
    unusable: Collection[str] = (),
) -> Image | None:
    """The image of a build that an upload of it can best be made of.

    :param offered: of the conductors that could do it.
    :param unusable: ids of rows of images that have given nothing back.
    :returns: one whose checksum is known, in the format that is wanted or
        one that is converted; None without.
    """
    query = sa.select(Image).where(
        Image.build_id == (build.reused_from or build.id),
        Image.status == 'active',
        Image.size > 0,
        Image.os_hash_value.is_not(None),
        Image.os_hash_algo.is_not(None),
        Image.id.not_in(list(unusable)),
    )
    usable = [
        image
        for image in session.scalars(query)
        if image.disk_format in (upload.disk_format, *_CONVERTIBLE)
        and _is_reached(_needs(image, upload), offered)
    ]
    usable.sort(
        key=lambda image: (
            image.disk_format != upload.disk_format,
            image.destination,
            image.id,
        )
    )
    return next(iter(usable), None)


def use(session: Session, build: Build, upload: Upload, image: Image) -> None:
    """Queue an upload for any conductor that reaches image and destination."""
    job = session.get_one(Job, upload.id, populate_existing=True)
    where = f'"{image.destination}"' if image.destination else 'this cloud'
    upload.status = 'queued'
    upload.status_reason = (
        f'No conductor has the image file any more; it comes from {where}.'
    )
    upload.conductor, upload.bytes_done = None, 0
    upload.updated_at = session.now
    jobs.enqueue(
        session,
        build,
        'upload',
        _needs(image, upload).to_dict(),
        id=upload.id,
        spec={**job.spec, SOURCE: image.id, 'made': None},
    )


def unusable(job: Job) -> list[str]:
    """Ids of rows of images that have given nothing back to an upload."""
    return list(job.spec.get(_UNUSABLE) or ())


@writer
def another_source(
    session: Session,
    id: str,
    *,
    conductor: str,
    attempt: int,
    seconds: float,
) -> bool:
    """Have an upload go on that could not get the file from an image.

    From another image, or from the repository that had it: when nobody has
    that either, the build is made again (``uploads_without_file``).

    :param seconds: how long ago a heartbeat may be.
    :returns: False when there is nothing left, or that conductor and attempt
        do not have the upload any more: nothing was done.
    """
    job = session.get(Job, id)
    if job is None:
        return False
    build = lifecycle.locked(session, job.build_id or '')
    if build is None:
        return False
    session.refresh(job)
    mine = (job.conductor, job.attempt) == (conductor, attempt)
    if job.state != 'running' or not mine:
        return job.attempt == attempt and session.did(job.updated_at)
    upload = session.get_one(Upload, id, populate_existing=True)
    bad = [*unusable(job), str(job.spec.get(SOURCE) or '')]
    image = choose(
        session, build, upload, alive(session, seconds), unusable=bad
    )
    repository = str(job.spec.get('repository') or '')
    if image is None and not repository:
        return False
    job.spec = {**job.spec, _UNUSABLE: bad, SOURCE: None}
    session.flush()
    if image is not None:
        use(session, build, upload, image)
    else:
        _wait_for(session, build, upload, job, repository)
    return True


def _wait_for(
    session: Session,
    build: Build,
    upload: Upload,
    job: Job,
    repository: str,
) -> None:
    upload.status, upload.conductor = 'queued', None
    upload.status_reason = 'No image of it gives the file back.'
    upload.updated_at = session.now
    needs = of_repository(repository, upload.destination)
    spec = dict(job.spec)
    jobs.enqueue(session, build, 'upload', needs, id=job.id, spec=spec)


def of_repository(repository: str, destination: str) -> dict[str, Any]:
    """What an upload needs whose file is in a repository."""
    return placement.Needs(
        repository=repository, destination=destination
    ).to_dict()


def of_made(driver: str, destination: str) -> dict[str, Any]:
    """What an upload needs that adopts what a cloud has made."""
    return placement.Needs(adopts=driver, destination=destination).to_dict()


def _needs(image: Image, upload: Upload) -> placement.Needs:
    both = {image.destination, upload.destination}
    return placement.Needs(destinations=tuple(sorted(both - {''})))


def _is_reached(
    needs: placement.Needs, offered: Collection[placement.Capability]
) -> bool:
    return any(not placement.missing(needs, each) for each in offered)
