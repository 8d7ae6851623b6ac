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
"""Fields and properties of an image, checked before anything is sent."""

from __future__ import annotations

from typing import Any

from imagebuild import exception
from imagebuild.common import image_properties
from imagebuild.stores import base
from imagebuild.stores import image_change

_CHANGEABLE = (
    *('name', 'visibility', 'protected', 'tags', 'min_disk', 'min_ram'),
)


def described(
    image: base.ImageProperties,
    stamp: base.Stamp,
    rules: image_properties.Rules,
) -> dict[str, Any]:
    """An image's fields and properties in one mapping, as Glance has them.

    :raises InvalidRequest: a property has the name of a field (one of a
        request could then give the image to another project), or of what
        this service or Glance sets itself; or there are members and a
        visibility that has none.
    """
    problems = [
        exception.Problem(f'properties.{name}', wrong)
        for name in image.properties
        if (wrong := rules.error(name))
    ]
    visibility = image.visibility or ('shared' if image.members else 'private')
    if image.members and visibility != 'shared':
        problems.append(
            exception.Problem(
                'members', f'an image that is {visibility} has no members'
            )
        )
    if problems:
        raise exception.InvalidRequest(problems)
    return {
        'name': image.name,
        'owner': image.owner,
        'visibility': visibility,
        'protected': image.protected,
        'disk_format': image.disk_format,
        'container_format': image.container_format,
        'min_disk': image.min_disk,
        'min_ram': image.min_ram,
        'tags': sorted(set(image.tags)),
        # The stamp last: nothing of a request is taken for it.
        **image.properties,
        **stamp.properties(),
    }


def changed(change: image_change.ImageChange) -> dict[str, Any]:
    """The same of what changes, without members and further tags.

    :param change: which was applied to the image.
    """
    values = {name: getattr(change, name) for name in _CHANGEABLE}
    if change.only_adds:
        del values['tags']
    return {
        **{k: value for k, value in values.items() if value is not None},
        **change.properties,
    }
