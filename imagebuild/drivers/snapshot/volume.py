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
"""The volume that a server boots from, and the image that is made of it.

Nova's own image of such a server is none: it has no data and names a snapshot
in Cinder. So the volume is made first, with the stamp of the attempt in its
metadata and its name, outlives the server, and Cinder writes an image of it
when it is attached nowhere. That of a volume in use would need the consent of
Cinder's operator (enable_force_upload), and Nova could still write to it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.clients import block_storage
from imagebuild.clients import images
from imagebuild.clients import rest
from imagebuild.common.counts import counted
from imagebuild.drivers.snapshot import resource
from imagebuild.drivers.snapshot import settings
from imagebuild.drivers.snapshot.resource import ServerFailed

LOG = logging.getLogger(__name__)

#: In what Cinder tells users (cinder/message/message_field.py).
_NO_ROOM = 'available weighted backend'
_TOO_LARGE = 'exceeds available space'


class Volume(resource.ImageSource[block_storage.BlockStorage]):
    """A volume; see :class:`resource.Resource`."""

    kind = 'volume'

    def look(self) -> dict[str, Any]:
        """What Cinder says of it.

        :raises ServerFailed: it is in error, with the reason, or gone.
        :raises InvalidInput: it is too small for the base image.
        """
        try:
            found = self.retried(lambda: self._client.volume(self.id))
        except exception.NotFound as error:
            raise ServerFailed(
                reason='The volume of the server was deleted while the image '
                'was made.'
            ) from error
        if str(found.get('status')).startswith('error'):
            raise self._failure(found)
        return found

    def wait_until_made(self) -> None:
        """Wait until the base image is in it.

        :raises ServerFailed: it came to nothing, or time is up.
        :raises InvalidInput: it is too small for the base image.
        """
        found = self._wait(self._limits.volume_timeout)
        if found.get('encrypted'):
            raise ServerFailed(
                reason='The volumes of type '
                f'"{resource.shown(found.get("volume_type"))}" are encrypted, '
                'and an image of one can be read by nobody else: name '
                'another type.'
            )
        # What the image has from its beginning on.
        self.retried(
            lambda: self._client.set_image_properties(
                self.id, self._stamp.properties()
            )
        )

    def _wait(self, seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while (found := self.look()).get('status') != 'available':
            if time.monotonic() > end:
                raise ServerFailed(
                    reason='The volume of the server is '
                    f'{resource.shown(found.get("status"))}, and not '
                    f'available, after {counted(seconds, "second")}.'
                )
            time.sleep(self._limits.poll_interval)
        return found

    def begin_image(self) -> str:
        """Have an image made of it, when the server is gone.

        :returns: its id.
        :raises ServerFailed: it is still attached, or Cinder does not.
        """
        self._wait(self._limits.stop_timeout)
        try:
            return self._client.upload(
                self.id, self._stamp.name, self._limits.volume_image_format
            )
        except rest.Refused as error:
            # Nothing of it was asked for by a user.
            raise ServerFailed(reason=str(error)) from error

    def _has_given_up(self, image: images.GlanceImage) -> bool:
        return bool(self.look().get('status') != 'uploading')

    def _no_image(self) -> ServerFailed:
        return ServerFailed(
            reason='The block storage service could not make an image of the '
            f'volume: {self._said() or "its log says why"}.'
        )

    def delete(self) -> None:
        """Delete it, and wait until it is gone; no error when it is.

        :raises ServerFailed: it is still there.
        """
        end = time.monotonic() + self._limits.stop_timeout
        status, why = 'unknown', ''
        while True:
            try:
                found = self.retried(lambda: self._client.volume(self.id))
                status = resource.shown(found.get('status'))
                if status == 'error_deleting':
                    raise ServerFailed(
                        reason='The block storage service could not delete '
                        f'volume {self.id}: its log says why.'
                    )
                if status != 'deleting':
                    self.retried(lambda: self._client.delete_volume(self.id))
            except exception.NotFound:
                return
            except (rest.Refused, exception.Conflict) as error:
                why = f' {error}'
            if time.monotonic() > end:
                raise ServerFailed(
                    reason=f'Volume {self.id} is still there, {status}, '
                    f'{counted(self._limits.stop_timeout, "second")} after '
                    f'it was to be deleted.{why}'
                )
            time.sleep(self._limits.poll_interval)

    def _failure(self, found: Mapping[str, Any]) -> exception.ImageBuildError:
        """Why it is in error, in Cinder's words and plain ones."""
        said = self._said()
        if _TOO_LARGE in said:
            return exception.InvalidInput(
                f'The volume of {found.get("size")} GiB is too small for the '
                f'base image: {said}. Ask for a larger one ("volume_size"), '
                'or set "min_disk" of the image.'
            )
        if _NO_ROOM in said:
            return ServerFailed(
                reason='No storage of the cloud has room for the volume, or '
                f'none fits its type and availability zone: {said}.'
            )
        return ServerFailed(
            reason='The volume of the server is '
            f'{resource.shown(found.get("status"))}: '
            f'{said or "the block storage service does not say why"}.'
        )

    def _said(self) -> str:
        """What Cinder tells users of it, '' for nothing."""
        with contextlib.suppress(exception.ImageBuildError):
            for each in self._client.messages(self.id):
                return resource.shown(each)
        return ''


def body(
    stamp: artifacts.AttemptStamp,
    image_id: str,
    size: int,
    kind: str,
    limits: settings.SnapshotSettings,
) -> dict[str, Any]:
    """What Cinder is asked for.

    :param size: GiB.
    :param kind: its type, '' for Cinder's choice.
    """
    asked: dict[str, Any] = {
        'name': stamp.name,
        'size': size,
        'imageRef': image_id,
        'metadata': stamp.properties(),
    }
    if kind:
        asked['volume_type'] = kind
    if limits.volume_availability_zone:
        asked['availability_zone'] = limits.volume_availability_zone
    return asked


def left(
    client: block_storage.BlockStorage, service: str
) -> Iterator[tuple[artifacts.AttemptStamp, str]]:
    """The volumes of a service's attempts; none where there is no Cinder.

    :param service: id of the service.
    :returns: of each the stamp and its id.
    """
    if not service or not client.is_there():
        return
    read = artifacts.AttemptStamp
    wanted = {artifacts.SERVICE: service}
    for found in client.volumes(wanted, client.project_id()):
        metadata = found.get('metadata')
        if not isinstance(metadata, Mapping):
            continue
        stamp = read.from_properties(metadata, service)
        # What copies metadata gives a name of its own.
        if stamp and stamp == read.from_name(str(found.get('name')), service):
            yield stamp, str(found['id'])
