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

from heat_plugin import schema
from heat_plugin import unknown


def problems(given: unknown.Given) -> Iterator[str]:
    """Find what the schema of single properties does not say."""
    if not (given.has(schema.OS) or given.has(schema.BASE_IMAGE)):
        yield 'either "os" or "base_image" is needed'
    if given.has(schema.RECIPE) and given.has(schema.MANIFEST):
        yield 'only one of "recipe" and "manifest" can be given'
    if given.has(schema.RECIPE_VERSION) and not given.has(schema.RECIPE):
        yield '"recipe_version" is of no use without "recipe"'
    if given.has(schema.RESOURCES) and not given.has(schema.MANIFEST):
        yield '"resources" is of no use without "manifest"'
    yield from _of_values(given)


def _of_values(given: unknown.Given) -> Iterator[str]:
    visibility = given[schema.VISIBILITY]
    if given[schema.MEMBERS] and visibility not in (None, 'shared'):
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
    for name, value in (given[schema.IMAGE_PROPERTIES] or {}).items():
        if isinstance(value, dict | list):
            kind = 'map' if isinstance(value, dict) else 'list'
            yield (
                f'properties.{name}: the value is a {kind}; the properties '
                'of an image are texts'
            )


def request(
    properties: Mapping[str, Any] | unknown.Given, name: str
) -> dict[str, Any]:
    """Make the body of a request of the properties.

    :param properties: Heat's, or what is known of them.
    :param name: of the image, if the template gives none.
    """
    given = {
        key: properties[key]
        for key in (*schema.CONTENT, *schema.ABOUT, *schema.BUILDING)
    }
    body = {
        key: stripped(key, value)
        for key, value in given.items()
        if value is not None
    }
    body.setdefault(schema.NAME, name)
    if schema.FILES in body:
        body[schema.FILES] = [
            {key: value for key, value in item.items() if value is not None}
            for item in body[schema.FILES]
        ]
    if not body.get(schema.DESTINATIONS):
        body.pop(schema.DESTINATIONS, None)
    if schema.IMAGE_PROPERTIES in body:
        body[schema.IMAGE_PROPERTIES] = texts(body[schema.IMAGE_PROPERTIES])
    return body


def changes(prop_diff: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Make the body of an update of what changed in the template.

    :param prop_diff: new values; what was taken out of the template has its
        default.
    :param name: of the image, if the template gives none.
    """
    body = {
        key: stripped(key, value)
        for key, value in prop_diff.items()
        if key in schema.ABOUT
    }
    if schema.NAME in body and body[schema.NAME] is None:
        body[schema.NAME] = name
    for key in schema.MIN_DISK, schema.MIN_RAM:
        if key in body and body[key] is None:
            body[key] = 0
    if schema.IMAGE_PROPERTIES in body:
        body[schema.IMAGE_PROPERTIES] = texts(body[schema.IMAGE_PROPERTIES])
    return body


def stripped(key: str, value: Any) -> Any:
    """Leave out the blanks around names.

    A comma_delimited_list, "nginx, curl", keeps those after its commas; so
    does what a template takes out of one.
    """
    if key in schema.NAMES and isinstance(value, str):
        return value.strip()
    if key in schema.LISTS_OF_NAMES and isinstance(value, list):
        return [
            item.strip() if isinstance(item, str) else item for item in value
        ]
    return value


def texts(image_properties: Mapping[str, Any] | None) -> dict[str, Any]:
    """Make texts of the properties of an image, as Glance wants them.

    YAML makes numbers and booleans of some. What is null is left out: that
    is how a template says that there is none. A map or list stays what it
    is, and the service refuses it.
    """
    return {
        str(key): _text(value)
        for key, value in (image_properties or {}).items()
        if value is not None
    }


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, dict | list) else str(value)
