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
"""Which image is meant, and who may use it.

The service user sees every image, so this is decided here, by Glance's own
rules. An image that somebody may not use is as if it were not there: whoever
guesses ids or names learns nothing from the answer.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Protocol

from imagebuild import exception
from imagebuild.clients import images

_UUID = re.compile(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', re.I)
_LISTED = 8


class Images(Protocol):
    """What is asked of :class:`imagebuild.clients.glance.Glance`."""

    def get(self, image_id: str) -> images.Image: ...

    def list(self, **filters: str) -> list[images.Image]: ...

    def members(self, image_id: str) -> Mapping[str, str]: ...


def find(
    glance: Images, project_id: str | None, id_or_name: str, tag: str
) -> images.Image:
    """See :meth:`imagebuild.clients.glance.Glance.visible_image`."""
    if tag:
        return _newest(glance, project_id, tag)
    if _UUID.fullmatch(id_or_name):
        with contextlib.suppress(exception.NotFound):
            image = glance.get(id_or_name.lower())
            if _is_visible(glance, image, project_id):
                return _active(image)
    return _named(glance, project_id, id_or_name)


def _named(glance: Images, project_id: str | None, name: str) -> images.Image:
    found = [
        image
        for image in (glance.list(name=name) if name else ())
        if image.name == name and _is_listed(glance, image, project_id)
    ]
    if not found:
        raise exception.NotFound(what='image', id=name)
    active = [image for image in found if image.status == 'active']
    if len(active) > 1:
        ids = ', '.join(image.id for image in active[:_LISTED])
        raise exception.InvalidInput(
            f'{len(active)} images are named "{name}"; give the id of one: '
            f'{ids}.'
        )
    return _active((active or found)[0])


def _newest(glance: Images, project_id: str | None, tag: str) -> images.Image:
    for image in glance.list(tag=tag, status='active'):
        if _is_listed(glance, image, project_id):
            return image
    raise exception.NotFound(what='active image with the tag', id=tag)


def _is_listed(
    glance: Images, image: images.Image, project_id: str | None
) -> bool:
    """Whether a project sees an image without knowing its id.

    Anybody can make a community image of any name.
    """
    if image.visibility == 'community' and image.owner != project_id:
        return project_id is None
    return _is_visible(glance, image, project_id)


def _is_visible(
    glance: Images, image: images.Image, project_id: str | None
) -> bool:
    if project_id is None or image.is_visible_to(project_id, ()):
        return True
    if image.visibility != 'shared':
        return False
    accepted = {
        member
        for member, status in glance.members(image.id).items()
        if status == 'accepted'
    }
    return image.is_visible_to(project_id, accepted)


def _active(image: images.Image) -> images.Image:
    if image.status != 'active':
        raise exception.InvalidInput(
            f'Image {image.id} cannot be used: it is {image.status}.'
        )
    return image
