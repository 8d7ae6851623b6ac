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
"""The server of one attempt, and what is left of it.

Everything has the stamp of the attempt: the server in its metadata and its
name, the image in its properties from its beginning on. Its ports are Nova's,
which deletes them with the server.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.clients import compute
from imagebuild.clients import glance
from imagebuild.clients import images
from imagebuild.clients import rest
from imagebuild.common.counts import counted
from imagebuild.drivers.snapshot import resource
from imagebuild.drivers.snapshot.resource import ServerFailed

LOG = logging.getLogger(__name__)

#: Status of a server that has stopped, by itself or not.
OFF = 'SHUTOFF'
_NO_HOST = 'No valid host was found'


class Server(resource.ImageSource[compute.Compute]):
    """A server; see :class:`resource.Resource`."""

    kind = 'server'

    def look(self) -> dict[str, Any]:
        """What Nova says of it.

        :raises ServerFailed: it is in error, with the reason, or gone.
        """
        try:
            found = self.retried(lambda: self._client.server(self.id))
        except exception.NotFound as error:
            raise ServerFailed(
                reason='The server was deleted by somebody else.'
            ) from error
        if found.get('status') == 'ERROR':
            raise ServerFailed(reason=_fault(found))
        return found

    def wait_for(
        self,
        status: str,
        seconds: float,
        *,
        or_off: bool = False,
        check: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        """Wait until it is so.

        :param or_off: or until it is off: it may have stopped itself.
        :param check: looks at what Nova says of it, each time; what it raises
            ends the waiting.
        :raises ServerFailed: it is in error, or time is up.
        """
        end = time.monotonic() + seconds
        wanted = (status, OFF) if or_off else (status,)
        while True:
            found = self.look()
            check(found)
            if found.get('status') in wanted:
                return
            if time.monotonic() > end:
                raise ServerFailed(
                    reason=f'The server is {found.get("status")}, and not '
                    f'{status}, after {counted(seconds, "second")}.'
                )
            time.sleep(self._limits.poll_interval)

    def console(self, lines: int) -> str | None:
        """The end of its console; None when there is none now."""
        try:
            return self.retried(lambda: self._client.console(self.id, lines))
        except (exception.NotFound, exception.Conflict):
            return None

    def stop(self) -> None:
        """Stop it, and wait for that.

        :raises ServerFailed: it does not stop.
        """
        if self.look().get('status') != OFF:
            try:
                self.retried(lambda: self._client.stop(self.id))
            except exception.Conflict:
                # It stops by itself, or an answer was lost.
                LOG.info('Server %s is being stopped already', self.id)
        self.wait_for(OFF, self._limits.stop_timeout)

    def snapshot(self, images_of: glance.Glance) -> images.GlanceImage:
        """Have an image made of it, and wait until it is active.

        :raises ServerFailed: it came to nothing, or time is up.
        """
        image_id = self._client.snapshot(
            self.id, self._stamp.name, self._stamp.properties()
        )
        return self.wait_for_image(images_of, image_id)

    def _has_given_up(self, image: images.GlanceImage) -> bool:
        if image.status == 'queued':
            # Nova has given it up, or has not begun.
            self.look()
        return False

    def _no_image(self) -> ServerFailed:
        self.look()
        return ServerFailed(
            reason='Nova could not make an image of the server, and has '
            'removed what it had of it; its log says why.'
        )

    def delete(self, *, at_once: bool = False) -> None:
        """Delete it, and wait until it is gone; no error when it is.

        One that Nova keeps for a while ([DEFAULT] reclaim_instance_interval)
        is gone, for whoever asks.

        :param at_once: as its volume is wanted, which a kept one would keep.
        :raises ServerFailed: it is still there.
        """
        end = time.monotonic() + self._limits.stop_timeout
        asked = False
        while True:
            try:
                if not asked:
                    self._ask_to_delete(at_once=at_once)
                    asked = True
                found = self.retried(lambda: self._client.server(self.id))
                if found.get('status') in ('DELETED', 'SOFT_DELETED'):
                    return
            except exception.NotFound:
                return
            except exception.Conflict as error:
                LOG.info('Server %s cannot be deleted yet: %s', self.id, error)
            if time.monotonic() > end:
                raise ServerFailed(
                    reason=f'Server {self.id} is still there '
                    f'{counted(self._limits.stop_timeout, "second")} after '
                    'it was deleted.'
                )
            time.sleep(self._limits.poll_interval)

    def _ask_to_delete(self, *, at_once: bool) -> None:
        if at_once:
            try:
                self.retried(lambda: self._client.delete_at_once(self.id))
                return
            except rest.Fault as error:
                # By the policy of this cloud.
                LOG.info('Server %s is deleted as others: %s', self.id, error)
        self.retried(lambda: self._client.delete_server(self.id))


def left(
    client: compute.Compute, service: str
) -> Iterator[tuple[artifacts.AttemptStamp, str]]:
    """The servers of a service's attempts.

    :param service: id of the service.
    :returns: of each the stamp and its id.
    """
    # Nova finds servers by their names alone.
    prefix = artifacts.AttemptStamp(service, '', 1).name.rpartition('--')[0]
    for found in client.servers(prefix):
        stamp = _stamp_of(found, service)
        if stamp is not None:
            yield stamp, str(found['id'])


def _stamp_of(
    found: Mapping[str, Any], service: str
) -> artifacts.AttemptStamp | None:
    read = artifacts.AttemptStamp
    of_name = read.from_name(str(found.get('name')), service)
    stamp = read.from_properties(_mapping(found, 'metadata'), service)
    return stamp if stamp is not None and stamp == of_name else None


def _mapping(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name)
    return value if isinstance(value, Mapping) else {}


def _fault(found: Mapping[str, Any]) -> str:
    """Why a server is in error, in Nova's words and plain ones."""
    fault = _mapping(found, 'fault').get('message')
    said = resource.shown(fault)
    if _NO_HOST in said:
        return (
            'No host of the cloud has room for the server, or none fits its '
            f'flavor, image and availability zone: {said}.'
        )
    if 'quota' in said.lower():
        return (
            f'The project of this service has no room for the server: {said}.'
        )
    return f'The server is in error: {said or "Nova does not say why"}.'
