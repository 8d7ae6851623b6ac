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
"""What all the parts of the client share."""

from __future__ import annotations

import urllib.parse
import uuid
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import TypeVar

import tenacity

from imagebuild.client import exceptions
from imagebuild.client import http
from imagebuild.client import records

RecordT = TypeVar('RecordT', bound=records.Record)


class Manager:
    """Base of the parts: one for each collection of the API."""

    def __init__(self, transport: http.Transport) -> None:
        self._transport = transport

    def _get(self, kind: type[RecordT], path: str, key: str) -> RecordT:
        return record(kind, self._transport.json('GET', path), key)

    def _pages(
        self,
        kind: type[RecordT],
        path: str,
        key: str,
        params: Mapping[str, Any] | None = None,
        *,
        limit: int | None = None,
    ) -> Iterator[RecordT]:
        """Go through all pages; each is asked for when it is needed."""
        query = dict(params or {})
        left = limit
        while left is None or left > 0:
            if left is not None:
                query['limit'] = left
            body = self._transport.json('GET', path, params=query)
            found = items(body, key)
            for item in found[:left]:
                yield kind.from_dict(item)
            # The service may return fewer than the limit: its own maximum.
            if left is not None:
                left -= len(found)
            following = next_page(body, key)
            if not found or following is None:
                return
            # Only the query of the link: behind a proxy its host may be one
            # that this host cannot reach.
            query = {**query, **following}


def retrying(seconds: float, interval: float) -> tenacity.Retrying:
    """Return what calls again while the service cannot be reached.

    The work goes on while an API server restarts; whoever waits for it should
    not notice.

    :param seconds: how long an absence may last; each call starts afresh.
    :param interval: seconds between two attempts.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(
            (exceptions.ConnectionFailed, exceptions.ServiceUnavailable)
        ),
        wait=tenacity.wait_fixed(interval),
        stop=tenacity.stop_after_delay(seconds),
        # The error itself, not tenacity's RetryError.
        reraise=True,
    )


def record(kind: type[RecordT], body: Any, key: str) -> RecordT:
    """Take one record out of a body, with or without an envelope.

    :raises ServerError: the body has none.
    """
    inner = body.get(key, body) if isinstance(body, dict) else None
    if not isinstance(inner, dict):
        raise exceptions.ServerError(f'The answer holds no "{key}".')
    return kind.from_dict(inner)


def items(body: Any, key: str) -> list[Mapping[str, Any]]:
    """Take the list out of a body.

    :raises ServerError: the body has none.
    """
    found = body.get(key) if isinstance(body, dict) else body
    if not isinstance(found, list):
        raise exceptions.ServerError(f'The answer holds no "{key}".')
    return found


def next_page(body: Any, key: str) -> Mapping[str, Sequence[str]] | None:
    """Return the query of the next page, None on the last one."""
    if not isinstance(body, dict):
        return None
    link = body.get('next')
    for name in ('links', f'{key}_links'):
        links = body.get(name)
        for item in links if isinstance(links, list) else ():
            if isinstance(item, dict) and item.get('rel') == 'next':
                link = item.get('href')
    if not isinstance(link, str) or not link:
        return None
    return urllib.parse.parse_qs(
        urllib.parse.urlsplit(link).query, keep_blank_values=True
    )


def quoted(part: str) -> str:
    """One segment of a path."""
    return urllib.parse.quote(part, safe='')


def is_id(text: str) -> bool:
    """Whether a text looks like an id of the service."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
