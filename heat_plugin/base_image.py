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
"""The base image of a template: its name is looked up when it is built."""

from __future__ import annotations

from typing import Any

from heat.common import exception
from heat.engine import translation

from heat_plugin import exceptions
from heat_plugin import schema


class BaseImageFinder:
    """Looks up base images for Heat.

    :param plugin: our client plugin.
    """

    def __init__(self, plugin: Any) -> None:
        self._plugin = plugin

    def find(self, name: str) -> str:
        """Return the id of an image.

        :raises StackValidationFailed: Glance is unavailable or refuses the
            lookup. Heat would report Glance's own error as a fault of Heat,
            with the URLs of services in it. The name must not be used in
            place of the id: an update would see another base image and
            rebuild.
        """
        try:
            image_id: str = self._plugin.find_base_image(name)
        except (
            exceptions.GlanceUnavailable,
            exceptions.LookupFailed,
        ) as error:
            raise exception.StackValidationFailed(message=str(error)) from None
        return image_id


def translation_rule(
    properties: Any, plugin: Any
) -> translation.TranslationRule:
    """Return Heat's rule that puts the id in the place of the name.

    :param properties: of the resource.
    :param plugin: our client plugin.
    """
    return translation.TranslationRule(
        properties,
        translation.TranslationRule.RESOLVE,
        [schema.BASE_IMAGE],
        client_plugin=BaseImageFinder(plugin),
        finder='find',
    )
