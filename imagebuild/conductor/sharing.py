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
"""What is said about an image that several builds share.

None of them takes anything from another: the name, the visibility and the
values of properties are those of the oldest build, and everything else is
what satisfies all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any


def merged(requests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Bring together what several builds want of their image.

    :param requests: of the builds, the oldest first; at least one.
    :returns: the first request, changed where others want more.
    """
    first = requests[0]
    if len(requests) == 1:
        return dict(first)
    visibility = first.get('visibility')
    members = _all(requests, 'members')
    if members and visibility == 'private':
        visibility = 'shared'
    if visibility not in (None, '', 'shared'):
        # Everybody sees it, or nobody wants members.
        members = []
    properties: dict[str, Any] = {}
    for request in reversed(requests):
        properties.update(request.get('properties') or {})
    return {
        **first,
        'visibility': visibility,
        'members': members,
        'protected': any(request.get('protected') for request in requests),
        'tags': _all(requests, 'tags'),
        'properties': properties,
        'min_disk': _most(requests, 'min_disk'),
        'min_ram': _most(requests, 'min_ram'),
    }


def _all(requests: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """Every item of any of the lists, once."""
    lists = [request.get(name) or () for request in requests]
    return list(dict.fromkeys(itertools.chain.from_iterable(lists)))


def _most(requests: Sequence[Mapping[str, Any]], name: str) -> int:
    return max(int(request.get(name) or 0) for request in requests)
