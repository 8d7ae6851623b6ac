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
"""What became of an image: the build and Glance asked, and compared."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from heat_plugin import schema
from imagebuild.client import Build
from imagebuild.client import exceptions

#: Of these Glance's own value is compared with the template's.
_FIELDS = (
    schema.NAME,
    schema.VISIBILITY,
    schema.PROTECTED,
    schema.MIN_DISK,
    schema.MIN_RAM,
)

#: Bytes of log that are shown.
LOG_TAIL = 4000
#: Parts of a log that are read when the service does not say how long it is.
_PARTS = 50


def missing(build: Build, image: Any | None) -> Iterator[str]:
    """Say what is wrong with an image; nothing if it is as it was built.

    :param image: Glance's, None if it has none.
    """
    if build.status != 'active':
        yield f'the build {build.id} is "{build.status}", not "active"'
    if not build.image_id:
        # Only in other clouds.
        return
    if image is None:
        yield f'the image {build.image_id} is not in Glance'
        return
    status = _field(image, 'status')
    if status != 'active':
        yield f'the image {build.image_id} is "{status}", not "active"'
    built = build.checksum.get('os_hash_value')
    found = _field(image, 'os_hash_value')
    if built and found != built:
        yield (
            f'the image {build.image_id} is not the one that was built: its '
            f'os_hash_value is {found}, not {built}'
        )


def about(build: Build, image: Any) -> dict[str, Any]:
    """What Glance says about an image, as properties of the resource.

    Nothing of an image that was reused: another build named it, and two
    stacks are not to correct each other for ever.
    """
    if build.reused_from or image is None:
        return {}
    found = {
        name: _field(image, name)
        for name in _FIELDS
        if _field(image, name) is not None
    }
    tags = _field(image, schema.TAGS)
    if tags is not None:
        found[schema.TAGS] = list(tags)
    return found


def same_tags(live: list[str], wanted: list[str] | None) -> bool:
    """Glance keeps no order of tags."""
    return sorted(live) == sorted(tag.strip() for tag in wanted or [])


def _field(image: Any, name: str) -> Any:
    if isinstance(image, Mapping):
        return image.get(name)
    return getattr(image, name, None)


def log_tail(client: Any, build: Build, limit: int = LOG_TAIL) -> str:
    """Read the end of a build's log.

    :param limit: bytes.
    """
    size = build.raw.get('log_size')
    offset = max(0, size - limit) if isinstance(size, int) else 0
    text = ''
    for _ in range(_PARTS):
        part = client.builds.log(build.id, offset)
        if not part.text:
            break
        text = (text + part.text)[-limit:]
        offset = part.next_offset
    return text


def steps(client: Any, build: Build) -> Any:
    """The steps of a build; none if they cannot be had.

    They only explain a failure further: to fail to read them must not hide
    it.
    """
    try:
        return client.builds.steps(build.id)
    except exceptions.ClientError:
        return ()
