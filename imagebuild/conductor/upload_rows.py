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
"""The row of an upload, the document of its job, and how it is undone."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from imagebuild import db
from imagebuild import exception
from imagebuild.conductor import upload_claim
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.conductor.conductor_context import JobConfig
from imagebuild.destinations import HERE
from imagebuild.destinations import Destination
from imagebuild.stores.base import Stamp

LOG = logging.getLogger(__name__)

#: Fields of a request that are metadata of the image in the store.
_IMAGE = (
    'visibility', 'protected', 'tags', 'members', 'properties', 'min_disk',
    'min_ram',
)  # fmt: skip


def disk_format(build: db.Build) -> str:
    """The format that the finished image has."""
    return str(build.request.get('disk_format') or 'qcow2')


def container_format(build: db.Build) -> str:
    """The container that the finished image is declared to be in."""
    return str(build.request.get('container_format') or 'bare')


def metadata(build: db.Build) -> dict[str, Any]:
    """What the image of a build has, besides name, owner and formats."""
    request = build.request
    return {
        **{key: request[key] for key in _IMAGE if key in request},
        'min_disk': max(int(request.get('min_disk') or 0), least_disk(build)),
    }


def least_disk(build: db.Build) -> int:
    """GiB that the operating system and the recipe of a build need.

    Whatever is asked for: a server with less of a disk would not boot. 0 for
    none, and for builds of the release before.
    """
    return int((build.base or {}).get('min_disk') or 0)


def primary(request: Mapping[str, Any]) -> str:
    """The destination whose image is the build's."""
    wanted = request.get('destinations') or [HERE]
    return HERE if HERE in wanted else str(wanted[0])


def planned(job_config: JobConfig, build: db.Build) -> list[dict[str, Any]]:
    """The uploads of a build, as ``Database.start_uploads`` wants them."""
    names = build.request.get('destinations') or [HERE]
    return [
        _planned(_destination(job_config, name), build.request, build.id)
        for name in dict.fromkeys(names)
    ]


def plan(
    job_config: JobConfig,
    build: db.Build,
    destination: str,
    disk_format: str | None = None,
) -> dict[str, Any]:
    """A further upload, as ``Database.add_upload`` wants it.

    :param disk_format: instead of what the request or the cloud says.
    :raises InvalidInput: there is no such destination for this project.
    """
    found = Destination.from_document(job_config(destination)['destination'])
    if not found.is_for(build.project_id):
        raise exception.InvalidInput(
            f'there is no destination "{destination}"'
        )
    request = dict(build.request)
    if disk_format:
        request['disk_format'] = disk_format
    planned = _planned(found, request, build.id)
    if disk_format:
        # Another one than the same in the usual format.
        planned['id'] = upload_id(build.id, f'{destination}:{disk_format}')
    return planned


def _planned(
    destination: Destination, request: Mapping[str, Any], build_id: str
) -> dict[str, Any]:
    disk, container = destination.formats(request)
    return {
        'id': upload_id(build_id, destination.name),
        'destination': destination.name,
        'disk_format': disk,
        'container_format': container,
    }


def _destination(job_config: JobConfig, name: str) -> Destination:
    try:
        config = job_config(name)
    except exception.ImageBuildError:
        # It is gone: the attempt at the upload says so.
        return Destination(name=name)
    return Destination.from_document(config['destination'])


class UploadProgress:
    """The bytes of an upload that have arrived, into its row."""

    def __init__(
        self,
        claim: upload_claim.UploadClaim,
        report: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._claim = claim
        self._report = report
        self._done = 0
        self._written = 0

    def event(self, event: Mapping[str, Any]) -> None:
        """Take an event of the job."""
        self._report(event)
        if event['event'] == 'progress':
            with contextlib.suppress(KeyError, TypeError, ValueError):
                self._done = int(event['done'])

    def write(self) -> None:
        """Write what has changed; without the database, later."""
        done = self._done
        if done != self._written and self._claim.note({'bytes_done': done}):
            self._written = done


def upload_id(build_id: str, destination: str) -> str:
    """The id of a build's upload to a destination, always the same."""
    return str(uuid.uuid5(uuid.UUID(build_id), f'upload:{destination}'))


def stamp(row: db.Upload, content_key: str) -> Stamp:
    """What the image of an upload is marked with."""
    return Stamp(
        build_id=row.build_id, upload_id=row.id, content_key=content_key
    )


def discard(
    context: ConductorContext, row: db.Upload, content_key: str
) -> bool:
    """Remove what an upload made, and note that it came to nothing.

    :returns: whether it is gone; else the reaper tries again.
    """
    try:
        store = context.open_store(row.destination)
        removed = store.discard(stamp(row, content_key))
        context.database.update_upload(
            row.id, {'status': 'error', 'image_id': None}
        )
    except exception.ImageBuildError as error:
        LOG.warning('Image of upload %s not discarded yet: %s', row.id, error)
        return False
    if removed:
        LOG.info('Discarded the image of upload %s', row.id)
    return True
