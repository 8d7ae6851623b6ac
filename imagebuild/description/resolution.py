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
"""A description with the base image that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagebuild.description.description import Description


def pinned(
    described: Description, request: Mapping[str, Any]
) -> dict[str, Any]:
    """A request that says what it means by now.

    A newer version of the recipe may be installed before it is built. What a
    manifest or a recipe is made of is the driver's matter, which looks into
    neither.

    :param request: the body of a request, described.
    """
    found = dict(request)
    if described.recipe is not None:
        found['recipe_version'] = described.recipe[1]
    if described.elements:
        found['elements'] = [*described.elements]
    return found


def resolve(
    described: Description,
    request: Mapping[str, Any],
    base: Mapping[str, Any],
    architecture: str,
    min_disk: int = 0,
) -> tuple[dict[str, Any], str]:
    """Complete a base image, and digest everything that decides the image.

    :param request: the body of the request, with its defaults and driver.
    :param base: what a conductor resolved the base image to.
    :param architecture: of the machines that the image is for.
    :param min_disk: GiB that the operating system needs.
    :returns: the base with ``steps_key``, as builds have it, and the
        ``min_disk`` of the operating system and the recipe; and the content
        key. Whoever has hidden values must key it, or a short one could be
        guessed.
    :raises StepError: a recipe that is a plugin failed to compute its own.
    """
    complete = {
        **base,
        'steps_key': described.steps_digest(),
        'min_disk': max(min_disk, described.min_disk),
    }
    deciding = {
        **request,
        'architecture': architecture,
        'driver_options': base.get(
            'driver_options', request.get('driver_options', {})
        ),
    }
    return complete, described.image_content_key(complete, deciding)
