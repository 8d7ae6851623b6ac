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
"""Images that builds made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagebuild.db import records
from imagebuild.db import transaction
from imagebuild.db.queries import images


class ImageCalls(transaction.Transactions):
    def find_image(
        self, project_id: str, content_key: str, max_age: int | None = None
    ) -> records.Image | None:
        """Find the newest active image of this content in this cloud.

        :param max_age: seconds; None for any age.
        """
        since = None if max_age is None else self._ago(max_age)
        return self._read(
            lambda session: images.find(
                session, project_id, content_key, since=since
            )
        )

    def get_image(self, image_row_id: str) -> records.Image:
        """Look an image up by the id of its row, whatever its status.

        :raises NotFound: there is none.
        """
        return self._read(lambda session: images.get(session, image_row_id))

    def add_image(
        self, build_id: str, values: Mapping[str, Any]
    ) -> records.Image:
        """Note an image that a build put at a further destination.

        It lives as long as the build's image in this cloud.

        :param values: destination, image_id, disk_format,
            container_format, size, os_hash_algo, os_hash_value.
        :raises NotFound: there is no such build.
        """
        values = {'id': transaction.new_id(), **values}
        now = self._now()
        return self._write(
            lambda session: images.add(session, build_id, values, now)
        )

    def image_deleted(self, image_row_id: str) -> None:
        """Note that an image is gone from Glance; it is not reused again."""
        now = self._now()
        self._write(
            lambda session: images.mark_deleted(session, image_row_id, now)
        )

    def images_without_users(self) -> list[records.Image]:
        """Images that no live build uses and that are not deleted yet.

        They are marked ``deleting``, so that no build can begin to use
        them: a conductor may delete them in Glance.
        """
        return self._write(images.take_unused)

    def images_only_used_by(self, build_id: str) -> list[records.Image]:
        """The images, wherever they are, that would go with a build.

        :returns: none when another build uses them as well.
        :raises NotFound: there is no such build.
        """
        return self._read(
            lambda session: images.only_used_by(session, build_id)
        )

    def users_of_image(self, build_id: str) -> list[records.Build]:
        """The builds that share a build's image, the oldest first.

        :returns: the build itself among them.
        :raises NotFound: there is no such build.
        """
        return self._read(lambda session: images.users(session, build_id))

    def stored_bytes(self, project_id: str) -> int:
        """Bytes of the images of a project that are not deleted yet."""
        return self._read(
            lambda session: images.stored_bytes(session, project_id)
        )
