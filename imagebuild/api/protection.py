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
"""A protected image is not deleted with its last build, or its upload."""

from __future__ import annotations

from collections.abc import Sequence

from imagebuild import db
from imagebuild import exception
from imagebuild.api import placement
from imagebuild.api.api_call import Call


def check(call: Call, build: db.Build) -> None:
    """Refuse to delete the last build that uses a protected image.

    And one that a channel has.

    Only for an early error: other builds may begin and end in between, and
    the store itself refuses to delete what is protected.

    :raises Conflict: it is, with a message about what to do.
    """
    call.database.check_unused(build.id)
    check_images(call, build)


def check_images(call: Call, build: db.Build) -> None:
    """The same without a look at channels.

    :raises Conflict: as of :func:`check`.
    """
    images = call.database.images_only_used_by(build.id)
    protected = _protected(call, build, images)
    if protected:
        raise _conflict(
            'Build',
            build.id,
            'the last that uses a protected image',
            protected,
        )


def check_upload(call: Call, upload: db.Upload) -> None:
    """Refuse to delete an upload whose image is protected.

    Not one that is being deleted already, nor that which made the image of
    the build: the database refuses that.

    :raises Conflict: as of :func:`check`.
    """
    if upload.status != 'active':
        return
    build = call.database.get_build(upload.build_id)
    images = [
        image
        for image in build.images
        if image.image_id == upload.image_id
        and image.destination == upload.destination
        and image.id != build.image_row_id
    ]
    protected = _protected(call, build, images, upload.id)
    if upload.image_id in protected:
        raise _conflict(
            'Upload', upload.id, 'that of a protected image', protected
        )


def _protected(
    call: Call,
    build: db.Build,
    images: Sequence[db.Image],
    upload_id: str | None = None,
) -> list[str]:
    """Ids of protected images that would go with a build or upload."""
    if not images:
        return []
    try:
        found: list[str] = call.conductor_api.protected_images(
            build.id,
            upload_id,
            among=placement.reachable(
                call, {image.destination for image in images}
            ),
        )
    except exception.EnvironmentFault:
        # Without a conductor, the request of the build decides: most likely
        # its image is protected if it wanted that, and a build without it
        # can be deleted at any time.
        wanted = build.request.get('protected')
        return [image.image_id for image in images] if wanted else []
    return found


def _conflict(
    what: str, id: str, status: str, protected: Sequence[str]
) -> exception.Conflict:
    return exception.Conflict(
        what=what,
        id=id,
        status=status,
        reason=f'image {protected[0]} would be deleted with it; take the '
        'protection back first, with "protected": false for this build '
        'or in the image service',
    )
