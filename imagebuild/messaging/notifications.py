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
"""Notifications when builds begin and end, by oslo.messaging.

=========================  ========  ======================================
event                      priority  when
=========================  ========  ======================================
image_build.build.start    INFO      a conductor begins; again at each attempt
image_build.build.end      INFO      the build is ``active`` or ``cancelled``
image_build.build.error    ERROR     the build is ``error``
=========================  ========  ======================================

And, with a payload of its own (:func:`channel_payload`),
``image_build.channel.promote`` and ``image_build.channel.rollback`` when
another build has become the current one of a channel.

A build that no conductor has (there is an image already, it waited for
another, it was cancelled in the queue) has no start.

The payload has the same names each time::

    {
        build_id,
        name,
        project_id,
        user_id,
        request_id,
        status,
        status_reason,
        fault,
        os,
        driver,
        architecture,
        content_key,
        attempt,
        conductor,
        image_id,
        size,
        os_hash_algo,
        os_hash_value,
        reused_from,
        created_at,
        started_at,
        finished_at,
    }

Times are ISO 8601 in UTC with ``Z``. What was asked for (arguments, files,
manifests) is never in it. Nothing is sent unless
``[oslo_messaging_notifications] driver`` names one, and what goes wrong is
logged and forgotten: no build fails because nobody listened.
"""

from __future__ import annotations

import datetime
import logging
from typing import Any

from oslo_config import cfg

from imagebuild import db
from imagebuild.messaging import bus

LOG = logging.getLogger(__name__)

PREFIX = 'image_build.build'
CHANNEL_PREFIX = 'image_build.channel'

_COPIED = (
    'name', 'project_id', 'user_id', 'request_id', 'status', 'status_reason',
    'fault', 'os', 'driver', 'architecture', 'content_key', 'attempt',
    'conductor', 'image_id', 'size', 'os_hash_algo', 'os_hash_value',
    'reused_from',
)  # fmt: skip
_OF_CHANNEL = (
    'name', 'channel', 'project_id', 'user_id', 'tag', 'tags',
    'current_build_id', 'current_image_id', 'previous_build_id',
    'previous_image_id',
)  # fmt: skip
_TIMES = ('created_at', 'started_at', 'finished_at')


class Notifier:
    """Sends the notifications of one program.

    :param conf: of the program; ``[oslo_messaging_notifications]``.
    :param publisher: such as ``imagebuild-conductor.host-1``.
    """

    def __init__(self, conf: cfg.ConfigOpts, publisher: str) -> None:
        self._notifier = bus.get_notifier(conf, publisher)
        self._sender = bus.Sender()

    def started(self, build: db.Build) -> None:
        """A conductor begins a build."""
        self._send('info', 'start', build)

    def ended(self, build: db.Build) -> None:
        """A build is ``active``, ``cancelled`` or ``error``."""
        if build.status == 'error':
            self._send('error', 'error', build)
        else:
            self._send('info', 'end', build)

    def promoted(
        self, channel: db.Channel, action: str, request_id: str | None
    ) -> None:
        """A build has become the current one of a channel.

        :param action: ``promote`` or ``rollback``.
        :param request_id: of the request that did it.
        """
        context = {
            'request_id': request_id,
            'project_id': channel.project_id,
        }
        self._sender.send(
            f'The notification "{action}" of channel {channel.id}',
            lambda: self._notifier.info(
                context,
                f'{CHANNEL_PREFIX}.{action}',
                {**channel_payload(channel), 'request_id': request_id},
            ),
        )

    def _send(self, priority: str, event: str, build: db.Build) -> None:
        context = {
            'request_id': build.request_id,
            'project_id': build.project_id,
        }
        # The payload is made by the sender's thread, of a record that never
        # changes.
        send = getattr(self._notifier, priority)
        self._sender.send(
            f'The notification "{event}" of build {build.id}',
            lambda: send(context, f'{PREFIX}.{event}', payload(build)),
        )


def payload(build: db.Build) -> dict[str, Any]:
    """What a notification holds of a build."""
    found: dict[str, Any] = {'build_id': build.id}
    found.update((name, getattr(build, name)) for name in _COPIED)
    found.update((name, _iso(getattr(build, name))) for name in _TIMES)
    return found


def channel_payload(channel: db.Channel) -> dict[str, Any]:
    """What a notification holds of a channel."""
    found: dict[str, Any] = {'channel_id': channel.id}
    found.update((name, getattr(channel, name)) for name in _OF_CHANNEL)
    return {**found, 'updated_at': _iso(channel.updated_at)}


def _iso(time: datetime.datetime | None) -> str | None:
    return None if time is None else f'{time.isoformat()}Z'
