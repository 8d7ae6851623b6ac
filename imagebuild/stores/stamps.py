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
"""Which images in Glance are this service's.

Properties of an image are no proof: Nova and Cinder copy them. A snapshot of a
server has all those of the image that the server was made of, and belongs to
its user. So an image that is ours says its own id.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator

from imagebuild import artifacts
from imagebuild.clients import images
from imagebuild.stores import base

#: The image's own id: another one in a copy.
IMAGE_ID = 'imagebuild_image_id'
#: The service that made it.
SERVICE = artifacts.SERVICE

#: What only the copies have that other services make: those of images that
#: were made before there was IMAGE_ID.
_OF_COPIES = ('base_image_ref', 'instance_uuid', 'image_location')


def properties(image_id: str, service: str) -> dict[str, str]:
    """What an image has besides its stamp.

    :param image_id: its id.
    :param service: id of the service that makes it; '' when not known.
    """
    return {IMAGE_ID: image_id, **({SERVICE: service} if service else {})}


def of(image: images.GlanceImage) -> base.Stamp | None:
    """The stamp of an image; None when it has none of its own."""
    own_id = image.properties.get(IMAGE_ID)
    if own_id and own_id != image.id:
        return None
    if not own_id and any(name in image.properties for name in _OF_COPIES):
        return None
    return base.Stamp.from_properties(image.properties)


def is_of(image: images.GlanceImage, stamp: base.Stamp) -> bool:
    """Whether an upload made an image."""
    found = of(image)
    return found is not None and found.upload_id == stamp.upload_id


def stamped(
    found: Iterable[images.GlanceImage], service: str
) -> Iterator[base.StampedImage]:
    """Those that a service has made.

    :param found: images, others among them.
    :param service: its id.
    """
    for image in found:
        stamp = of(image)
        if stamp and image.properties.get(SERVICE) == service:
            yield base.StampedImage(
                image_id=image.id,
                stamp=stamp,
                status=image.status,
                created_at=image.created_at,
                protected=image.protected,
                hidden=image.os_hidden,
            )
