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
from heat_plugin import failures
from heat_plugin import reality
from heat_plugin import schema
from heat_plugin import sentences
from imagebuild.client import exceptions

LOG = logging.getLogger(__name__)


class InspectedImage(described.DescribedImage):
    """Finds out whether the image is there and is what was built."""

    def handle_check(self) -> None:
        try:
            problems = self._problems()
        except exceptions.ClientError as error:
            raise failures.ImageNotAsBuilt(
                sentences.refused(error, self._image_name())
            ) from None
        if problems:
            raise failures.ImageNotAsBuilt(
                sentences.sentence('; '.join(problems))
            )

    def _problems(self) -> list[str]:
        if self.resource_id is None:
            return ['no build was made']
        try:
            build = self._service().builds.get(self._id())
        except exceptions.NotFound:
            return [f'the build {self.resource_id} is gone']
        return [*reality.missing(build, self._glance_image(build.image_id))]

    def _glance_image(self, image_id: str) -> Any | None:
        if not image_id:
            return None
        found: Any | None = self.client_plugin().find_image(image_id)
        return found

    def get_live_resource_data(self) -> dict[str, Any]:
        """Find out what there is.

        :raises EntityNotFound: the image is gone or is not what was built;
            Heat then replaces the resource.
        """
        try:
            build = self._service().builds.get(self._id())
        except exceptions.NotFound:
            raise exception.EntityNotFound(
                entity='Resource', name=self.name
            ) from None
        if not (build.finished or build.status == 'deleting'):
            # A newer template while it is built: with nothing to compare,
            # Heat goes on to handle_preempt.
            return {}
        image = self._glance_image(build.image_id)
        problems = [*reality.missing(build, image)]
        if problems:
            LOG.info('%s is replaced: %s', self, '; '.join(problems))
            raise exception.EntityNotFound(entity='Resource', name=self.name)
        return reality.about(build, image)

    def parse_live_resource_data(
        self, resource_properties: Any, resource_data: Mapping[str, Any]
    ) -> dict[str, Any]:
        live = dict(resource_data)
        for name in schema.NAME, schema.MIN_DISK, schema.MIN_RAM:
            # Chosen by Heat or by the service.
            if resource_properties.get(name) is None:
                live.pop(name, None)
        tags = live.pop(schema.TAGS, None)
        wanted = resource_properties.get(schema.TAGS)
        if tags is not None and not reality.same_tags(tags, wanted):
            live[schema.TAGS] = tags
        return live

    def needs_replace_failed(self) -> bool:
        """Tell whether only another build helps after a failure.

        It does not where the image is there: then only its name, tags or the
        like could not be changed.
        """
        if self.resource_id is None or schema.IMAGE_ID not in self.data():
            return True
        try:
            return bool(self._problems())
        except Exception as error:
            # The service's, Glance's, Keystone's: without an answer another
            # build is the safe choice. The same content is not built twice.
            LOG.info('%s is replaced: %s', self, error)
            return True
