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
"""The history of a build: its log, its steps, its events.

The log of a build is one long text in UTF-8. Each piece is a row whose key
is where it begins, in bytes, and no piece ends inside of a character.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from imagebuild import exception
from imagebuild.db import records
from imagebuild.db import types
from imagebuild.db.models import Build
from imagebuild.db.models import Event
from imagebuild.db.models import LogChunk
from imagebuild.db.models import Step
from imagebuild.db.queries import pages
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

#: Bytes of a log that one call of read_log gives at most, unless told.
READ_LIMIT = 1024 * 1024
#: Bytes of a log in one row.
PIECE = 256 * 1024

_CUT = '\n[the log was cut here: its limit of {} bytes is reached]\n'


# -- steps and events -------------------------------------------------------


@writer
def add_step(
    session: Session, build_id: str, values: Mapping[str, Any]
) -> None:
    """Note a finished step.

    :param values: attempt, number, path, validator, description,
        result, seconds, message, output.
    :raises NotFound: there is no such build.
    :raises ValueError: there is no such column.
    """
    rows.live_build(session, build_id)
    if session.is_retry and any(
        step.number == values.get('number') and session.did(step.created_at)
        for step in list_steps(
            session, build_id, attempt=values.get('attempt')
        )
    ):
        return
    session.add(
        Step(
            **rows.own_columns(Step, values),
            build_id=build_id,
            created_at=session.now,
        )
    )


@reader
def list_steps(
    session: Session, build_id: str, *, attempt: int | None = None
) -> list[records.Step]:
    """Steps in the order in which they were noted.

    :param attempt: only of that attempt; None for all.
    """
    query = sa.select(Step).where(Step.build_id == build_id).order_by(Step.id)
    if attempt is not None:
        query = query.where(Step.attempt == attempt)
    return [rows.record(records.Step, row) for row in session.scalars(query)]


@reader
def page_of_steps(
    session: Session,
    build_id: str,
    *,
    limit: int,
    max_bytes: int,
    after: int = 0,
) -> tuple[list[records.Step], bool]:
    """Steps as of :func:`list_steps`, within some memory.

    :param limit: as of :func:`pages.within`, like ``max_bytes``.
    :param after: id of the last step of the page before.
    :returns: the steps, and whether there are more.
    """
    query = (
        pages.sizes(Step)
        .where(Step.build_id == build_id, Step.id > after)
        .order_by(Step.id)
    )
    found, more = pages.within(
        session, Step, query, limit=limit, max_bytes=max_bytes
    )
    return [rows.record(records.Step, row) for row in found], more


@writer
def add_event(
    session: Session, build_id: str, message: str, *, kind: str = 'note'
) -> None:
    """Note something that happened to a build.

    Changes of status by claim, requeue, finish, cancel and delete are
    noted by those calls themselves.

    :param kind: ``status``, ``fault``, ``conductor`` or ``note``.
    :raises NotFound: there is no such build.
    """
    build = rows.live_build(session, build_id)
    if session.is_retry and any(
        # Compared as it was stored.
        event.message == types.clean(message) and session.did(event.at)
        for event in list_events(session, build_id)
    ):
        return
    note(session, build, kind, message)


@reader
def list_events(session: Session, build_id: str) -> list[records.Event]:
    """Events in the order in which they were noted."""
    query = (
        sa.select(Event).where(Event.build_id == build_id).order_by(Event.id)
    )
    return [rows.record(records.Event, row) for row in session.scalars(query)]


def note(session: Session, build: Build, kind: str, message: str) -> None:
    """Note what else the transaction does to a build."""
    session.add(
        Event(build_id=build.id, at=session.now, kind=kind, message=message)
    )


def note_status(session: Session, build: Build, message: str) -> None:
    """Note a change of status, made in the same transaction."""
    kind = 'fault' if build.status == 'error' else 'status'
    note(session, build, kind, message)


# -- the log ----------------------------------------------------------------


@writer
def append_log(
    session: Session, build_id: str, text: str, max_size: int = -1
) -> int:
    """Write to the end of a build's log.

    Characters that a database cannot hold (NUL, lone surrogates) are
    replaced.

    :param max_size: bytes; what would go beyond is dropped, and one
        line says so. -1 for no limit.
    :returns: the size of the log now, in bytes of UTF-8.
    :raises NotFound: there is no such build (deleted ones are).
    """
    data = types.clean(text).encode()
    # Locked: two that append take turns, and the offsets stay without gaps.
    size = session.scalar(
        sa.select(Build.log_size)
        .where(Build.id == build_id, rows.LIVE)
        .with_for_update()
    )
    if size is None:
        raise exception.NotFound(what='build', id=build_id)
    # A run whose commit was in doubt left where it began to write.
    begun = session.call.notes.get('begun')
    if begun is not None and begun != size:
        fitting = _fitting(data, begun, max_size)
        if _is_at(session, build_id, begun, fitting):
            return size
    session.call.notes['begun'] = size
    fitting = _fitting(data, size, max_size)
    if not fitting:
        return size
    session.change(
        sa.update(Build)
        .where(Build.id == build_id)
        .values(log_size=size + len(fitting))
    )
    for piece in split(fitting, PIECE):
        chunk = LogChunk(build_id=build_id, offset=size, data=piece.decode())
        session.add(chunk)
        size += len(piece)
    return size


def _is_at(session: Session, build_id: str, offset: int, data: bytes) -> bool:
    """Whether data was written at an offset; its first piece is enough."""
    chunk = session.get(LogChunk, (build_id, offset))
    first = next(split(data, PIECE), None)
    return chunk is not None and chunk.data.encode() == first


def _fitting(data: bytes, size: int, max_size: int) -> bytes:
    """What of the data is written to a log of that size."""
    room = max_size - size
    if max_size < 0 or len(data) <= room:
        return data
    if room <= 0 and size > 0:
        # It was full before, and its last line says so.
        return b''
    kept = data[: boundary(data, max(room, 0))]
    # Longer than any character, so the log is full from now on.
    return kept + _CUT.format(max_size).encode()


def boundary(data: bytes, end: int) -> int:
    """The last place, not behind end, that is not inside of a character."""
    if end >= len(data):
        return len(data)
    while end > 0 and _continues(data[end]):
        end -= 1
    return end


def split(data: bytes, size: int) -> Iterator[bytes]:
    """Cut data into pieces of at most that size between characters."""
    start = 0
    while start < len(data):
        end = start + boundary(data[start : start + size + 4], size)
        yield data[start:end]
        start = end


def _continues(byte: int) -> bool:
    """Whether a byte of UTF-8 goes on with a character (10xxxxxx)."""
    return byte & 0xC0 == 0x80


@reader
def read_log(
    session: Session, build_id: str, offset: int = 0, limit: int = READ_LIMIT
) -> tuple[str, int]:
    """Read a part of a build's log.

    Characters are never split: an offset inside of one is moved to the
    next, and the last one fits into the limit (one that is longer than
    the whole limit is given all the same).

    :param offset: where to begin, in bytes of UTF-8.
    :param limit: at most so many bytes.
    :returns: the text, and the offset to go on from; '' at the end.
    :raises NotFound: there is no such build.
    """
    size = rows.live_build(session, build_id).log_size
    if offset >= size:
        return '', size
    offset = max(offset, 0)
    data, start = _bytes(session, build_id, offset, limit)
    begin = offset - start
    while begin < len(data) and _continues(data[begin]):
        begin += 1
    end = boundary(data, begin + limit)
    if end <= begin:
        # Longer than the limit; a reader has to get on.
        end = begin + 1
        while end < len(data) and _continues(data[end]):
            end += 1
    return data[begin:end].decode(), start + end


def _bytes(
    session: Session, build_id: str, offset: int, limit: int
) -> tuple[bytes, int]:
    """The pieces that hold a range, and where the first begins."""
    first = (
        sa.select(sa.func.max(LogChunk.offset))
        .where(LogChunk.build_id == build_id, LogChunk.offset <= offset)
        .scalar_subquery()
    )
    query = (
        sa.select(LogChunk.offset, LogChunk.data)
        .where(
            LogChunk.build_id == build_id,
            LogChunk.offset >= first,
            # 8: what moving to the next character can take.
            LogChunk.offset < offset + limit + 8,
        )
        .order_by(LogChunk.offset)
    )
    pieces = session.execute(query).all()
    return b''.join(data.encode() for _, data in pieces), pieces[0].offset
