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
"""Logs: pieces of text at byte offsets.

The log of a build is one long text in UTF-8. Each piece is a row whose key
is where it begins, in bytes, and no piece ends inside of a character.
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import orm

from imagebuild import exception
from imagebuild.db import types
from imagebuild.db.models import Build
from imagebuild.db.models import LogChunk
from imagebuild.db.queries import builds

#: Bytes in one row.
PIECE = 256 * 1024

_CUT = '\n[the log was cut here: its limit of {} bytes is reached]\n'


class Appending:
    """One call of append_log; may be run again after a lost connection."""

    def __init__(self, build_id: str, text: str, max_size: int) -> None:
        self._build_id = build_id
        self._data = types.clean(text).encode()
        self._max_size = max_size
        self._start: int | None = None

    def run(self, session: orm.Session) -> int:
        size = session.scalar(
            sa.select(Build.log_size)
            .where(Build.id == self._build_id, builds.LIVE)
            .with_for_update()
        )
        if size is None:
            raise exception.NotFound(what='build', id=self._build_id)
        if self._was_written(session, size):
            return size
        self._start = size
        data = self._fitting(size)
        if not data:
            return size
        session.execute(
            sa.update(Build)
            .where(Build.id == self._build_id)
            .values(log_size=size + len(data))
            .execution_options(synchronize_session=False)
        )
        offset = size
        for piece in split(data, PIECE):
            session.add(
                LogChunk(
                    build_id=self._build_id,
                    offset=offset,
                    data=piece.decode(),
                )
            )
            offset += len(piece)
        return offset

    def _was_written(self, session: orm.Session, size: int) -> bool:
        """Whether a run whose end was lost did write it."""
        if self._start is None or size == self._start:
            return False
        chunk = session.get(LogChunk, (self._build_id, self._start))
        first = next(split(self._fitting(self._start), PIECE), None)
        return chunk is not None and chunk.data.encode() == first

    def _fitting(self, size: int) -> bytes:
        room = self._max_size - size
        if self._max_size < 0 or len(self._data) <= room:
            return self._data
        if room <= 0 and size > 0:
            # It was full before, and has been told so.
            return b''
        kept = self._data[: boundary(self._data, max(room, 0))]
        # Longer than any character, so the log is full from now on.
        return kept + _CUT.format(self._max_size).encode()


def boundary(data: bytes, end: int) -> int:
    """The last place, not behind end, that is not inside of a character."""
    if end >= len(data):
        return len(data)
    while end > 0 and data[end] & 0xC0 == 0x80:
        end -= 1
    return end


def split(data: bytes, size: int) -> Iterator[bytes]:
    """Cut data into pieces of at most that size between characters."""
    start = 0
    while start < len(data):
        end = start + boundary(data[start : start + size + 4], size)
        yield data[start:end]
        start = end


def read(
    session: orm.Session, build_id: str, offset: int, limit: int
) -> tuple[str, int]:
    size = builds.live_row(session, build_id).log_size
    if offset >= size:
        return '', size
    offset = max(offset, 0)
    data, start = _bytes(session, build_id, offset, limit)
    begin = offset - start
    while begin < len(data) and data[begin] & 0xC0 == 0x80:
        begin += 1
    end = boundary(data, begin + limit)
    if end <= begin:
        # Longer than the limit; a reader has to get on.
        end = begin + 1
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end += 1
    return data[begin:end].decode(), start + end


def _bytes(
    session: orm.Session, build_id: str, offset: int, limit: int
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
