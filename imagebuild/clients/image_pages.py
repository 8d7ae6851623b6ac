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
"""Lists of images, page by page.

python-glanceclient asks for the next page when the last image of this one has
been taken. Glance then no longer knows where to go on if that image has been
deleted meanwhile, which is what a list of leaks is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import Protocol
from urllib import parse

from imagebuild.clients import errors
from imagebuild.clients import images

#: Images of one page; Glance may give fewer.
_PAGE = 500
#: More pages than any cloud has: a server whose list has no end is not asked
#: for ever.
_MOST_PAGES = 10_000


class Adapter(Protocol):
    """What is asked of :class:`keystoneauth1.adapter.Adapter`."""

    def get(self, url: str, **options: Any) -> Any: ...


def each(
    adapter: Adapter, service: str, filters: Mapping[str, str]
) -> Iterator[images.GlanceImage]:
    """Images that match, the oldest first.

    :param service: ``image``, for messages.
    :param filters: what Glance can filter by.
    :raises ServiceUnavailable: it cannot be reached, or fails; at any time.
    """
    query = {**filters, 'limit': str(_PAGE), 'sort': 'created_at:asc'}
    found, path = _page(
        adapter, service, f'/v2/images?{parse.urlencode(query)}'
    )
    for _ in range(_MOST_PAGES):
        # Before anything of this page is given away, which may be deleted.
        following, path = _page(adapter, service, path)
        yield from found
        if not following:
            return
        found = following


def _page(
    adapter: Adapter, service: str, path: str
) -> tuple[list[images.GlanceImage], str]:
    """A page, and the path of the next one; nothing of ''."""
    if not path:
        return [], ''
    with errors.translated(service):
        response = adapter.get(path, raise_exc=False)
        if response.status_code >= 300:
            raise errors.of_answer(
                service, response.status_code, response.text
            )
        answer = response.json()
        found = [
            images.GlanceImage.from_answer(image) for image in answer['images']
        ]
    # Only the path: another host has no business with our token.
    following = parse.urlsplit(answer.get('next') or '')
    return found, following._replace(scheme='', netloc='').geturl()
