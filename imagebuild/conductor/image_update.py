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
"""Updates the metadata of an image that exists already."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from imagebuild import db
from imagebuild import exception
from imagebuild.conductor import conductor_context
from imagebuild.conductor import sharing
from imagebuild.conductor import upload_rows

LOG = logging.getLogger(__name__)


def update_image(
    database: db.Database,
    open_store: conductor_context.OpenStore,
    build_id: str,
    changes: Mapping[str, Any],
) -> list[dict[str, str]]:
    """Change what is said about a build's image, in every place it is.

    The store comes first: what the row of the build says has happened. For
    an image that several builds share see :mod:`imagebuild.conductor.sharing`.

    :param changes: fields of the request, judged by the API.
    :returns: what the store has against them, each ``{path, message}``;
        empty when it is done.
    :raises NotFound: there is no such build, or its image is gone.
    :raises ServiceUnavailable: the store cannot be asked.
    """
    build = database.get_build(build_id)
    request = {**build.request, **changes}
    whole = sharing.merged(
        [
            request if user.id == build.id else user.request
            for user in database.users_of_image(build_id)
        ]
    )
    wanted = upload_rows.image(build, whole)
    dropped = set(build.request.get('properties') or ()) - set(
        whole.get('properties') or ()
    )
    try:
        for image in build.images:
            open_store(image.destination).update(
                image.image_id, wanted, dropped=dropped
            )
    except exception.InvalidManifest as error:
        return [_problem(each.path, each.message) for each in error.errors]
    except exception.NotFound:
        raise
    except exception.InvalidInput as error:
        return [_problem('', str(error))]
    database.update_build(
        build_id, {'request': request, 'name': request['name']}
    )
    return []


def settle(
    database: db.Database,
    open_store: conductor_context.OpenStore,
    build_id: str,
) -> None:
    """Have an image be what all builds want that have it from now on.

    What cannot be done now is done with the next change of one of them.
    """
    try:
        problems = update_image(database, open_store, build_id, {})
    except exception.ImageBuildError as error:
        problems = [_problem('', str(error))]
    for problem in problems:
        LOG.warning(
            'Image of build %s not updated for those that share it: %s',
            build_id,
            problem['message'],
        )


def protected_images(
    database: db.Database,
    open_store: conductor_context.OpenStore,
    build_id: str,
) -> list[str]:
    """What stands in the way of deleting a build: its protected images.

    The store is asked, not the row: anybody of the project can protect an
    image in the store, and take that back.

    :returns: ids of images that would go with the build, and are protected.
    :raises NotFound: there is no such build.
    :raises ServiceUnavailable: the store cannot be asked.
    """
    return [
        image.image_id
        for image in database.images_only_used_by(build_id)
        if open_store(image.destination).is_protected(image.image_id)
    ]


def _problem(path: str, message: str) -> dict[str, str]:
    return {'path': path, 'message': message}
