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
"""A thread that looks for images that nobody knows any more.

Only what has the mark of this very service is looked at; a store leaves out
images of others, and copies of ours that other services have made. What an
image says of itself can be written by whoever owns it, so it only ever decides
about that image: never is another one removed that says the same.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
from collections.abc import Iterator
from collections.abc import Sequence

from imagebuild import db
from imagebuild import exception
from imagebuild.common.counts import counted
from imagebuild.conductor import metrics
from imagebuild.conductor import periodic_task
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.conf import destination as destination_section
from imagebuild.destinations import Destination
from imagebuild.stores.base import StampedImage
from imagebuild.stores.base import Store

LOG = logging.getLogger(__name__)

_LONGEST_INTERVAL = 1800.0
_RETRY = 60.0
_STOP_TIMEOUT = 5.0
#: So many searches that did not happen are a gap, as before a restore.
_GAP = 4
#: Noted of one destination; the others are found when these are gone.
_MOST = 1000
#: Removed in one search.
_AT_ONCE = 100
#: So many may be all that there are. More of them than of known ones are not
#: leaks: this is another service's database, or an old one.
_FEW = 10
_SHOWN = 10


class LeakFinder:
    """Removes what is unknown twice, an hour apart say."""

    def __init__(self, context: ConductorContext) -> None:
        self._context = context
        self._database = context.database
        self._away: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self._task = periodic_task.PeriodicTask('leaks', self._work)

    def start(self) -> None:
        """Begin; returns at once."""
        self._task.start()

    def stop(self) -> None:
        """End, after the image that is being removed."""
        self._task.stop(_STOP_TIMEOUT)

    @property
    def _grace(self) -> float:
        return float(self._context.conf.conductor.leak_grace)

    def _work(self) -> float:
        if not self._grace:
            return _RETRY
        for name in destination_section.names(self._context.conf):
            if not self._task.stopped:
                self._search_safely(name)
        return self._interval

    @property
    def _interval(self) -> float:
        """Seconds between two searches of one destination."""
        return min(max(self._grace / 2, 1.0), _LONGEST_INTERVAL)

    def _search_safely(self, name: str) -> None:
        try:
            self.search(name)
        except exception.DatabaseUnavailable as error:
            LOG.warning('Leaked images are not looked for now: %s', error)
        except exception.ImageBuildError as error:
            # Once: it may be away for days.
            LOG.log(
                logging.DEBUG if name in self._away else logging.WARNING,
                'Leaked images in %s are not looked for now: %s',
                _title(name),
                error,
            )
            self._away.add(name)
        except Exception:
            LOG.exception('Unexpected error in the search for leaked images')
        else:
            self._away.discard(name)

    def search(self, name: str) -> None:
        """Look once, unless somebody has just done so.

        :param name: of the destination.
        :raises ServiceUnavailable: its store does not answer.
        :raises DatabaseUnavailable: nothing was removed.
        """
        # Those who look at the same moment are a little early or late.
        since = self._database.begin_leak_search(
            name, every=self._interval * 0.9, gap=self._interval * _GAP
        )
        if since is None:
            return
        store = self._context.open_store(name)
        listed = {image.image_id: image for image in store.list_stamped()}
        # After the list: the row of what is in it was written before.
        unknown = self._database.unknown_images(
            [_mark(image) for image in listed.values()]
        )
        if len(unknown) > max(_FEW, len(listed) - len(unknown)):
            LOG.error(
                'The database does not know %d of %s in %s with the mark of '
                'this service: none is removed. Is it the right database? '
                'Does another service have the same [glance] service_id?',
                len(unknown),
                counted(len(listed), 'image'),
                _title(name),
            )
            return
        ids = _first(listed[id] for id in unknown if _since(listed[id], since))
        leaks = self._database.note_leaks(name, ids, grace=self._grace)
        self._report(name, leaks.new)
        self._remove(name, store, [listed[id] for id in leaks.due[:_AT_ONCE]])

    def _report(self, name: str, ids: Sequence[str]) -> None:
        if not ids:
            return
        metrics.LEAKS.labels('found').inc(len(ids))
        LOG.warning(
            'No row knows %s in %s with the mark of this service; to be '
            'removed if that is so in %d s: %s',
            counted(len(ids), 'image'),
            _title(name),
            self._grace,
            ', '.join(ids[:_SHOWN]),
        )

    def _remove(
        self, name: str, store: Store, images: Sequence[StampedImage]
    ) -> None:
        hide = self._hides(name) if images else False
        for image in images:
            if self._task.stopped:
                return
            if image.protected and (image.hidden or not hide):
                self._tell(name, image, 'it is protected')
                continue
            with self._left_if_refused(name, image):
                # Never by its stamp: others may say the same.
                store.delete(image.image_id, hide_undeletable=hide)
                metrics.LEAKS.labels('removed').inc()
                LOG.warning(
                    'Removed image %s in %s: no row knew it',
                    image.image_id,
                    _title(name),
                )

    def _hides(self, name: str) -> bool:
        config = self._context.job_config(name)
        return Destination.from_document(
            config['destination']
        ).hide_undeletable

    @contextlib.contextmanager
    def _left_if_refused(
        self, name: str, image: StampedImage
    ) -> Iterator[None]:
        try:
            yield
        except exception.InvalidInput as error:
            self._tell(name, image, str(error))

    def _tell(self, name: str, image: StampedImage, why: str) -> None:
        """Say once why an image is left."""
        key = (name, image.image_id)
        if key in self._told:
            return
        if len(self._told) >= _MOST:
            self._told.clear()
        self._told.add(key)
        LOG.warning(
            'Image %s in %s is left, though no row knows it: %s',
            image.image_id,
            _title(name),
            why,
        )


def _mark(image: StampedImage) -> db.ImageMark:
    return db.ImageMark(
        image.image_id, image.stamp.upload_id, image.stamp.build_id
    )


def _first(images: Iterator[StampedImage]) -> list[str]:
    """The ids of as many as are noted, always the same ones."""
    oldest = sorted(images, key=lambda one: (one.created_at, one.image_id))
    return [image.image_id for image in oldest[:_MOST]]


def _since(image: StampedImage, time: datetime.datetime) -> bool:
    """Whether an image was made after some time.

    One that does not say when is taken to be older.

    :param time: naive UTC.
    """
    try:
        made = datetime.datetime.fromisoformat(image.created_at)
    except ValueError:
        return False
    if made.tzinfo is not None:
        made = made.astimezone(datetime.UTC).replace(tzinfo=None)
    # Stores tell whole seconds.
    return made >= time.replace(microsecond=0)


def _title(name: str) -> str:
    return f'destination "{name}"' if name else 'this cloud'
