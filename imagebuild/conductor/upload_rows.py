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
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.stores.base import ImageProperties
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


def _metadata(request: Mapping[str, Any]) -> dict[str, Any]:
    return {key: request[key] for key in _IMAGE if key in request}


def image(build: db.Build, request: Mapping[str, Any]) -> ImageProperties:
    """The properties that a request gives to the image of a build."""
    return ImageProperties.from_dict(
        {
            **_metadata(request),
            'name': request['name'],
            'owner': build.project_id,
            'disk_format': disk_format(build),
            'container_format': container_format(build),
        }
    )


def request(
    context: ConductorContext,
    build: db.Build,
    row: db.Upload,
    result: Mapping[str, Any],
) -> dict[str, Any]:
    """The document of an upload job.

    :param result: the result of the build job, with ``checksum`` when the
        disk was sent before.
    """
    checksums = result.get('checksum') or {}
    algo = 'sha512' if 'sha512' in checksums else 'sha256'
    config = context.job_config(row.destination)
    return {
        'action': 'upload',
        'upload_id': row.id,
        'build_id': build.id,
        'project_id': build.project_id,
        'store': config['destination']['store'],
        'destination': row.destination,
        'path': result['path'],
        'disk_format': disk_format(build),
        'container_format': container_format(build),
        'image': {
            **_metadata(build.request),
            'name': build.name,
            'owner': build.project_id,
        },
        'stamp': {
            'build_id': build.id,
            'upload_id': row.id,
            'content_key': build.content_key,
        },
        'hash': (
            {'algo': algo, 'value': checksums[algo]}
            if algo in checksums
            else None
        ),
        'config': config,
    }


class UploadProgress:
    """The bytes of an upload that have arrived, into its row."""

    def __init__(
        self,
        database: db.Database,
        row: db.Upload,
        report: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._database = database
        self._row = row
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
        if done != self._written:
            with contextlib.suppress(exception.DatabaseUnavailable):
                self._database.update_upload(
                    self._row.id,
                    {'bytes_done': done},
                    expected_status='uploading',
                )
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
