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
"""The image that an upload takes its file from when nobody has that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagebuild import db
from imagebuild import exception
from imagebuild.conductor import image_copies
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.job import specs


class UploadSource:
    """Where the file of an upload comes from, mostly from the repository.

    :param job: of the upload, as it was claimed.
    :ivar is_unusable: whether its job has said that the image gives nothing
        back.
    """

    def __init__(self, context: ConductorContext, job: db.Job) -> None:
        self._context = context
        self._job = job
        self.is_unusable = False

    def spec(self) -> specs.ImageSource | None:
        """What its job is told; None when the repository has the file.

        :raises SourceUnusable: the image is not there any more.
        """
        id = self._job.spec.get('source')
        if not id:
            return None
        try:
            image = self._context.retry.until_available(
                'the source', lambda: self._context.database.get_image(id)
            )
        except exception.NotFound as error:
            raise exception.SourceUnusable(
                where='a cloud', reason='it is gone'
            ) from error
        return image_copies.source(image, self._context.job_config)

    def event(self, event: Mapping[str, Any]) -> bool:
        """Take an event of the job, if it is about this.

        :returns: whether it was.
        """
        if event['event'] != 'source_unusable':
            return False
        self.is_unusable = True
        return True

    def keep(self, id: str) -> None:
        """Note that the repository has the file: the next one finds it."""
        images = self._context.repository
        found = images.get(id)
        if found is not None:
            self._context.retry.until_available(
                'a file',
                lambda: self._context.database.add_artifact(
                    images.id, self._context.name, found.row()
                ),
            )

    def look_elsewhere(self) -> bool:
        """Have it go on from another image, or wait for its file.

        :returns: False when there is nothing to go on from.
        """
        return self._context.retry.until_available(
            'another source',
            lambda: self._context.database.another_source(
                self._job.id,
                conductor=self._context.name,
                attempt=self._job.attempt,
                seconds=self._context.conf.conductor.dead_after,
            ),
        )
