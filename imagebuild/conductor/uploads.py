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
"""Takes the finished disk of a build to where it is wanted.

Before the store is called there is a row for the upload, and the store marks
the image with the row's id. So whoever comes after a crash knows what to ask
for, and each upload has one image however often it is tried.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import TypeVar

from imagebuild import db
from imagebuild import exception
from imagebuild.common import phases
from imagebuild.conductor import cancellation
from imagebuild.conductor import claims
from imagebuild.conductor import job_supervisor
from imagebuild.conductor import metrics
from imagebuild.conductor import upload_rows
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.stores.base import StoredImage

T = TypeVar('T')


class Uploads:
    """The uploads of one build."""

    def __init__(
        self,
        context: ConductorContext,
        claim: claims.Claim,
        cancellation_token: cancellation.CancellationToken,
    ) -> None:
        self._context = context
        self._claim = claim
        self._cancellation = cancellation_token
        self._build = claim.build

    @property
    def _destinations(self) -> list[str]:
        return list(self._build.request.get('destinations') or [''])

    def find_finished(self) -> dict[str, Any] | None:
        """Look for images that an earlier attempt has already put everywhere.

        :returns: as :meth:`run`; None when something is missing.
        :raises AttemptFailed: a store could not be asked.
        """
        rows = self._rows()
        found = {}
        for destination in self._destinations:
            row = rows.get(destination)
            if row is None:
                return None
            image = self._retried(functools.partial(self._find, row))
            if image is None:
                return None
            found[destination] = (row, image)
        for row, image in found.values():
            self._done(row, image)
        return self._keep(
            {where: image for where, (_, image) in found.items()}
        )

    def run(
        self,
        supervisor: job_supervisor.JobSupervisor,
        result: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Upload the disk to every destination.

        :param result: the result of the build job.
        :returns: the image in this cloud, as ``finish_build`` wants it.
        :raises AttemptFailed: it could not be done.
        :raises Interrupted: somebody ended it.
        """
        self._claim.update_with_retry({'status': 'uploading'})
        images = {}
        destinations = self._destinations
        for number, destination in enumerate(destinations, 1):
            supervisor.report(
                {
                    'event': 'phase',
                    'phase': phases.UPLOAD,
                    'part': number,
                    'parts': len(destinations),
                }
            )
            row = self._begin(destination)
            request = upload_rows.request(
                self._context, self._build, row, result
            )
            image = self._retried(
                functools.partial(self._upload, supervisor, request, row)
            )
            metrics.UPLOAD_BYTES.inc(image.size)
            self._done(row, image)
            images[destination] = image
            # What is sent next is the same, or it is an error.
            result = {
                **result,
                'checksum': {image.os_hash_algo: image.os_hash_value},
            }
        return self._keep(images)

    def discard(self) -> None:
        """Remove whatever was uploaded, complete or not.

        What cannot be removed in a while is left to the reaper.
        """
        with contextlib.suppress(exception.DatabaseUnavailable):
            for row in self._rows().values():
                self._discard(row)

    def _discard(self, row: db.Upload) -> None:
        self._context.retry.until_done(
            lambda: upload_rows.discard(
                self._context, row, self._build.content_key
            ),
            self._context.conf.conductor.upload_attempts,
        )

    # -- rows ---------------------------------------------------------------

    def _rows(self) -> dict[str, db.Upload]:
        rows = self._context.retry.until_available(
            'the list of uploads',
            lambda: self._context.database.list_uploads(
                build_id=self._build.id
            ),
        )
        return {row.destination: row for row in rows}

    def _begin(self, destination: str) -> db.Upload:
        """The row of an upload, made when there is none."""
        database, until_available = (
            self._context.database,
            self._context.retry.until_available,
        )
        mine = {
            'status': 'uploading',
            'status_reason': '',
            'conductor': self._context.name,
            'attempt': self._build.attempt,
            'bytes_done': 0,
        }
        row = self._rows().get(destination)
        if row is None:
            values = {
                **mine,
                # The same however often this is tried.
                'id': upload_rows.upload_id(self._build.id, destination),
                'build_id': self._build.id,
                'destination': destination,
                'disk_format': upload_rows.disk_format(self._build),
            }
            return until_available(
                'an upload', lambda: database.create_upload(values)
            )
        row_id = row.id
        until_available(
            'an upload', lambda: database.update_upload(row_id, mine)
        )
        return row

    def _done(self, row: db.Upload, image: StoredImage) -> None:
        self._context.retry.until_available(
            'an upload',
            lambda: self._context.database.update_upload(
                row.id,
                {
                    'status': 'active',
                    'status_reason': '',
                    'image_id': image.image_id,
                    'size': image.size,
                    'bytes_done': image.size,
                    'os_hash_algo': image.os_hash_algo,
                    'os_hash_value': image.os_hash_value,
                },
            ),
        )

    def _keep(self, images: Mapping[str, StoredImage]) -> dict[str, Any]:
        """Note the further images; return the one of this cloud."""
        values = {
            where: {
                'destination': where,
                'image_id': image.image_id,
                'disk_format': upload_rows.disk_format(self._build),
                'container_format': upload_rows.container_format(self._build),
                'size': image.size,
                'os_hash_algo': image.os_hash_algo,
                'os_hash_value': image.os_hash_value,
            }
            for where, image in images.items()
        }
        # The build's image is that of this cloud, or else of the first one.
        here = values.pop('', None) or values.pop(next(iter(values)))
        for each in values.values():
            self._context.retry.until_available(
                'an image',
                functools.partial(
                    self._context.database.add_image, self._build.id, each
                ),
            )
        return here

    # -- the store ----------------------------------------------------------

    def _find(self, row: db.Upload) -> StoredImage | None:
        store = self._context.open_store(row.destination)
        return store.find(upload_rows.stamp(row, self._build.content_key))

    def _upload(
        self,
        supervisor: job_supervisor.JobSupervisor,
        request: Mapping[str, Any],
        row: db.Upload,
    ) -> StoredImage:
        progress = upload_rows.UploadProgress(
            self._context.database, row, supervisor.report
        )
        result = supervisor.run(
            request,
            self._context.conf.conductor.upload_timeout,
            on_event=progress.event,
            on_tick=progress.write,
        )
        try:
            return StoredImage(
                image_id=str(result['image_id']),
                size=int(result['size']),
                os_hash_algo=str(result['os_hash_algo']),
                os_hash_value=str(result['os_hash_value']),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise claims.AttemptFailed(
                f'The upload job did not report what it made: {error!r}.'
            ) from error

    def _retried(self, call: Callable[[], T]) -> T:
        """Make a call that needs a store, again while that is unavailable.

        :raises AttemptFailed: it did not work.
        :raises Interrupted: somebody ended the build meanwhile.
        """
        try:
            return self._context.retry.while_store_unavailable(
                call,
                is_retryable=_is_retryable,
                attempts=self._context.conf.conductor.upload_attempts,
                sleep=self._cancellation.pause,
            )
        except exception.ImageBuildError as error:
            raise claims.AttemptFailed.from_error(error) from error


def _is_retryable(error: BaseException) -> bool:
    if isinstance(error, exception.EnvironmentFault):
        error = claims.AttemptFailed.from_error(error)
    return isinstance(error, claims.AttemptFailed) and error.retryable
