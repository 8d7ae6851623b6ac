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
"""Bodies of requests to the service, made from the resource's properties."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from heat_plugin import pipeline_schema
from heat_plugin import schema
from heat_plugin.known_properties import KnownProperties


def create(
    properties: Mapping[str, Any] | KnownProperties, name: str
) -> dict[str, Any]:
    """Return the body of a request for a build.

    :param properties: Heat's, or those that are known.
    :param name: of the image, if the template gives none.
    """
    body = _described(
        properties, (*schema.CONTENT, *schema.ABOUT, *schema.BUILDING)
    )
    body.setdefault(schema.NAME, name)
    return body


def of_pipeline(
    image: Mapping[str, Any] | KnownProperties,
) -> dict[str, Any]:
    """Return the image of a pipeline as the service takes it.

    :param image: property of the resource, or what is known of it.
    """
    return _described(image, (*schema.CONTENT, *schema.ABOUT, schema.TIMEOUT))


def pipeline_update(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the body of a request that changes a pipeline.

    :param given: new values of properties; None for one that was taken out.
    :param name: of the pipeline.
    """
    body = {
        key: value
        for key, value in given.items()
        if key in pipeline_schema.VALUES
    }
    if body.get(pipeline_schema.CURRENT_TAG, '') is None:
        body[pipeline_schema.CURRENT_TAG] = (
            f'{pipeline_schema.TAG_PREFIX}{name}'
        )
    if pipeline_schema.IMAGE in given:
        body[pipeline_schema.IMAGE] = of_pipeline(given[pipeline_schema.IMAGE])
    return body


def digest(image: Mapping[str, Any]) -> str:
    """Return a digest of what the service is sent of a pipeline's image."""
    text = json.dumps(of_pipeline(image), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def of_validation(
    properties: Mapping[str, Any] | KnownProperties,
) -> dict[str, Any]:
    """Return what is to be true of machines, as the service takes it."""
    body = _described(properties, schema.IN_A_SYSTEM)
    # Templates leave them empty.
    return {name: value for name, value in body.items() if value}


def _described(
    properties: Mapping[str, Any] | KnownProperties, keys: Iterable[str]
) -> dict[str, Any]:
    given = {key: properties[key] for key in keys}
    body = {
        key: stripped(key, value)
        for key, value in given.items()
        if value is not None
    }
    if schema.FILES in body:
        body[schema.FILES] = [
            {key: value for key, value in item.items() if value is not None}
            for item in body[schema.FILES]
        ]
    if schema.BOOT_TEST in body:
        body[schema.BOOT_TEST] = {
            key: value
            for key, value in body[schema.BOOT_TEST].items()
            if value is not None
        }
    if base := body.pop(schema.BASE_CHANNEL, None):
        body[schema.OS] = dict(base)
    # A template may leave the list empty; the service takes no empty one.
    if not body.get(schema.DESTINATIONS):
        body.pop(schema.DESTINATIONS, None)
    if schema.IMAGE_PROPERTIES in body:
        body[schema.IMAGE_PROPERTIES] = strings(body[schema.IMAGE_PROPERTIES])
    return body


def update(prop_diff: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the body of an update with what changed in the template.

    :param prop_diff: new values; a property taken out of the template has
        its default.
    :param name: of the image, if the template gives none.
    """
    body = {
        key: stripped(key, value)
        for key, value in prop_diff.items()
        if key in schema.ABOUT
    }
    if schema.NAME in body and body[schema.NAME] is None:
        body[schema.NAME] = name
    # Glance has no "unset" for these two.
    for key in schema.MIN_DISK, schema.MIN_RAM:
        if key in body and body[key] is None:
            body[key] = 0
    if schema.IMAGE_PROPERTIES in body:
        body[schema.IMAGE_PROPERTIES] = strings(body[schema.IMAGE_PROPERTIES])
    return body


def promotion(
    properties: Mapping[str, Any], changes: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Return what is to be promoted where.

    :param properties: Heat's.
    :param changes: new values of some.
    :returns: arguments of the client's ``promote``; None for nothing.
    """
    given = {key: properties[key] for key in schema.PROMOTION}
    given |= {
        key: value for key, value in (changes or {}).items() if key in given
    }
    channel = stripped(schema.CHANNEL, given[schema.CHANNEL])
    if not channel:
        return None
    tags = stripped(schema.CHANNEL_TAGS, given[schema.CHANNEL_TAGS])
    return {'channel': channel} | ({} if tags is None else {'tags': tags})


def stripped(key: str, value: Any) -> Any:
    """Strip the blanks around names.

    A comma_delimited_list, "nginx, curl", keeps those after its commas, and
    so do its items in a template.
    """
    if key in schema.NAMES and isinstance(value, str):
        return value.strip()
    if key in schema.LISTS_OF_NAMES and isinstance(value, list):
        return [
            item.strip() if isinstance(item, str) else item for item in value
        ]
    return value


def strings(image_properties: Mapping[str, Any] | None) -> dict[str, Any]:
    """Convert the properties of an image to strings, as Glance wants them.

    YAML makes numbers and booleans of some. A null is left out: that is how a
    template says that there is no such property. A map or list stays one, and
    the service refuses it.
    """
    return {
        str(key): _string(value)
        for key, value in (image_properties or {}).items()
        if value is not None
    }


def _string(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, dict | list) else str(value)
