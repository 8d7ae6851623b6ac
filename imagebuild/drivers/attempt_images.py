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
"""Images that attempts have had a cloud make, found again by their stamp.

For ``Driver.reap`` and ``Driver.left_behind`` of drivers that end with an
image in Glance.

The stamp is no proof: whoever boots a server from an image and makes an image
of that server has its properties, the stamp with them, and anybody can give it
to an image that others boot from. So an image must be of this service's
project, too, as its servers are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imagebuild import artifacts
from imagebuild import exception

if TYPE_CHECKING:
    from imagebuild.clients import glance
    from imagebuild.clients import images

LOG = logging.getLogger(__name__)


def left(client: glance.Glance, service: str) -> Iterator[tuple[str, int]]:
    """The attempts of a service that have an image which nobody adopted.

    Also of attempts that are still being made.

    :param service: id of the service.
    :returns: build id and attempt of each image.
    """
    if not service:
        return
    own = client.project_id()
    for image in client.each(**{artifacts.SERVICE: service}):
        stamp = _stamp_of(image, service, own)
        if stamp is not None:
            yield stamp.build_id, stamp.attempt


def reap(client: glance.Glance, stamp: artifacts.AttemptStamp) -> int:
    """Remove the images of an attempt, but for those that were adopted.

    :returns: how many there were.
    :raises Conflict: one is in use.
    :raises ServiceUnavailable: Glance is away.
    """
    name, own = artifacts.ATTEMPT, client.project_id()
    reaped = 0
    for found in client.each(**{name: stamp.properties()[name]}):
        # As it is now: it may have been adopted, or be gone.
        try:
            image = client.get(found.id)
        except exception.NotFound:
            continue
        if _stamp_of(image, stamp.service, own) != stamp:
            continue
        if image.protected:
            client.update(image.id, protected=False)
        client.delete(image.id)
        LOG.info('Removed image %s of attempt %d', image.id, stamp.attempt)
        reaped += 1
    return reaped


def _stamp_of(
    image: images.GlanceImage, service: str, own: str
) -> artifacts.AttemptStamp | None:
    # Without Keystone there are no projects.
    if own and image.owner != own:
        return None
    return artifacts.AttemptStamp.from_properties(image.properties, service)
