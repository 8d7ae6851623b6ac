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
"""The images in Glance that uploads have made: found, made, removed."""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild import exception
from imagebuild.clients import glance
from imagebuild.clients import images
from imagebuild.stores import base
from imagebuild.stores import stamps

#: What an upload goes on with, the best first.
_BEST_FIRST = ('active', 'importing', 'uploading', 'queued')
#: An image that an import was asked for stays as it is until that begins.
_BEFORE_ACTIVE = ('queued', 'uploading', 'importing')


class Records:
    """The images of this service in one Glance.

    :param client: that Glance.
    :param service_id: tells them from those of another imagebuild service;
        '' for the id of the service user.
    """

    def __init__(self, client: glance.Glance, service_id: str) -> None:
        self._glance = client
        self._service_id = service_id

    def service(self) -> str:
        """The id of this service, '' when it has none."""
        self._service_id = self._service_id or self._glance.user_id()
        return self._service_id

    def all(self, limit: int) -> Iterator[base.StampedImage]:
        """See :meth:`base.Store.list_stamped`."""
        service = self.service()
        if not service:
            return iter(())
        found = self._glance.each(**{stamps.SERVICE: service})
        return itertools.islice(stamps.stamped(found, service), limit)

    def of_upload(self, stamp: base.Stamp) -> list[images.GlanceImage]:
        """The images of an upload, the best first."""
        found = [
            image
            for image in self._glance.each(**{base.UPLOAD_ID: stamp.upload_id})
            # Not every Glance filters by every property.
            if stamps.is_of(image, stamp)
        ]
        order = {status: rank for rank, status in enumerate(_BEST_FIRST)}
        return sorted(
            found,
            key=lambda image: (
                order.get(image.status, len(order)),
                image.created_at,
                image.id,
            ),
        )

    def make(self, described: Mapping[str, Any]) -> images.GlanceImage:
        """Make an image without data, not protected yet.

        :param described: its fields and properties.
        :raises Refused: Glance does not want it.
        """
        image_id = str(uuid.uuid4())
        values = {
            **described,
            **stamps.properties(image_id, self.service()),
            'id': image_id,
            'protected': False,
        }
        return self._glance.create(**values)

    def remove(self, image: images.GlanceImage) -> None:
        """Clean up what nobody was given yet, protected or not."""
        with self.unless_gone(image.id):
            if image.protected:
                self._glance.update(image.id, protected=False)
            self._glance.delete(image.id)

    @contextlib.contextmanager
    def unless_gone(self, image_id: str) -> Iterator[None]:
        """Have no error about an image that is gone.

        Every conductor cleans up, several at the same moment: what one sees
        of an image that another deletes just now can be anything.
        """
        try:
            yield
        except exception.ImageBuildError:
            try:
                self._glance.get(image_id)
            except exception.NotFound:
                return
            raise


def is_imported(image: images.GlanceImage) -> bool:
    """Whether Glance itself fills an image, or is about to."""
    return bool(image.import_task) and image.status in _BEFORE_ACTIVE


def is_resumable(image: images.GlanceImage) -> bool:
    """Whether an upload goes on with what an earlier attempt left.

    In any other state somebody died while sending, or still sends and has lost
    the upload.
    """
    return image.status in ('active', 'queued') or is_imported(image)
