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
"""Base images in a cloud where the user of a program has an account.

The service looks for images as its own user, for others. A program looks as
whoever runs it: with the cloud that they name, or that their environment
does, as every client of OpenStack finds it. Which images may be meant is
decided by the same rules (:mod:`imagebuild.clients.visibility`), for the
user's own project: an administrator is shown the images of everybody, whatever
they are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import cast

from imagebuild.clients import clouds
from imagebuild.clients import glance
from imagebuild.clients import visibility
from imagebuild.drivers import base

#: How a catalogue names an image, see :mod:`imagebuild.catalogue`.
OF_CATALOGUE = ('id', 'name', 'tag')


def sections(
    cloud: str, *, trusted_projects: Sequence[str], retry_timeout: float
) -> dict[str, dict[str, Any]]:
    """How a cloud is reached; nothing is contacted yet.

    :param cloud: its name in clouds.yaml, '' for that of the environment.
    :param trusted_projects: see :class:`imagebuild.clients.glance.Glance`.
    :param retry_timeout: seconds for which it is waited for.
    :returns: ``keystone`` and ``glance``, with secrets.
    :raises InvalidInput: there is no such cloud, or none is named.
    :raises MissingDependency: what reads clouds.yaml is not installed.
    """
    found = clouds.sections(cloud, environment=True)
    return {
        'keystone': found['keystone'],
        'glance': {
            **found['glance'],
            'trusted_projects': list(trusted_projects),
            'retry_timeout': retry_timeout,
        },
    }


def find(
    kind: str, value: str, config: Mapping[str, Mapping[str, Any]]
) -> base.BaseImage:
    """Find an image.

    :param kind: ``glance`` for an id or a name that the user gives; else one
        of :data:`OF_CATALOGUE`: then only public images and those of trusted
        projects are looked at.
    :param value: its id, name or tag.
    :param config: of :func:`sections`.
    :raises NotFound: there is no such image.
    :raises InvalidInput: several have the name, or it is not active.
    :raises EnvironmentFault: the cloud cannot be reached, or refuses.
    """
    client = glance.Glance.from_config(config)
    if kind in OF_CATALOGUE:
        image = client.trusted_image(cast(visibility.Kind, kind), value)
    else:
        image = client.visible_image(client.project_id(), value)
    return base.BaseImage(
        kind='glance',
        id=image.id,
        location=image.name,
        checksum=image.checksum,
        size=image.size,
        disk_format=image.disk_format,
    )
