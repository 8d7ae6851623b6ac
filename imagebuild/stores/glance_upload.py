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
"""One upload into Glance, by whichever method works.

Each method begins with an image without data and ends with one that is active
and has been compared, or with none: what has failed is removed before the
next method begins. So there is never a second image.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.clients import errors
from imagebuild.clients import glance
from imagebuild.clients import images
from imagebuild.stores import arrivals
from imagebuild.stores import glance_job
from imagebuild.stores import glance_records
from imagebuild.stores import import_watch
from imagebuild.stores import importing
from imagebuild.stores import sending
from imagebuild.stores import stamps

LOG = logging.getLogger(__name__)

#: Seconds between two looks at an image that is not active yet.
_TICK = 1.0
#: What Glance may still be doing after it has all data.
_ON_ITS_WAY = ('queued', 'saving', 'importing', 'uploading')


class Upload:
    """One upload.

    :param records: the images that uploads have made.
    :param watch: waits for imports.
    """

    def __init__(
        self,
        client: glance.Glance,
        records: glance_records.Records,
        watch: import_watch.Watch,
        settings: glance_job.Settings,
        job: glance_job.Job,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._glance = client
        self._records = records
        self._watch = watch
        self._settings = settings
        self._job = job
        self._sleep = sleep
        self._failed: dict[str, str] = {}

    def attempt(self) -> images.GlanceImage:
        """Do it, or go on with what an earlier call has left.

        Methods that have failed are not tried by the next call again.

        :returns: the image, which is active.
        :raises ServiceUnavailable: Glance is away; call again later.
        :raises ImportFailed: none of the methods worked.
        :raises Refused: Glance does not want this image.
        :raises ChecksumMismatch: see :meth:`base.Store.upload`.
        """
        try:
            kept = self._found()
            if kept and kept.status != 'queued':
                return self.complete(kept)
            return self.complete(self._by_some_method(kept))
        except (exception.NotFound, exception.Conflict) as error:
            # Somebody else has deleted it, or sends into it.
            raise exception.ServiceUnavailable(
                service=glance.SERVICE, reason=str(error)
            ) from error

    def complete(self, record: images.GlanceImage) -> images.GlanceImage:
        """Give an image that is right what is still to come.

        :raises Refused: Glance does not want it so; the image is removed.
        :raises ImportFailed: it does not come into all of its stores.
        """
        image = self._job.image
        try:
            self._glance.share(record.id, image.members)
            self._copy_to_stores(record)
            # Last: what is protected could not be deleted when it is wrong.
            if image.protected and not record.protected:
                self._glance.update(record.id, protected=True)
        except errors.Refused:
            self._records.remove(record)
            raise
        return record

    # -- what is there ------------------------------------------------------

    def _found(self) -> images.GlanceImage | None:
        """What an earlier attempt left; it is queued, or complete."""
        kept: images.GlanceImage | None = None
        for found in self._records.of_upload(self._job.stamp):
            if found.owner != self._job.image.owner:
                # Whoever owns an image can give it our mark.
                LOG.warning('Image %s only has our mark', found.id)
                continue
            if kept is None and glance_records.is_resumable(found):
                kept = found
            else:
                LOG.info('Deleting image %s: it is %s', found.id, found.status)
                self._records.remove(found)
        if kept is None:
            return None
        LOG.info('Resuming with image %s (%s)', kept.id, kept.status)
        if glance_records.is_imported(kept):
            return self._underway(kept)
        if kept.status == 'active':
            self._check(kept, None)
        return kept

    def _underway(
        self, record: images.GlanceImage
    ) -> images.GlanceImage | None:
        """Wait for an import that somebody has begun who is gone."""
        try:
            return self._check(self._wait(record), None)
        except (import_watch.ImportFailed, exception.ChecksumMismatch) as why:
            self._records.remove(record)
            self._job.notice(f'{why} Starting again.')
            return None

    # -- methods ------------------------------------------------------------

    def _by_some_method(
        self, record: images.GlanceImage | None
    ) -> images.GlanceImage:
        plan = self._plan()
        LOG.info('Methods that are not possible: %s', plan.why())
        left = [
            each for each in plan.attempts if each.method not in self._failed
        ]
        for attempt in left:
            record = self._prepared(record)
            try:
                self._bring(attempt, plan, record)
                return self._check(self._glance.get(record.id), attempt)
            except (
                errors.Refused,
                exception.ChecksumMismatch,
                import_watch.ImportFailed,
            ) as error:
                self._records.remove(record)
                record = None
                self._give_up(attempt, error, is_last=attempt is left[-1])
        raise AssertionError('a plan has attempts')

    def _plan(self) -> importing.Plan:
        imports = self._glance.imports
        allowed = self._settings.allowed
        offer = importing.Offered.from_answers(
            imports.methods(), imports.stores() if allowed.stores else {}
        )
        return importing.make(
            offer, allowed, self._job.source, self._job.image
        )

    def _prepared(
        self, record: images.GlanceImage | None
    ) -> images.GlanceImage:
        """An image without data that has its members.

        Before the data: a member that Glance refuses costs no upload.
        """
        record = record or self._records.make(self._job.described)
        try:
            self._glance.share(record.id, self._job.image.members)
        except errors.Refused:
            self._records.remove(record)
            raise
        return record

    def _give_up(
        self,
        attempt: importing.Attempt,
        error: exception.ImageBuildError,
        *,
        is_last: bool,
    ) -> None:
        """Note that a method has failed; raise what ends the upload."""
        if attempt.method == importing.UPLOAD and not (
            isinstance(error, errors.Refused) and error.is_about_the_call
        ):
            # It would refuse, or damage, the same bytes again.
            raise error
        self._failed[attempt.method] = str(error)
        if not is_last:
            self._job.notice(f'{error} Trying another way.')
        elif len(self._failed) == 1:
            raise error
        else:
            told = ' '.join(self._failed.values())
            raise import_watch.ImportFailed(
                f'None of the methods to upload the image worked. {told}'
            ) from error

    def _bring(
        self,
        attempt: importing.Attempt,
        plan: importing.Plan,
        record: images.GlanceImage,
    ) -> None:
        """Bring the data into an image without any, by one method."""
        LOG.info('Image %s: %s', record.id, attempt.method)
        if attempt.method in (importing.UPLOAD, importing.GLANCE_DIRECT):
            self._send(attempt, plan, record)
        if attempt.method == importing.UPLOAD:
            self._wait_until_active(record.id)
            return
        method = {'name': attempt.method}
        if attempt.method == importing.WEB_DOWNLOAD:
            method['uri'] = attempt.url
        if attempt.copy:
            method['glance_region'] = attempt.copy.region
            method['glance_image_id'] = attempt.copy.image_id
        self._start(record, method, [plan.store] if plan.store else [])
        # What was sent has been reported already.
        is_sent = attempt.method == importing.GLANCE_DIRECT
        record = self._wait(record, attempt.method, report=not is_sent)
        if attempt.method == importing.GLANCE_DOWNLOAD:
            self._restore(record)

    def _send(
        self,
        attempt: importing.Attempt,
        plan: importing.Plan,
        record: images.GlanceImage,
    ) -> None:
        with self._job.content() as content:
            if not isinstance(content, sending.HashedFile):
                raise AssertionError('a plan sends only files')
            limit = self._settings.activation_timeout
            if attempt.method == importing.UPLOAD:
                self._glance.send(
                    record.id,
                    content,
                    store=plan.store,
                    answer_timeout=limit,
                )
            else:
                self._glance.stage(record.id, content, answer_timeout=limit)
            content.verify()

    def _start(
        self,
        record: images.GlanceImage,
        method: Mapping[str, str],
        stores: Sequence[str],
        *,
        all_must_succeed: bool = True,
    ) -> None:
        try:
            self._glance.imports.start(
                record.id,
                method,
                stores=stores,
                all_must_succeed=all_must_succeed,
            )
        except errors.Refused as error:
            # How the image gets there is not the user's choice.
            raise import_watch.ImportFailed(
                id=record.id,
                what=method['name'],
                reason=error.kwargs.get('reason', error),
            ) from error

    def _wait(
        self,
        record: images.GlanceImage,
        what: str = 'the import',
        *,
        copy_to: Sequence[str] = (),
        report: bool = False,
    ) -> images.GlanceImage:
        path, on_progress = self._job.path, self._job.on_progress
        size = path.stat().st_size if path else 0
        if not report or not size:
            on_progress = None
        found = self._watch.until_done(
            record.id,
            what=what,
            copy_to=copy_to,
            on_progress=on_progress,
            size=size,
        )
        if on_progress:
            on_progress(size, size)
        return found

    def _wait_until_active(self, image_id: str) -> None:
        end = time.monotonic() + self._settings.activation_timeout
        while True:
            record = self._glance.get(image_id)
            if record.status == 'active':
                return
            if record.status not in _ON_ITS_WAY or time.monotonic() > end:
                raise exception.ServiceUnavailable(
                    service=glance.SERVICE,
                    reason=f'image {image_id} has all data and is '
                    f'{record.status} instead of active',
                )
            self._sleep(_TICK)

    def _restore(self, record: images.GlanceImage) -> None:
        """Undo what glance-download copies from the other image."""
        wanted = {
            **self._job.image.properties,
            **self._job.stamp.properties(),
            **stamps.properties(record.id, self._records.service()),
        }
        changed = {
            name: value
            for name, value in wanted.items()
            if record.properties.get(name) != value
        }
        if changed:
            self._glance.update(record.id, **changed)

    # -- what has arrived ---------------------------------------------------

    def _check(
        self, record: images.GlanceImage, attempt: importing.Attempt | None
    ) -> images.GlanceImage:
        """Compare what has arrived with what it should be.

        :param attempt: None for what was there; it is removed if it is wrong.
        :raises ChecksumMismatch: it is something else.
        :raises ImportFailed: Glance has converted it, and must not.
        """
        try:
            arrivals.check(record, self._job, self._settings, attempt)
        except (exception.ChecksumMismatch, import_watch.ImportFailed):
            if attempt is None:
                self._records.remove(record)
            raise
        return record

    def _copy_to_stores(self, record: images.GlanceImage) -> None:
        wanted = self._settings.allowed.stores
        try:
            if wanted and record.import_task:
                # Somebody who is gone has begun it.
                record = self._wait(
                    record, importing.COPY_IMAGE, copy_to=record.in_stores
                )
            missing = [each for each in wanted if each not in record.in_stores]
            if not missing:
                return
            self._start(
                record,
                {'name': importing.COPY_IMAGE},
                missing,
                all_must_succeed=self._settings.all_stores_must_succeed,
            )
            self._wait(record, importing.COPY_IMAGE, copy_to=missing)
        except import_watch.ImportFailed as error:
            told = f'It is not in all of its stores: {error}'
            if self._settings.all_stores_must_succeed:
                raise import_watch.ImportFailed(told) from error
            self._job.notice(told)
