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
"""Checks of a template that need no service."""

from __future__ import annotations

from collections.abc import Iterator

from heat_plugin import schema
from heat_plugin.known_properties import KnownProperties


def problems(given: KnownProperties) -> Iterator[str]:
    """Yield the mistakes that the schema of single properties allows."""
    bases = (schema.OS, schema.BASE_IMAGE, schema.BASE_CHANNEL)
    if not any(given.has(name) for name in bases):
        yield 'either "os", "base_image" or "base_channel" is needed'
    if given.has(schema.BASE_CHANNEL) and any(
        given.has(name) for name in bases[:2]
    ):
        yield '"base_channel" is given instead of "os" and "base_image"'
    if given.has(schema.CHANNEL) and not given.has(schema.NAME):
        yield '"channel" needs "name": a channel is one of that name'
    if given.has(schema.CHANNEL_TAGS) and not given.has(schema.CHANNEL):
        yield '"channel_tags" is of no use without "channel"'
    if given.has(schema.RECIPE) and given.has(schema.MANIFEST):
        yield 'only one of "recipe" and "manifest" can be given'
    if given.has(schema.RECIPE_VERSION) and not given.has(schema.RECIPE):
        yield '"recipe_version" is of no use without "recipe"'
    if given.has(schema.RESOURCES) and not given.has(schema.MANIFEST):
        yield '"resources" is of no use without "manifest"'
    yield from _value_problems(given)


def _value_problems(given: KnownProperties) -> Iterator[str]:
    for key in schema.CHANNEL_NAME, schema.CHANNEL:
        if not (given[schema.BASE_CHANNEL] or {key: True}).get(key):
            yield f'base_channel: "{key}" is needed'
    visibility = given[schema.VISIBILITY]
    if given[schema.MEMBERS] and visibility not in (None, 'shared'):
        yield 'only an image with "visibility: shared" has "members"'
    yield from file_problems(given)
    for name, value in (given[schema.IMAGE_PROPERTIES] or {}).items():
        if isinstance(value, dict | list):
            kind = 'map' if isinstance(value, dict) else 'list'
            yield (
                f'properties.{name}: the value is a {kind}; the properties '
                'of an image are strings'
            )


def file_problems(given: KnownProperties) -> Iterator[str]:
    """Yield the mistakes that the schema of ``files`` allows."""
    for index, item in enumerate(given[schema.FILES] or ()):
        if not item.get(schema.PATH):
            yield f'files[{index}]: "path" is needed'
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
