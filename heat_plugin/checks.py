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
"""What of a template can be refused before anything is built."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from heat.engine import function

from heat_plugin import schema


class Given:
    """The properties as far as they are known.

    :param properties: Heat's.
    :ivar complete: all of them are known: none waits for another resource.
    """

    def __init__(self, properties: Any) -> None:
        self._properties = properties
        self.complete = not self._waiting(dict(properties.data))

    def has(self, name: str) -> bool:
        """Whether a property has a value, or will have one."""
        if name not in self._properties.data:
            return False
        if self._waiting(self._properties.data[name]):
            return True
        return self._properties.get_user_value(name) not in (None, '', [], {})

    def __getitem__(self, name: str) -> Any:
        return self._properties[name]

    @staticmethod
    def _waiting(snippet: Any) -> bool:
        # As Heat does for constraints.
        return any(
            resource.action == resource.INIT
            for resource in function.dependencies(snippet)
        )


def problems(given: Given) -> Iterator[str]:
    """Find what the schema of single properties does not say."""
    if not (given.has(schema.OS) or given.has(schema.BASE_IMAGE)):
        yield 'either "os" or "base_image" is needed'
    if given.has(schema.RECIPE) and given.has(schema.MANIFEST):
        yield 'only one of "recipe" and "manifest" can be given'
    if given.has(schema.RECIPE_VERSION) and not given.has(schema.RECIPE):
        yield '"recipe_version" is of no use without "recipe"'
    if given.has(schema.RESOURCES) and not given.has(schema.MANIFEST):
        yield '"resources" is of no use without "manifest"'
    if given.complete:
        yield from _of_values(given)


def _of_values(given: Given) -> Iterator[str]:
    if given[schema.MEMBERS] and given[schema.VISIBILITY] != 'shared':
        yield 'only an image with "visibility: shared" has "members"'
    for index, item in enumerate(given[schema.FILES] or ()):
        found = [
            name
            for name in (schema.TEXT, schema.BASE64)
            if item.get(name) is not None
        ]
        if len(found) != 1:
            yield (
                f'files[{index}]: exactly one of "content" and '
                '"content_base64" is needed'
            )


def request(properties: Any, name: str) -> dict[str, Any]:
    """Make the body of a request of the properties.

    :param name: of the image, if the template gives none.
    """
    body = {
        key: properties[key]
        for key in (*schema.CONTENT, *schema.ABOUT, *schema.BUILDING)
        if properties[key] is not None
    }
    body.setdefault(schema.NAME, name)
    if schema.FILES in body:
        body[schema.FILES] = [
            {key: value for key, value in item.items() if value is not None}
            for item in body[schema.FILES]
        ]
    if not body.get(schema.DESTINATIONS):
        body.pop(schema.DESTINATIONS, None)
    body[schema.IMAGE_PROPERTIES] = texts(body[schema.IMAGE_PROPERTIES])
    return body


def changes(prop_diff: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Make the body of an update of what changed in the template.

    :param prop_diff: new values; what was taken out of the template has its
        default.
    :param name: of the image, if the template gives none.
    """
    body = {
        key: value for key, value in prop_diff.items() if key in schema.ABOUT
    }
    if schema.NAME in body and body[schema.NAME] is None:
        body[schema.NAME] = name
    for key in schema.MIN_DISK, schema.MIN_RAM:
        if key in body and body[key] is None:
            body[key] = 0
    if schema.IMAGE_PROPERTIES in body:
        body[schema.IMAGE_PROPERTIES] = texts(body[schema.IMAGE_PROPERTIES])
    return body


def texts(image_properties: Mapping[str, Any] | None) -> dict[str, str]:
    """Make texts of the properties of an image, as Glance wants them.

    YAML makes numbers and booleans of some.
    """
    return {
        str(key): str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in (image_properties or {}).items()
    }
