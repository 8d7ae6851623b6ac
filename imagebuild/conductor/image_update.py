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
"""Updates the metadata of an image that exists already.

Several builds may share it. None of them takes anything from another: the
name, the visibility and the values of properties are those of the oldest
build, and everything else is what satisfies all of them.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import db
from imagebuild import exception
from imagebuild.conductor import upload_rows
from imagebuild.conductor.conductor_context import OpenStore

LOG = logging.getLogger(__name__)


def update_image(
    database: db.Database,
    open_store: OpenStore,
    build_id: str,
    changes: Mapping[str, Any],
) -> list[dict[str, str]]:
    """Change the metadata of a build's image, in every store.

    The store comes first: the row of the build is what has happened. For
    an image that several builds share see :func:`merged`.

    :param changes: fields of the request, judged by the API.
    :returns: what the store has against them, each ``{path, message}``;
        empty when it is done.
    :raises NotFound: there is no such build, or its image is gone.
    :raises ServiceUnavailable: the store cannot be asked.
    """
    build = database.get_build(build_id)
    request = {**build.request, **changes}
    whole = merged(
        [
            request if user.id == build.id else user.request
            for user in database.users_of_image(build_id)
        ]
    )
    whole['tags'] = _with(whole['tags'], database.channel_tags(build_id))
    wanted = upload_rows.image(build, whole)
    dropped = set(build.request.get('properties') or ()) - set(
        whole.get('properties') or ()
    )
    try:
        for image in _present(build):
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


def change_tags(
    database: db.Database,
    open_store: OpenStore,
    build_id: str,
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> list[dict[str, str]]:
    """Change some tags of a build's image, and nothing else of it.

    What others have changed in the store since, its protection above all,
    stays. A tag that another build or a channel of the image wants is not
    removed.

    :returns: as :func:`update_image` does.
    :raises NotFound: there is no such build, or its image is gone.
    :raises ServiceUnavailable: the store cannot be asked.
    """
    build = database.get_build(build_id)
    tags = [each for each in build.request.get('tags') or ()
            if each not in remove and each not in add]  # fmt: skip
    request = {**build.request, 'tags': [*tags, *add]}
    wanted = _all(
        [
            request if user.id == build.id else user.request
            for user in database.users_of_image(build_id)
        ],
        'tags',
    )
    wanted = _with(wanted, database.channel_tags(build_id))
    try:
        for image in _present(build):
            open_store(image.destination).change_tags(
                image.image_id,
                add=add,
                remove=[each for each in remove if each not in wanted],
            )
    except exception.NotFound:
        raise
    except exception.InvalidInput as error:
        return [_problem('', str(error))]
    database.update_build(build_id, {'request': request})
    return []


def _present(build: db.Build) -> list[db.Image]:
    """The images of a build, without those that are deleted elsewhere.

    :raises NotFound: all are.
    """
    found = [image for image in build.images if image.status == 'active']
    if build.images and not found:
        raise exception.NotFound(what='image', id=build.images[0].image_id)
    return found


def settle(
    database: db.Database, open_store: OpenStore, build_id: str
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
    database: db.Database, open_store: OpenStore, build_id: str
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


def merged(requests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Bring together what several builds want of their image.

    :param requests: of the builds, the oldest first; at least one.
    :returns: the first request, changed where others want more.
    """
    first = requests[0]
    if len(requests) == 1:
        return dict(first)
    visibility = first.get('visibility')
    members = _all(requests, 'members')
    if members and visibility == 'private':
        visibility = 'shared'
    if visibility not in (None, '', 'shared'):
        # Everybody sees it, or nobody wants members.
        members = []
    properties: dict[str, Any] = {}
    # The oldest comes last, so that its values win.
    for request in reversed(requests):
        properties.update(request.get('properties') or {})
    return {
        **first,
        'visibility': visibility,
        'members': members,
        'protected': any(request.get('protected') for request in requests),
        'tags': _all(requests, 'tags'),
        'properties': properties,
        'min_disk': _most(requests, 'min_disk'),
        'min_ram': _most(requests, 'min_ram'),
    }


def _all(requests: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """Every item of any of the lists, once."""
    lists = [request.get(name) or () for request in requests]
    return list(dict.fromkeys(itertools.chain.from_iterable(lists)))


def _with(some: Iterable[str], more: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*some, *more]))


def _most(requests: Sequence[Mapping[str, Any]], name: str) -> int:
    return max(int(request.get(name) or 0) for request in requests)


def _problem(path: str, message: str) -> dict[str, str]:
    return {'path': path, 'message': message}
