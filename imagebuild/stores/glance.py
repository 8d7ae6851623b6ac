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
"""The store ``glance``.

An image is found again by its property ``imagebuild_upload_id``, which is
there from the moment there is an image: Glance makes it with the record. So
whatever an earlier attempt came to is seen by the next one:

=================== =======================================================
what is found       what is done
=================== =======================================================
nothing             the image is made
``queued``          the data are sent into it
``active``          it is verified, and done
anything else       somebody died while sending, or still sends and has
                    lost the upload: it is deleted and made again
more than one       all but one are deleted, a good one kept
=================== =======================================================

Other services copy properties: a snapshot of a server has those of the image
that the server was made of, the stamp with them. So an image also has its own
id as a property (``imagebuild_image_id``), which is chosen here; where that is
another image's, the image is its user's and never touched.
``imagebuild_service`` tells the images of two services in one cloud apart.

What a project could not do itself is refused by Glance before the data are
sent (visibility, members); ``protected`` is set last, since what is wrong
must be deleted.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import pathlib
import time
import uuid
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import exception
from imagebuild.clients import errors
from imagebuild.clients import glance
from imagebuild.clients import images
from imagebuild.clients import retries
from imagebuild.common import checksums
from imagebuild.common import image_properties
from imagebuild.common import transfer_progress
from imagebuild.stores import base
from imagebuild.stores import metadata
from imagebuild.stores import sending
from imagebuild.stores import stamps

LOG = logging.getLogger(__name__)

_HASH = 'sha512'
#: Seconds; see GlanceStore.
_RETRY_TIMEOUT = 300.0
_ACTIVATION_TIMEOUT = 600.0
#: Seconds between two looks at an image that is not active yet.
_TICK = 1.0
#: What Glance may still be doing after it has all data.
_ON_ITS_WAY = ('queued', 'saving', 'importing', 'uploading')
#: What an upload goes on with, the best first.
_BEST_FIRST = ('active', 'queued')


class GlanceStore(base.Store):
    """The image service, used as the service user.

    :param client: the image service.
    :param retry_timeout: seconds for which it is waited for when it is
        away.
    :param activation_timeout: seconds from the last byte until an image
        must be active.
    :param rules: which properties an image may have.
    :param service_id: tells its images from those of another imagebuild
        service; '' for the id of the service user.
    :param sleep: waits for some seconds.
    """

    name: ClassVar[str] = 'glance'

    def __init__(
        self,
        client: glance.Glance,
        *,
        retry_timeout: float = _RETRY_TIMEOUT,
        activation_timeout: float = _ACTIVATION_TIMEOUT,
        rules: image_properties.Rules | None = None,
        service_id: str = '',
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._glance = client
        self._retry_timeout = retry_timeout
        self._activation_timeout = activation_timeout
        self._rules = rules or image_properties.Rules()
        self._service_id = service_id
        self._sleep = sleep

    @classmethod
    def from_config(cls, config: Mapping[str, Mapping[str, Any]]) -> Self:
        """See :meth:`base.Store.from_config`.

        :param config: ``keystone`` and ``glance``.
        """
        section = config.get('glance', {})
        return cls(
            glance.Glance.from_config(config),
            rules=image_properties.Rules.from_section(section),
            service_id=section.get('service_id') or '',
            retry_timeout=float(section.get('retry_timeout', _RETRY_TIMEOUT)),
            activation_timeout=float(
                section.get('activation_timeout', _ACTIVATION_TIMEOUT)
            ),
        )

    # -- the contract -------------------------------------------------------

    def upload(
        self,
        path: pathlib.Path,
        image: base.ImageProperties,
        stamp: base.Stamp,
        *,
        checksum: checksums.Checksum | None = None,
        on_progress: transfer_progress.OnProgress | None = None,
        on_notice: base.OnNotice | None = None,
    ) -> base.StoredImage:
        """See :meth:`base.Store.upload`."""
        described = metadata.described(image, stamp, self._rules)

        def attempt() -> base.StoredImage:
            with sending.HashedFile(
                path, _HASH, checksum, on_progress
            ) as source:
                return self._attempt(source, image, described, stamp)

        return retries.retry_while_unavailable(
            attempt,
            timeout=self._retry_timeout,
            on_notice=on_notice,
            sleep=self._sleep,
        )

    def delete(self, image_id: str, *, hide_undeletable: bool = False) -> None:
        """See :meth:`base.Store.delete`."""
        try:
            found = self._glance.get(image_id)
        except exception.NotFound:
            return
        with self._unless_gone(image_id):
            if stamps.of(found) is None:
                raise exception.Forbidden(
                    rule='only images of builds are deleted'
                )
            try:
                self._delete(found)
            except exception.Conflict:
                if hide_undeletable:
                    self._hide(found)
                raise

    def _delete(self, found: images.GlanceImage) -> None:
        if found.protected:
            raise base.protected(found.id, hidden=found.os_hidden)
        try:
            self._glance.delete(found.id)
        except errors.Refused:
            # Protected since it was looked at.
            if self._glance.get(found.id).protected:
                raise base.protected(found.id) from None
            raise

    def _hide(self, found: images.GlanceImage) -> None:
        if not found.os_hidden:
            self._glance.update(found.id, os_hidden=True)
            LOG.info('Hid image %s, which cannot be deleted now', found.id)

    def update(
        self,
        image_id: str,
        image: base.ImageProperties,
        *,
        dropped: Collection[str] = (),
    ) -> None:
        """See :meth:`base.Store.update`."""
        changes = metadata.changeable(image, self._rules)
        found = self._glance.get(image_id)
        if found.visibility == 'shared':
            # An image that is not shared any more has no list of members.
            self._glance.unshare(image_id, keep=image.members)
        self._glance.update(
            image_id,
            remove_props=[
                name
                for name in dropped
                if name in found.properties and name not in changes
            ],
            **changes,
        )
        # After the visibility: only a shared image takes members.
        self._glance.share(image_id, image.members)

    def change_tags(
        self,
        image_id: str,
        *,
        add: Collection[str] = (),
        remove: Collection[str] = (),
    ) -> None:
        """See :meth:`base.Store.change_tags`."""
        # Not by Glance's calls for single tags: a "/" in one finds no route.
        found = self._glance.get(image_id)
        wanted = base.changed_tags(found.tags, add, remove)
        if wanted != sorted(found.tags):
            self._glance.update(image_id, tags=wanted)

    def exists(self, image_id: str) -> bool:
        """See :meth:`base.Store.exists`."""
        try:
            return self._glance.get(image_id).status == 'active'
        except exception.NotFound:
            return False

    def is_protected(self, image_id: str) -> bool:
        """See :meth:`base.Store.is_protected`."""
        try:
            return self._glance.get(image_id).protected
        except exception.NotFound:
            return False

    def list_stamped(
        self, *, limit: int = base.MOST_STAMPED
    ) -> Iterator[base.StampedImage]:
        """See :meth:`base.Store.list_stamped`."""
        service = self._service()
        if not service:
            return iter(())
        found = self._glance.each(**{stamps.SERVICE: service})
        return itertools.islice(stamps.stamped(found, service), limit)

    def find(self, stamp: base.Stamp) -> base.StoredImage | None:
        """See :meth:`base.Store.find`."""
        for found in self._stamped(stamp):
            if found.status == 'active':
                return _stored(found)
        return None

    def discard(self, stamp: base.Stamp) -> int:
        """See :meth:`base.Store.discard`."""
        found = self._stamped(stamp)
        for image in found:
            self._remove(image)
        return len(found)

    # -- one attempt --------------------------------------------------------

    def _attempt(
        self,
        source: sending.HashedFile,
        image: base.ImageProperties,
        described: Mapping[str, Any],
        stamp: base.Stamp,
    ) -> base.StoredImage:
        try:
            record = self._found_or_made(described, stamp)
            return self._completed(record, source, image)
        except (exception.NotFound, exception.Conflict) as error:
            # Somebody else has deleted it, or sends into it.
            raise exception.ServiceUnavailable(
                service=self.name, reason=str(error)
            ) from error

    def _completed(
        self,
        record: images.GlanceImage,
        source: sending.HashedFile,
        image: base.ImageProperties,
    ) -> base.StoredImage:
        try:
            # Before the data: a member that Glance refuses costs no upload.
            self._glance.share(record.id, image.members)
            if record.status == 'queued':
                self._glance.send(record.id, source)
                record = self._activated(record.id)
                source.verify()
            self._verify(record, source)
            # Last: what is protected could not be deleted when it is wrong.
            if image.protected and not record.protected:
                self._glance.update(record.id, protected=True)
        except (errors.Refused, exception.ChecksumMismatch):
            self._remove(record)
            raise
        return _stored(record)

    def _found_or_made(
        self, described: Mapping[str, Any], stamp: base.Stamp
    ) -> images.GlanceImage:
        kept: images.GlanceImage | None = None
        for found in self._stamped(stamp):
            if kept is None and found.status in _BEST_FIRST:
                kept = found
            else:
                LOG.info('Deleting image %s: it is %s', found.id, found.status)
                self._remove(found)
        if kept is None:
            # Protected later, when it is complete and right.
            return self._made(described)
        LOG.info('Resuming with image %s (%s)', kept.id, kept.status)
        return kept

    def _made(self, described: Mapping[str, Any]) -> images.GlanceImage:
        image_id = str(uuid.uuid4())
        values = {
            **described,
            **stamps.properties(image_id, self._service()),
            'id': image_id,
            'protected': False,
        }
        return self._glance.create(**values)

    def _service(self) -> str:
        self._service_id = self._service_id or self._glance.user_id()
        return self._service_id

    def _stamped(self, stamp: base.Stamp) -> list[images.GlanceImage]:
        """The images of an upload, active ones first."""
        found = [
            image
            for image in self._glance.each(**{base.UPLOAD_ID: stamp.upload_id})
            # Not every Glance filters by every property.
            if stamps.is_of(image, stamp)
        ]
        order = {status: rank for rank, status in enumerate(_BEST_FIRST)}
        return sorted(
            found,
            key=lambda image: (
                order.get(image.status, len(order)),
                image.created_at,
                image.id,
            ),
        )

    def _activated(self, image_id: str) -> images.GlanceImage:
        end = time.monotonic() + self._activation_timeout
        while True:
            record = self._glance.get(image_id)
            if record.status == 'active':
                return record
            if record.status not in _ON_ITS_WAY or time.monotonic() > end:
                raise exception.ServiceUnavailable(
                    service=self.name,
                    reason=f'image {image_id} has all data and is '
                    f'{record.status} instead of active',
                )
            self._sleep(_TICK)

    def _verify(
        self, record: images.GlanceImage, source: sending.HashedFile
    ) -> None:
        if record.size != len(source):
            raise exception.ChecksumMismatch(
                f'Image {record.id} has {record.size} bytes in Glance, and '
                f'{len(source)} were sent.'
            )
        if not record.os_hash_algo:
            LOG.warning('Glance has no checksum of image %s', record.id)
            return
        sent = source.digest(record.os_hash_algo)
        if sent != record.os_hash_value:
            raise exception.ChecksumMismatch(
                what=f'Image {record.id}',
                found=record.checksum,
                expected=checksums.Checksum(record.os_hash_algo, sent),
            )

    def _remove(self, image: images.GlanceImage) -> None:
        """Clean up what nobody was given yet, protected or not."""
        with self._unless_gone(image.id):
            if image.protected:
                self._glance.update(image.id, protected=False)
            self._glance.delete(image.id)

    @contextlib.contextmanager
    def _unless_gone(self, image_id: str) -> Iterator[None]:
        """Have no error about an image that is gone.

        Every conductor cleans up, several at the same moment: what one sees
        of an image that another deletes just now can be anything.
        """
        try:
            yield
        except exception.ImageBuildError:
            try:
                self._glance.get(image_id)
            except exception.NotFound:
                return
            raise


def _stored(record: images.GlanceImage) -> base.StoredImage:
    return base.StoredImage(
        image_id=record.id,
        size=record.size,
        os_hash_algo=record.os_hash_algo,
        os_hash_value=record.os_hash_value,
    )
