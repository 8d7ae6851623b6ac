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
"""Images of this service that no row of the database knows.

The row of an upload is written before its image is made. So an image that a
store has listed, and that no row knows afterwards, is nobody's: a conductor
made it that had lost its upload, or could not be removed by one that gave up.
It is seen twice before it is taken for that. When it was first seen is
here and not in a conductor's memory: no restart makes it wait for longer, any
conductor may see it the second time, and an operator can look.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from collections.abc import Sequence

import sqlalchemy as sa

from imagebuild.common import statuses
from imagebuild.db import records
from imagebuild.db.models import Build
from imagebuild.db.models import Image
from imagebuild.db.models import Leak
from imagebuild.db.models import LeakSearch
from imagebuild.db.models import Upload
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

#: Values in one statement.
_BATCH = 500


@writer
def begin_leak_search(
    session: Session, destination: str, *, every: float, gap: float
) -> datetime.datetime | None:
    """Have one conductor at a time search a destination.

    :param every: seconds that are between two searches.
    :param gap: seconds without a search after which the next one counts as the
        first: this database is a backup, perhaps, that knows nothing of what
        was made meanwhile.
    :returns: when it was searched for the first time; None when that was done
        a moment ago.
    """
    row = session.get(LeakSearch, destination, with_for_update=True)
    if row is None:
        row = LeakSearch(
            destination=destination,
            began_at=session.now,
            searched_at=session.now,
        )
        session.add(row)
        with rows.retry_on_duplicate():
            session.flush()
        return row.began_at
    if session.did(row.searched_at):
        return row.began_at
    if row.searched_at > session.ago(every):
        return None
    if row.searched_at < session.ago(gap):
        row.began_at = session.now
    row.searched_at = session.now
    return row.began_at


@reader
def unknown_images(
    session: Session, found: Sequence[records.ImageMark]
) -> list[str]:
    """Which images no row knows.

    Known is what has a row, whatever its status; what an upload has made, or
    may be making now; and whatever says that it is of a build that has not
    ended.

    :param found: what was listed before this call.
    :returns: their ids, in that order.
    """
    unknown: list[str] = []
    for batch in _batches(found):
        known = _known(session, batch)
        unknown += [
            each.image_id for each in batch if each.image_id not in known
        ]
    return unknown


def _known(session: Session, batch: Sequence[records.ImageMark]) -> set[str]:
    ids = [each.image_id for each in batch]
    known = set(
        session.scalars(
            sa.select(Image.image_id).where(Image.image_id.in_(ids))
        )
    )
    uploads = {
        id: (image_id, status)
        for id, image_id, status in session.execute(
            sa.select(Upload.id, Upload.image_id, Upload.status).where(
                Upload.id.in_([each.upload_id for each in batch])
            )
        )
    }
    unfinished = set(
        session.scalars(
            sa.select(Build.id).where(
                Build.id.in_([each.build_id for each in batch]),
                rows.LIVE,
                Build.status.in_(statuses.UNFINISHED + ('deleting',)),
            )
        )
    )
    for each in batch:
        image_id, status = uploads.get(each.upload_id, (None, ''))
        if (
            status in statuses.UPLOAD_PENDING
            or image_id == each.image_id
            or each.build_id in unfinished
        ):
            known.add(each.image_id)
    return known


@writer
def note_leaks(
    session: Session,
    destination: str,
    image_ids: Sequence[str],
    *,
    grace: float,
) -> records.Leaks:
    """Note which images of a destination no row knows, all of them.

    Others that were noted before are forgotten: they are gone, or known.

    :param grace: seconds that have to be between two looks at an image.
    """
    noted = {
        row.image_id: row
        for row in session.scalars(
            sa.select(Leak).where(Leak.destination == destination)
        )
    }
    new, due = [], []
    for id in dict.fromkeys(image_ids):
        row = noted.pop(id, None)
        if row is None or session.did(row.first_seen_at):
            new.append(id)
        elif row.first_seen_at <= session.ago(grace):
            due.append(id)
        if row is not None:
            row.last_seen_at = session.now
            continue
        session.add(
            Leak(
                destination=destination,
                image_id=id,
                first_seen_at=session.now,
                last_seen_at=session.now,
            )
        )
    for row in noted.values():
        session.delete(row)
    with rows.retry_on_duplicate():
        session.flush()
    return records.Leaks(tuple(new), tuple(due))


def _batches(
    found: Sequence[records.ImageMark],
) -> Iterator[Sequence[records.ImageMark]]:
    for start in range(0, len(found), _BATCH):
        yield found[start : start + _BATCH]
