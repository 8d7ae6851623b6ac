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

What the operator's catalogue names is used by everybody, so it follows a rule
of its own: any member of the cloud can give an image any name and any tag, and
an id that Glance has purged as well. Only who owns an image, and that it is
public, cannot be chosen.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from typing import Literal
from typing import Protocol

from imagebuild import exception
from imagebuild.clients import images

_UUID = re.compile(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', re.I)
_LISTED = 8

#: How the catalogue may name an image in Glance.
Kind = Literal['id', 'name', 'tag']
_MayUse = Callable[[images.GlanceImage], bool]


class Images(Protocol):
    """What is asked of :class:`imagebuild.clients.glance.Glance`."""

    def get(self, image_id: str) -> images.GlanceImage: ...

    def list(self, **filters: str) -> list[images.GlanceImage]: ...

    def members(self, image_id: str) -> Mapping[str, str]: ...


def find(
    glance: Images, project_id: str, id_or_name: str, tag: str
) -> images.GlanceImage:
    """See :meth:`imagebuild.clients.glance.Glance.visible_image`."""

    def listed(image: images.GlanceImage) -> bool:
        return _is_listed(glance, image, project_id)

    if tag:
        return _newest(glance, tag, listed)
    if _UUID.fullmatch(id_or_name):
        with contextlib.suppress(exception.NotFound):
            image = glance.get(id_or_name.lower())
            if _is_visible(glance, image, project_id):
                return _active(image)
    return _named(glance, id_or_name, listed)


def find_trusted(
    glance: Images, projects: Collection[str], kind: Kind, value: str
) -> images.GlanceImage:
    """See :meth:`imagebuild.clients.glance.Glance.trusted_image`."""

    def trusted(image: images.GlanceImage) -> bool:
        return image.visibility == 'public' or image.owner in projects

    if kind == 'tag':
        return _newest(glance, value, trusted)
    if kind == 'name':
        return _named(glance, value, trusted)
    image = glance.get(value.lower())
    if not trusted(image):
        raise exception.NotFound(what='image', id=value)
    return _active(image)


def _named(glance: Images, name: str, may_use: _MayUse) -> images.GlanceImage:
    found = [
        image
        for image in (glance.list(name=name) if name else ())
        if image.name == name and may_use(image)
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


def _newest(glance: Images, tag: str, may_use: _MayUse) -> images.GlanceImage:
    for image in glance.list(tag=tag, status='active'):
        if may_use(image):
            return image
    raise exception.NotFound(what='active image with the tag', id=tag)


def _is_listed(
    glance: Images, image: images.GlanceImage, project_id: str
) -> bool:
    """Whether a project sees an image without knowing its id.

    Anybody can make a community image of any name.
    """
    if image.visibility == 'community' and image.owner != project_id:
        return False
    return _is_visible(glance, image, project_id)


def _is_visible(
    glance: Images, image: images.GlanceImage, project_id: str
) -> bool:
    if image.is_visible_to(project_id, ()):
        return True
    if image.visibility != 'shared':
        return False
    accepted = {
        member
        for member, status in glance.members(image.id).items()
        if status == 'accepted'
    }
    return image.is_visible_to(project_id, accepted)


def _active(image: images.GlanceImage) -> images.GlanceImage:
    if image.status != 'active':
        raise exception.InvalidInput(
            f'Image {image.id} cannot be used: it is {image.status}.'
        )
    return image
