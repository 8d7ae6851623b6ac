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
"""The tags of channels, which follow the database.

A thread looks for channels whose tags are to be changed, or were not looked at
for a while, as the database shows it: so it does not matter who has promoted
something, who died meanwhile, or who has changed tags by hand. The current
image gets the tags, *then* the others lose them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Sequence

from imagebuild import db
from imagebuild import exception
from imagebuild.conductor import periodic_task
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.db import channel_records

LOG = logging.getLogger(__name__)

#: Seconds for which a conductor that died keeps others from a channel.
_HOLD = 300.0
#: Seconds until what a service that is away has prevented is retried.
_LATER = 60.0
#: Seconds to wait for the work that is being done when it is stopped.
_STOP_TIMEOUT = 20.0
#: Problems that one message names.
_NAMED = 5


class ChannelCare:
    """A thread that keeps the tags of channels right."""

    def __init__(self, context: ConductorContext) -> None:
        self._context = context
        self._database = context.database
        self._task = periodic_task.PeriodicTask('channels', self._work)

    def start(self) -> None:
        self._task.start()

    def wake(self) -> None:
        """Say that something was promoted."""
        self._task.wake()

    def stop(self) -> None:
        """Begin nothing more."""
        self._task.stop(_STOP_TIMEOUT)

    def _work(self) -> float:
        try:
            self.sweep()
        except exception.DatabaseUnavailable as error:
            LOG.warning('No channels can be looked at now: %s', error)
        except Exception:
            LOG.exception('Unexpected error in the channels')
        return float(self._context.conf.conductor.sweep_interval)

    def sweep(self) -> None:
        """Do what is to be done for any channel, once.

        :raises DatabaseUnavailable: the rest is done the next time.
        """
        found = self._database.channels_to_attend(
            self._context.name, self._context.conf.promotion.check_interval
        )
        for id in found:
            if self._task.stopped:
                return
            held = self._database.hold_channel(id, self._context.name, _HOLD)
            if held is not None:
                self._attend(held)

    def _attend(self, channel: db.Channel) -> None:
        """Settle one that is held, and release it."""
        again_in = 0.0
        try:
            self.settle(channel)
        except exception.DatabaseUnavailable:
            raise
        except exception.ImageBuildError as error:
            LOG.warning('Channel %s is retried: %s', channel.id, error)
            again_in = _LATER
        except Exception:
            LOG.exception('Unexpected error in channel %s', channel.id)
            again_in = _LATER
        self._database.release_channel(
            channel.id, self._context.name, again_in
        )

    def settle(self, channel: db.Channel) -> None:
        """Have the images of a channel have its tags, or not have them.

        :raises ServiceUnavailable: a store is away; it is done again.
        """
        images = self._database.images_of_channel(channel.id)
        own = [channel.tag, *channel.tags]
        current = [each for each in images if each.is_current]
        changes = _Changes(self._change)
        # In this order: whoever looks for a tag finds two images for a
        # moment, and never none.
        for each in current:
            if not changes.make(each, add=own):
                changes.leave_out(each.image.destination)
        for each in images:
            dropped = {*channel.dropped_tags}
            dropped = dropped - {*own} if each.is_current else dropped | {*own}
            changes.make(each, remove=sorted(dropped))
        if changes.away:
            raise changes.away[0]
        problems = changes.problems
        if channel.current_build_id is not None and not current:
            problems.append(
                f'The image of build {channel.current_build_id} is gone.'
            )
        self._database.settle_channel(
            channel.id,
            channel.revision,
            ' '.join(problems[:_NAMED]),
            [each.image.id for each in current],
        )

    def _change(
        self,
        of_channel: channel_records.ChannelImage,
        *,
        add: Sequence[str],
        remove: Sequence[str],
    ) -> list[str]:
        """Change tags of an image, unless it is so already.

        :returns: what the store has against it, as sentences.
        """
        image = of_channel.image
        remove = [each for each in remove if each not in of_channel.kept_tags]
        if not add and not remove:
            return []
        try:
            self._context.open_store(image.destination).change_tags(
                image.image_id, add=add, remove=remove
            )
        except exception.NotFound:
            if not of_channel.is_current:
                return []
            return [f'The image of build {of_channel.build_id} is gone.']
        except exception.InvalidInput as error:
            return [
                f'The tags of the image of build {of_channel.build_id} cannot '
                f'be changed: {self._context.paths.hide(str(error))}'
            ]
        return []


class _Changes:
    """Changes of tags: what one destination refuses does not concern others.

    :param change: as :meth:`ChannelCare._change`.
    :ivar problems: what stores have against them, as sentences.
    :ivar away: why they are to be made once more.
    """

    def __init__(self, change: Callable[..., list[str]]) -> None:
        self._change = change
        self._left_out: set[str] = set()
        self.problems: list[str] = []
        self.away: list[exception.ServiceUnavailable] = []

    def leave_out(self, destination: str) -> None:
        """Make no more of them at a destination."""
        self._left_out.add(destination)

    def make(
        self,
        image: channel_records.ChannelImage,
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
    ) -> bool:
        """Change tags of an image.

        :returns: whether they are as they should be.
        """
        if image.image.destination in self._left_out:
            return False
        try:
            found = self._change(image, add=add, remove=remove)
        except exception.ServiceUnavailable as error:
            self.away.append(error)
            self.leave_out(image.image.destination)
            return False
        self.problems += found
        return not found
