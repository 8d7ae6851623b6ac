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
"""``client.channels``: which image of a name is the current one."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from imagebuild.client import channel_records
from imagebuild.client import exceptions
from imagebuild.client import managers

#: A channel has a field "channel".
_ENVELOPE = 'image_channel'


class ChannelManager(managers.Manager):
    """Promotes builds to channels, and looks at those."""

    def promote(
        self, build_id: str, channel: str, **values: Any
    ) -> channel_records.Channel:
        """Make the image of a build the current one of a channel.

        :param channel: such as ``prod``; of the build's name.
        :param values: ``tags``, which go with the channel; and
            ``current_build_id``, what must be the current build until then,
            None for no build.
        :raises Conflict: the build is not active, its image is gone, it has
            not passed the boot test that the channel wants, or something else
            is there than was expected.
        :raises BadRequest: there is no such channel.
        :raises NotFound: the build does not exist, or not for this project.
        """
        body = self._transport.json(
            'POST',
            f'/builds/{managers.quoted(build_id)}/promote',
            json={'channel': channel, **values},
        )
        return managers.record(channel_records.Channel, body, _ENVELOPE)

    def roll_back(
        self, build_id: str, channel: str
    ) -> channel_records.Channel:
        """Take a build back: the one before is the current one again.

        :raises Conflict: it is not the current one, or there is none before.
        :raises NotFound: the build does not exist, or not for this project.
        """
        body = self._transport.json(
            'POST',
            f'/builds/{managers.quoted(build_id)}/rollback',
            json={'channel': channel},
        )
        return managers.record(channel_records.Channel, body, _ENVELOPE)

    def list(
        self,
        *,
        limit: int | None = None,
        marker: str | None = None,
        **filters: Any,
    ) -> Iterator[channel_records.Channel]:
        """Go through the channels of the project, page by page.

        :param limit: at most so many in all.
        :param marker: begin after the channel with this id.
        :param filters: ``name``, ``channel``, ``build_id``, and for
            administrators ``all_projects`` and ``project_id``.
        """
        params = {'marker': marker, **filters}
        return self._pages(
            channel_records.Channel,
            '/channels',
            'channels',
            params,
            limit=limit,
        )

    def available(self) -> Sequence[str]:
        """Return the names of the channels that can be promoted to."""
        body = self._transport.json('GET', '/channels', params={'limit': 1})
        names = body.get('available') if isinstance(body, dict) else None
        return tuple(names or ())

    def get(self, channel_id: str) -> channel_records.Channel:
        """Return one channel.

        :raises NotFound: it does not exist, or not for this project.
        """
        return self._get(channel_records.Channel, _path(channel_id), _ENVELOPE)

    def find(self, name: str, channel: str) -> channel_records.Channel:
        """Return the channel of an image's name.

        :raises NotFound: nothing was promoted to it.
        """
        for found in self.list(name=name, channel=channel, limit=1):
            return found
        raise exceptions.NotFound(
            f'The channel "{channel}" of "{name}" is empty: nothing was '
            'promoted to it.'
        )

    def history(self, channel_id: str) -> Sequence[channel_records.Promotion]:
        """Return what was promoted to a channel, the newest first."""
        return tuple(
            self._pages(
                channel_records.Promotion,
                _path(channel_id, 'history'),
                'history',
            )
        )

    def delete(self, channel_id: str) -> None:
        """Delete a channel; its images stay, and lose its tags.

        :raises NotFound: it does not exist, or not for this project.
        """
        self._transport.request('DELETE', _path(channel_id))


def _path(channel_id: str, part: str = '') -> str:
    return f'/channels/{managers.quoted(channel_id)}' + (part and f'/{part}')
