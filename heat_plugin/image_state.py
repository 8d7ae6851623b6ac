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
"""State of an image: what the build and Glance report, compared."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from heat_plugin import schema
from imagebuild.client import Build
from imagebuild.client import exceptions

#: Of these Glance's value is compared with the template's.
_FIELDS = (
    schema.NAME,
    schema.VISIBILITY,
    schema.PROTECTED,
    schema.MIN_DISK,
    schema.MIN_RAM,
)

#: Bytes of log in the attribute "log".
LOG_TAIL = 4000
#: Chunks of a log to read where the service does not report its size: an
#: endless log must not keep heat-engine's thread.
_CHUNKS = 50


def problems(build: Build, image: Any | None) -> Iterator[str]:
    """Yield what is wrong with an image; nothing if it is as it was built.

    :param image: Glance's, None if it has none.
    """
    if build.status != 'active':
        yield f'the build {build.id} is "{build.status}", not "active"'
    if not build.image_id:
        # It was uploaded to other clouds only.
        return
    if image is None:
        yield f'the image {build.image_id} is not in Glance'
        return
    status = _field(image, 'status')
    if status != 'active':
        yield f'the image {build.image_id} is "{status}", not "active"'
    expected = build.checksum.get('os_hash_value')
    found = _field(image, 'os_hash_value')
    if expected and found != expected:
        yield (
            f'the image {build.image_id} is not the one that was built: its '
            f'os_hash_value is {found}, not {expected}'
        )


def live_properties(build: Build, image: Any) -> dict[str, Any]:
    """Return Glance's values of an image as properties of the resource.

    None for a reused image: another build named it, and two stacks must not
    correct each other's values for ever.
    """
    if build.reused_from or image is None:
        return {}
    values = {
        name: _field(image, name)
        for name in _FIELDS
        if _field(image, name) is not None
    }
    tags = _field(image, schema.TAGS)
    if tags is not None:
        values[schema.TAGS] = list(tags)
    return values


def compared(
    properties: Mapping[str, Any], live: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the live values that may differ from those of a template.

    :param properties: of the resource.
    :param live: of :func:`live_properties`.
    """
    found = dict(live)
    for name in schema.NAME, schema.MIN_DISK, schema.MIN_RAM:
        # Without a value in the template Heat or the service chose one,
        # which is no difference from the template.
        if properties.get(name) is None:
            found.pop(name, None)
    tags = found.get(schema.TAGS)
    if tags is not None and _same_tags(tags, properties.get(schema.TAGS)):
        del found[schema.TAGS]
    return found


def _same_tags(live: list[str], wanted: list[str] | None) -> bool:
    """Compare tags without their order, which Glance does not keep."""
    return sorted(live) == sorted(tag.strip() for tag in wanted or [])


def _field(image: Any, name: str) -> Any:
    # glanceclient's images are mappings, openstacksdk's objects.
    if isinstance(image, Mapping):
        return image.get(name)
    return getattr(image, name, None)


def log_tail(client: Any, build: Build, limit: int = LOG_TAIL) -> str:
    """Return the end of a build's log.

    :param limit: bytes.
    """
    size = build.raw.get('log_size')
    offset = max(0, size - limit) if isinstance(size, int) else 0
    text = ''
    for _ in range(_CHUNKS):
        chunk = client.builds.log(build.id, offset)
        if not chunk.text:
            break
        text = (text + chunk.text)[-limit:]
        offset = chunk.next_offset
    return text


def steps(client: Any, build: Build) -> Any:
    """Return the steps of a build, none if they are not available.

    They only explain a failure further: an error while reading them must not
    hide it.
    """
    try:
        return client.builds.steps(build.id)
    except exceptions.ClientError:
        return ()
