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
"""Lists in pages, sorted, of one project or of all."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from typing import Any
from typing import Protocol

from imagebuild import exception
from imagebuild import policies
from imagebuild.api.api_call import Call
from imagebuild.exception import Problem

#: Bytes that the items of one page may hold in the database.
MAX_BYTES = 4 * 1024 * 1024


def limit(call: Call) -> int:
    """How many items the page holds at most."""
    wanted = call.query.get('limit', call.service.conf.api.default_limit)
    return int(min(wanted, call.service.conf.api.max_limit))


def project(call: Call) -> str | None:
    """The project whose items are listed, None for those of all.

    :raises Forbidden: only operators see those of others.
    """
    wanted: str | None = call.query.get('project_id', call.context.project_id)
    everyone = call.query.get('all_projects', False)
    if everyone or wanted != call.context.project_id:
        call.context.can(policies.builds.LIST_ALL)
    # Of both the project is the narrower one, so it holds.
    if everyone and 'project_id' not in call.query:
        return None
    return wanted


def sort(call: Call) -> list[tuple[str, str]]:
    """Pairs of key and direction, as the schema let them pass."""
    pairs = []
    for part in call.query.get('sort', '').split(','):
        key, _, direction = part.partition(':')
        if key:
            pairs.append((key, direction or 'asc'))
    return pairs


class Getter(Protocol):
    """Looks an item up; raises NotFound."""

    def __call__(self, id: str, *, project_id: str | None) -> object: ...


def check_marker(call: Call, get: Getter, project_id: str | None) -> None:
    """Pass when the marker is an item that may be listed.

    :param project_id: of the list, None for all.
    :raises InvalidRequest: it is not, or no longer.
    """
    marker = call.query.get('marker')
    if marker is None:
        return
    try:
        get(marker, project_id=project_id)
    except exception.NotFound:
        raise exception.InvalidRequest(
            [Problem('marker', f'there is no item {marker}')]
        ) from None


def page(
    call: Call,
    name: str,
    path: str,
    items: Sequence[dict[str, Any]],
    *,
    more: bool,
) -> dict[str, Any]:
    """Return the document of one page.

    :param name: key of the items.
    :param path: of the list, such as ``/v1/builds``.
    :param items: at most :func:`limit`.
    :param more: whether there is another page.
    """
    result: dict[str, Any] = {name: list(items)}
    if more and items:
        query = {
            # As JSON and the query schema write them, not "True".
            key: str(value).lower() if isinstance(value, bool) else value
            for key, value in call.query.items()
        }
        query['marker'] = items[-1]['id']
        # The effective limit, not the one of the request, which may exceed
        # max_limit.
        query['limit'] = limit(call)
        encoded = urllib.parse.urlencode(query, doseq=True)
        result['next'] = f'{call.root}{path}?{encoded}'
    return result
