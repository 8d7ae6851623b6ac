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
"""The resource, compared with the image that there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heat.common import exception
from oslo_log import log as logging

from heat_plugin import described
from heat_plugin import exceptions
from heat_plugin import image_state
from heat_plugin import messages
from heat_plugin import schema
from imagebuild import client

LOG = logging.getLogger(__name__)


class InspectedImage(described.DescribedImage):
    """Finds out whether the image is there and is what was built."""

    def handle_check(self) -> None:
        try:
            problems = self._image_problems()
        except client.exceptions.ClientError as error:
            raise exceptions.ImageNotAsBuilt(
                messages.request_failed(error, self._image_name())
            ) from None
        if problems:
            raise exceptions.ImageNotAsBuilt(
                messages.with_full_stop('; '.join(problems))
            )

    def _image_problems(self) -> list[str]:
        if self.resource_id is None:
            return ['no build was made']
        try:
            build = self._service().builds.get(self._id())
        except client.exceptions.NotFound:
            return [f'the build {self.resource_id} is gone']
        return [
            *image_state.problems(build, self._glance_image(build.image_id))
        ]

    def _glance_image(self, image_id: str) -> Any | None:
        if not image_id:
            return None
        image: Any | None = self.client_plugin().find_image(image_id)
        return image

    def get_live_resource_data(self) -> dict[str, Any]:
        """Return the image's properties as Glance has them.

        :raises EntityNotFound: the image is gone or is not what was built;
            Heat then replaces the resource.
        """
        try:
            build = self._service().builds.get(self._id())
        except client.exceptions.NotFound:
            raise exception.EntityNotFound(
                entity='Resource', name=self.name
            ) from None
        if not (build.finished or build.status == 'deleting'):
            # A newer template arrived during the build: with nothing to
            # compare, Heat goes on to handle_preempt.
            return {}
        image = self._glance_image(build.image_id)
        problems = [*image_state.problems(build, image)]
        if problems:
            LOG.info('%s is replaced: %s', self, '; '.join(problems))
            raise exception.EntityNotFound(entity='Resource', name=self.name)
        return image_state.live_properties(build, image)

    def parse_live_resource_data(
        self, resource_properties: Any, resource_data: Mapping[str, Any]
    ) -> dict[str, Any]:
        live = dict(resource_data)
        for name in schema.NAME, schema.MIN_DISK, schema.MIN_RAM:
            # Without a value in the template Heat or the service chose one,
            # which is no difference from the template.
            if resource_properties.get(name) is None:
                live.pop(name, None)
        tags = live.pop(schema.TAGS, None)
        wanted = resource_properties.get(schema.TAGS)
        if tags is not None and not image_state.same_tags(tags, wanted):
            live[schema.TAGS] = tags
        return live

    def needs_replace_failed(self) -> bool:
        """Return whether a failed resource needs another build.

        Not if the image exists: then only an update of its name, tags or the
        like failed.
        """
        if self.resource_id is None or schema.IMAGE_ID not in self.data():
            return True
        try:
            return bool(self._image_problems())
        except Exception as error:
            # An error of the service, Glance or Keystone. Without an answer
            # replacing is the safe choice, and cheap if it was not needed: the
            # service does not build the same content twice.
            LOG.info('%s is replaced: %s', self, error)
            return True
