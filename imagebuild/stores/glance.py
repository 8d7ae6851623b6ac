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
``queued``          the data are brought into it
``active``          it is verified, and done
an import runs      it is waited for
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
import dataclasses
import logging
import pathlib
import time
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.clients import errors
from imagebuild.clients import glance
from imagebuild.clients import images
from imagebuild.clients import retries
from imagebuild.common import checksums
from imagebuild.common import image_properties
from imagebuild.common import transfer_progress
from imagebuild.disks import fetching
from imagebuild.stores import base
from imagebuild.stores import glance_adoption
from imagebuild.stores import glance_job
from imagebuild.stores import glance_records
from imagebuild.stores import glance_upload
from imagebuild.stores import image_change
from imagebuild.stores import image_signature
from imagebuild.stores import import_watch
from imagebuild.stores import metadata
from imagebuild.stores import stamps

LOG = logging.getLogger(__name__)

#: Seconds; see GlanceStore.
_RETRY_TIMEOUT = 300.0
_WHILE_DELETED = 1.0


class GlanceStore(base.Store):
    """The image service, used as the service user.

    :param client: the image service.
    :param retry_timeout: seconds for which it is waited for when it is
        away.
    :param settings: which methods of upload may be used, and how.
    :param limits: how long imports may take.
    :param rules: which properties an image may have.
    :param service_id: tells its images from those of another imagebuild
        service; '' for the id of the service user.
    :param signing: section of the configuration; empty for no signatures.
    :param sleep: waits for some seconds.
    """

    name: ClassVar[str] = 'glance'
    adopts: ClassVar[bool] = True

    def __init__(
        self,
        client: glance.Glance,
        *,
        retry_timeout: float = _RETRY_TIMEOUT,
        settings: glance_job.Settings | None = None,
        limits: import_watch.Limits | None = None,
        rules: image_properties.Rules | None = None,
        service_id: str = '',
        signing: Mapping[str, Any] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._glance = client
        self._records = glance_records.Records(client, service_id)
        self._retry_timeout = retry_timeout
        self._settings = settings or glance_job.Settings()
        self._limits = limits or import_watch.Limits()
        self._rules = rules or image_properties.Rules()
        self._signing = signing or {}
        self._sleep = sleep

    @classmethod
    def from_config(cls, config: Mapping[str, Mapping[str, Any]]) -> Self:
        """See :meth:`base.Store.from_config`.

        :param config: ``keystone``, ``glance``, ``signing`` and, of a further
            destination, ``destination``.
        """
        section = dict(config.get('glance', {}))
        # A destination has an option of that name of its own.
        of_destination = config.get('destination', {}).get('import_methods')
        section['import_methods'] = (
            of_destination or section.get('import_methods') or ()
        )
        return cls(
            glance.Glance.from_config(config),
            retry_timeout=float(section.get('retry_timeout', _RETRY_TIMEOUT)),
            settings=glance_job.Settings.from_section(section),
            limits=import_watch.Limits.from_section(section),
            rules=image_properties.Rules.from_section(section),
            service_id=section.get('service_id') or '',
            signing=config.get('signing'),
        )

    def upload(
        self,
        path: pathlib.Path | None,
        image: base.ImageProperties,
        stamp: base.Stamp,
        *,
        checksum: checksums.Checksum | None = None,
        on_progress: transfer_progress.OnProgress | None = None,
        on_notice: base.OnNotice | None = None,
        elsewhere: base.Elsewhere = base.Elsewhere(),
    ) -> base.StoredImage:
        """See :meth:`base.Store.upload`."""
        job = glance_job.Job(
            image=image,
            described=metadata.described(image, stamp, self._rules),
            stamp=stamp,
            path=path,
            checksum=checksum,
            elsewhere=elsewhere,
            on_progress=on_progress,
            on_notice=on_notice,
        )
        with job.content():
            # A file that cannot be read is found before Glance is asked.
            pass
        job = self._signed(job)
        return self._retried(job, self._upload(job).attempt)

    def _signed(self, job: glance_job.Job) -> glance_job.Job:
        """Sign what is sent; before it is: Glance verifies it then.

        :raises SigningFailed: it cannot be done.
        """
        signer = image_signature.Signer.from_section(self._signing)
        copies = job.elsewhere.copies
        if signer is None or not (job.path or job.elsewhere.url or copies):
            return job
        known = job.checksum or next((copy.checksum for copy in copies), None)
        signature = signer.properties(job.path, known)
        return dataclasses.replace(
            job, described={**job.described, **signature}
        )

    def adopt(
        self,
        artifact: artifacts.ImageArtifact,
        image: base.ImageProperties,
        stamp: base.Stamp,
        *,
        on_notice: base.OnNotice | None = None,
    ) -> base.StoredImage:
        """See :meth:`base.Store.adopt`."""
        job = glance_job.Job(
            image=image,
            described=metadata.described(image, stamp, self._rules),
            stamp=stamp,
            on_notice=on_notice,
        )
        adoption = glance_adoption.Adoption(
            self._glance, self._records, job, artifact
        )
        upload = self._upload(job)
        return self._retried(job, lambda: upload.complete(adoption.attempt()))

    def _upload(self, job: glance_job.Job) -> glance_upload.Upload:
        return glance_upload.Upload(
            self._glance,
            self._records,
            import_watch.Watch(self._glance, self._limits, sleep=self._sleep),
            self._settings,
            job,
            sleep=self._sleep,
        )

    def _retried(
        self, job: glance_job.Job, attempt: Callable[[], images.GlanceImage]
    ) -> base.StoredImage:
        """Do it, again while Glance is away."""
        try:
            record = retries.retry_while_unavailable(
                attempt,
                timeout=self._retry_timeout,
                on_notice=job.on_notice,
                sleep=self._sleep,
            )
        except import_watch.ImportFailed as error:
            # Every method had its turn, and its time.
            raise exception.ServiceUnavailable(
                service=self.name, reason=str(error).rstrip('.')
            ) from error
        return _stored(record)

    def delete(self, image_id: str, *, hide_undeletable: bool = False) -> None:
        """See :meth:`base.Store.delete`."""
        try:
            found = self._glance.get(image_id)
        except exception.NotFound:
            return
        with self._records.unless_gone(image_id):
            if stamps.of(found) is None:
                # Of an image that another conductor deletes at this moment,
                # Glance shows no properties any more.
                self._sleep(_WHILE_DELETED)
                found = self._glance.get(image_id)
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
        if found.os_hidden:
            return
        try:
            self._glance.update(found.id, os_hidden=True)
            LOG.info('Hid image %s, which cannot be deleted now', found.id)
        except errors.Refused as error:
            # Why it could not be deleted is what is to be reported.
            LOG.warning('Image %s is not hidden: %s', found.id, error)

    def update(self, image_id: str, change: image_change.ImageChange) -> None:
        """See :meth:`base.Store.update`."""
        change.check(self._rules)
        found = self._glance.get(image_id)
        change = change.applied_to(
            visibility=found.visibility,
            tags=found.tags,
            properties=found.properties,
            min_disk=found.min_disk,
            min_ram=found.min_ram,
            least_disk=glance_adoption.least_disk(found),
        )
        self._unshare(found, change)
        values = metadata.changed(change)
        if values or change.dropped:
            self._glance.update(
                image_id, remove_props=[*change.dropped], **values
            )
        if change.only_adds:
            self._glance.add_tags(image_id, change.tags or ())
        # After the visibility: only a shared image takes members.
        self._glance.share(image_id, change.members or ())

    def _unshare(
        self, found: images.GlanceImage, change: image_change.ImageChange
    ) -> None:
        """Remove members, while the image still has a list of them."""
        if found.visibility != 'shared' or change.only_adds:
            return
        if change.visibility not in (None, 'shared'):
            self._glance.unshare(found.id)
        elif change.members is not None:
            self._glance.unshare(found.id, keep=change.members)

    def change_tags(
        self,
        image_id: str,
        *,
        add: Collection[str] = (),
        remove: Collection[str] = (),
    ) -> None:
        """See :meth:`base.Store.change_tags`."""
        found = self._glance.get(image_id)
        wanted = base.changed_tags(found.tags, add, remove)
        if set(wanted) > set(found.tags):
            self._glance.add_tags(image_id, set(wanted) - set(found.tags))
        elif wanted != sorted(found.tags):
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
        return self._records.all(limit)

    def find(self, stamp: base.Stamp) -> base.StoredImage | None:
        """See :meth:`base.Store.find`."""
        for found in self._records.of_upload(stamp):
            if found.status == 'active':
                return _stored(found)
        return None

    def data(
        self, image_id: str, offset: int = 0
    ) -> contextlib.AbstractContextManager[fetching.Stream]:
        """See :meth:`base.Store.data`."""
        return self._glance.data(image_id, offset)

    def discard(self, stamp: base.Stamp) -> int:
        """See :meth:`base.Store.discard`."""
        found = self._records.of_upload(stamp)
        for image in found:
            self._records.remove(image)
        return len(found)


def _stored(record: images.GlanceImage) -> base.StoredImage:
    return base.StoredImage(
        image_id=record.id,
        size=record.size,
        os_hash_algo=record.os_hash_algo,
        os_hash_value=record.os_hash_value,
        disk_format=record.disk_format,
    )
