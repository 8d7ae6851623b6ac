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
"""What an attempt has made in a cloud: server, volume, floating address."""

from __future__ import annotations

import abc
import time
from collections.abc import Callable
from typing import Generic
from typing import TypeVar

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.clients import glance
from imagebuild.clients import images
from imagebuild.clients import retries
from imagebuild.common import control_characters
from imagebuild.common.counts import counted
from imagebuild.drivers.snapshot import settings

T = TypeVar('T')
C = TypeVar('C')

#: Status of an image that will never have data.
_LOST = ('killed', 'deleted', 'pending_delete')
#: Characters of what a service says of a fault.
_LONGEST = 400


class ServerFailed(exception.EnvironmentFault):
    """The cloud did not do with the server what it was asked for."""

    msg_fmt = '%(reason)s'


class Resource(Generic[C]):
    """One thing, which has the stamp of the attempt.

    :param client: of the service that has it.
    :param limits: seconds for everything that is waited for.
    :param retry_timeout: seconds for which a service may be away.
    :ivar id: of the thing.
    """

    def __init__(
        self,
        client: C,
        resource_id: str,
        stamp: artifacts.AttemptStamp,
        limits: settings.SnapshotSettings,
        retry_timeout: float,
    ) -> None:
        self.id = resource_id
        self._client = client
        self._stamp = stamp
        self._limits = limits
        self._retry_timeout = retry_timeout

    def retried(self, call: Callable[[], T]) -> T:
        """Ask until the service is there."""
        return retries.retry_while_unavailable(
            call, timeout=self._retry_timeout
        )


class ImageSource(Resource[C], abc.ABC):
    """A thing of whose disk its service makes an image.

    :cvar kind: what it is, in sentences.
    """

    kind: str

    def wait_for_image(
        self, images_of: glance.Glance, image_id: str
    ) -> images.GlanceImage:
        """Wait until its image is active.

        :param images_of: where the image is.
        :param image_id: of the image, which its service has begun.
        :returns: the image, with what Glance says of it then.
        :raises ServerFailed: it came to nothing, or time is up.
        """
        end = time.monotonic() + self._limits.image_timeout
        is_given_up = False
        while True:
            image = self._image(images_of, image_id)
            if image.status == 'active':
                return image
            if image.status in _LOST:
                raise ServerFailed(
                    reason=f'The image of the {self.kind} is {image.status}.'
                )
            if is_given_up:
                raise self._no_image()
            if time.monotonic() > end:
                raise ServerFailed(
                    reason=f'The image of the {self.kind} is {image.status} '
                    f'after {counted(self._limits.image_timeout, "second")}.'
                )
            # Once more then: it may have become active in between.
            is_given_up = self._has_given_up(image)
            if not is_given_up:
                time.sleep(self._limits.poll_interval)

    def _image(
        self, images_of: glance.Glance, image_id: str
    ) -> images.GlanceImage:
        try:
            return self.retried(lambda: images_of.get(image_id))
        except exception.NotFound as error:
            # Services delete what they could not finish.
            raise self._no_image() from error

    @abc.abstractmethod
    def _has_given_up(self, image: images.GlanceImage) -> bool:
        """Whether its service no longer works at the image.

        :param image: which is not active.
        :raises ServerFailed: the thing itself is in error, or gone.
        """

    @abc.abstractmethod
    def _no_image(self) -> ServerFailed:
        """Why there will be no image."""


def shown(said: object) -> str:
    """What a service says of a fault, for people."""
    return control_characters.escaped(str(said or ''))[:_LONGEST].strip(' .')
