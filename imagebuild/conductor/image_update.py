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

People change images in the store as well, and protect them above all. So
only what a request asks to change is changed, and the rest stays as it is in
the store.

Several builds may share an image. None of them takes anything from another:
the name, the visibility and the values of properties are those of the oldest
build, and everything else is what satisfies all of them. A build that comes
to an image that is there only adds to it.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import db
from imagebuild import exception
from imagebuild.conductor import upload_rows
from imagebuild.conductor.conductor_context import OpenStore
from imagebuild.stores import image_change

LOG = logging.getLogger(__name__)

#: Fields of an image that a request changes, beside its properties.
_FIELDS = (
    *('name', 'visibility', 'protected', 'tags', 'members', 'min_disk'),
    'min_ram',
)
#: Where another build decides about these, they stay as the store has them.
_OF_ONE_BUILD = ('name', 'visibility', 'protected')


def update_image(
    database: db.Database,
    open_store: OpenStore,
    build_id: str,
    changes: Mapping[str, Any],
) -> list[dict[str, str]]:
    """Change the metadata of a build's image, in every store.

    The store comes first: the row of the build is what has happened. For
    an image that several builds share see :func:`merged`.

    :param changes: fields of the request, judged by the API; none for a
        build that has come to an image of others: what it wants is added.
    :returns: what the store has against them, each ``{path, message}``;
        empty when it is done.
    :raises NotFound: there is no such build, or its image is gone.
    :raises ServiceUnavailable: the store cannot be asked.
    """
    build = database.get_build(build_id)
    users = database.users_of_image(build_id)
    if not changes:
        return _add(open_store, build, users, {build_id})
    before = merged([_wanted(user) for user in users])
    after = merged(
        [
            _wanted(user, changes if user.id == build.id else {})
            for user in users
        ]
    )
    of_channels = database.channel_tags(build_id)
    for each in (before, after):
        each['tags'] = _with(each['tags'], of_channels)
    problems = _change(open_store, build, replacement(changes, before, after))
    if not problems:
        request = {**build.request, **changes}
        database.update_build(
            build_id, {'request': request, 'name': request['name']}
        )
    return problems


def _wanted(
    build: db.Build, changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a build wants of its image."""
    request = {**build.request, **(changes or {})}
    needed = upload_rows.least_disk(build)
    return {
        **request,
        'min_disk': max(int(request.get('min_disk') or 0), needed),
        'tags': request.get('tags') or [],
    }


def _add(
    open_store: OpenStore,
    build: db.Build,
    users: Sequence[db.Build],
    newcomers: Collection[str],
) -> list[dict[str, str]]:
    """Add to an image what builds want that have come to it."""
    change = addition(
        merged([_wanted(user) for user in users]),
        [_wanted(user) for user in users if user.id in newcomers],
    )
    return [] if change.is_empty else _change(open_store, build, change)


def _change(
    open_store: OpenStore, build: db.Build, change: image_change.ImageChange
) -> list[dict[str, str]]:
    """Change the images of a build.

    :returns: and raises what :func:`update_image` does.
    """
    try:
        for image in _present(build):
            open_store(image.destination).update(image.image_id, change)
    except exception.InvalidManifest as error:
        return [_problem(each.path, each.message) for each in error.errors]
    except exception.NotFound:
        raise
    except exception.InvalidInput as error:
        return [_problem('', str(error))]
    return []


def replacement(
    changes: Mapping[str, Any],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> image_change.ImageChange:
    """What a request changes of an image.

    :param changes: what one build asks for, as a whole where it is a list.
    :param before: what all builds wanted of it; of :func:`merged`.
    :param after: what they want now.
    """

    def is_asked(name: str) -> bool:
        if (before.get(name) or None) != (after.get(name) or None):
            return True
        # Given and as before: the store may have another value.
        return name in changes and (
            name not in _OF_ONE_BUILD or changes[name] == after.get(name)
        )

    values: dict[str, Any] = {
        name: after.get(name) for name in _FIELDS if is_asked(name)
    }
    had, has, asked = (
        each.get('properties') or {} for each in (before, after, changes)
    )
    return image_change.ImageChange(
        **values,
        properties={
            name: value
            for name, value in has.items()
            if name in asked or had.get(name) != value
        },
        dropped=tuple(name for name in had if name not in has),
    )


def addition(
    users: Mapping[str, Any], newcomers: Sequence[Mapping[str, Any]]
) -> image_change.ImageChange:
    """What builds add to an image that have come to it.

    All that they ask for, also where another build has asked for the same:
    that need not have come to the store yet, may have failed there, and may
    have been taken back since. The store knows what the image lacks.

    :param users: what all builds want of it; of :func:`merged`.
    :param newcomers: what those want that have come to it.
    """
    visibility, values = users.get('visibility'), users.get('properties') or {}
    members = _all(newcomers, 'members')
    if visibility not in (None, '', 'shared'):
        members = []
    own = {name for each in newcomers for name in each.get('properties') or ()}
    return image_change.ImageChange(
        visibility='shared' if members and visibility == 'shared' else None,
        protected=any(each.get('protected') for each in newcomers) or None,
        tags=_all(newcomers, 'tags') or None,
        members=members or None,
        properties={name: values[name] for name in values if name in own},
        min_disk=_most(newcomers, 'min_disk') or None,
        min_ram=_most(newcomers, 'min_ram') or None,
        only_adds=True,
    )


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
    database: db.Database,
    open_store: OpenStore,
    build: db.Build,
    followers: Collection[db.Build],
) -> None:
    """Add to a new image what builds want that have waited for it.

    What cannot be done now is not done later: the image is there, and a
    request can say it again.

    :param build: the one that has made it.
    """
    try:
        users = database.users_of_image(build.id)
        newcomers = {follower.id for follower in followers}
        problems = _add(
            open_store, database.get_build(build.id), users, newcomers
        )
    except exception.ImageBuildError as error:
        problems = [_problem('', str(error))]
    for problem in problems:
        LOG.warning(
            'Image of build %s not updated for those that share it: %s',
            build.id,
            problem['message'],
        )


def protected_images(
    database: db.Database,
    open_store: OpenStore,
    build_id: str,
    upload_id: str | None = None,
) -> list[str]:
    """What stands in the way of deleting a build: its protected images.

    The store is asked, not the row: anybody of the project can protect an
    image in the store, and take that back.

    :param upload_id: only this upload of the build is to be deleted.
    :returns: ids of images that would go with it, and are protected.
    :raises NotFound: there is no such build, or upload.
    :raises ServiceUnavailable: the store cannot be asked.
    """
    if upload_id:
        upload = database.get_upload(upload_id)
        found = [(upload.destination, upload.image_id or '')]
    else:
        found = [
            (image.destination, image.image_id)
            for image in database.images_only_used_by(build_id)
        ]
    return [
        image_id
        for destination, image_id in found
        if image_id and open_store(destination).is_protected(image_id)
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
    return max((int(each.get(name) or 0) for each in requests), default=0)


def _problem(path: str, message: str) -> dict[str, str]:
    return {'path': path, 'message': message}
