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
"""One attempt: what it asks a cloud for."""

from __future__ import annotations

import dataclasses
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.clients import block_storage
from imagebuild.clients import compute
from imagebuild.clients import images
from imagebuild.clients import network
from imagebuild.clients import rest
from imagebuild.common import guest_program
from imagebuild.common import space
from imagebuild.drivers import base
from imagebuild.drivers.snapshot import floating
from imagebuild.drivers.snapshot import server
from imagebuild.drivers.snapshot import settings
from imagebuild.drivers.snapshot import user_data
from imagebuild.drivers.snapshot import volume
from imagebuild.drivers.snapshot.options import SnapshotOptions
from imagebuild.drivers.snapshot.resource import ServerFailed
from imagebuild.remotes import invocations

LOG = logging.getLogger(__name__)

#: Property of images by which Nova gives servers volumes.
_VOLUMES = 'block_device_mapping'
#: Where Nova tells which ones a server has.
_ATTACHED = 'os-extended-volumes:volumes_attached'
#: Property of images by which Cinder chooses the type of a volume.
_VOLUME_TYPE = 'cinder_img_volume_type'


@dataclasses.dataclass(frozen=True)
class Clients:
    """The services that an attempt asks."""

    compute: compute.Compute
    block_storage: block_storage.BlockStorage
    network: network.Network

    @classmethod
    def of(cls, of: base.Settings) -> Clients:
        """Make them; nothing is contacted yet."""
        name = settings.SECTION
        return cls(
            compute.Compute.from_config(of.sections, name),
            storage_of(of.sections),
            network.Network.from_config(
                of.sections, name, 'network_endpoint_override'
            ),
        )


def storage_of(sections: Any) -> block_storage.BlockStorage:
    """The block storage service, as the configuration says it."""
    return block_storage.BlockStorage.from_config(
        sections, settings.SECTION, 'volume_endpoint_override'
    )


class Attempt:
    """One attempt.

    :ivar server: when there is one, as the others.
    """

    def __init__(
        self, context: base.BuildContext, options: SnapshotOptions
    ) -> None:
        self.context = context
        self.stamp = context.stamp()
        self.limits = settings.SnapshotSettings.read(context.settings.sections)
        self.clients = Clients.of(context.settings)
        self.server: server.Server | None = None
        self.volume: volume.Volume | None = None
        self.floating: floating.FloatingAddress | None = None
        self._image_id = ''
        self._options = options
        self._flavor: dict[str, Any] = {}
        self._gib = 0

    @property
    def has_volume(self) -> bool:
        """Whether the disk of the server is a volume."""
        return self._options.boots_from_volume(self.limits)

    def look(self) -> int:
        """Look at what the cloud has for it.

        :returns: bytes of the disk.
        :raises InvalidInput: the flavor is not there, or the disk too small.
        """
        of = self.context.settings
        name = self._options.flavor or self.limits.flavor
        self._flavor = self._known_flavor(name)
        image = self._base_image()
        _refuse_volumes(image)
        needed = max(image.virtual_size, image.min_disk * space.GIB)
        if self.has_volume:
            self._refuse_type(image)
            size = self._volume_size(max(needed, image.size))
        else:
            size = int(self._flavor['disk']) * space.GIB
            if size and needed > size:
                raise exception.InvalidInput(
                    f'The base image needs a disk of {space.human(needed)}, '
                    f'and the flavor "{name}" has {space.human(size)}.'
                )
        of.check_size(size or needed)
        return size or needed

    def _known_flavor(self, name: str) -> dict[str, Any]:
        try:
            return self.clients.compute.flavor(name)
        except rest.Refused as error:
            if self._options.flavor:
                raise
            raise ServerFailed(
                reason=f'[snapshot] flavor: {error.kwargs["reason"]}'
            ) from error

    def _volume_size(self, needed: int) -> int:
        """Bytes of the volume."""
        least = max(-(-needed // space.GIB), 1)
        asked = self._options.volume_size
        if asked and asked < least:
            raise exception.InvalidInput(
                f'The base image needs a disk of {least} GiB, and '
                f'"volume_size" is {asked}.'
            )
        self._gib = asked or max(self.limits.volume_size, least)
        return self._gib * space.GIB

    def _refuse_type(self, image: images.GlanceImage) -> None:
        """Refuse an image that chooses the type of the volume itself.

        :raises InvalidInput: users may not ask for that type.
        """
        kind = image.properties.get(_VOLUME_TYPE)
        if not kind or self._options.volume_type or self.limits.volume_type:
            return
        allowed = self.limits.allowed_volume_types
        if settings.EVERYTHING not in allowed and kind not in allowed:
            raise exception.InvalidInput(
                f'The base image wants a volume of type "{kind}" (its '
                f'property "{_VOLUME_TYPE}"), which the operator does not '
                'allow.'
            )

    # -- making -------------------------------------------------------------

    def program_data(
        self, program: guest_program.GuestProgram
    ) -> tuple[str, str]:
        """User data of a program.

        :returns: with the token by which what it says is known.
        :raises InvalidInput: the program is too long.
        """
        token = secrets.token_hex(16)
        data = user_data.made(
            program,
            token,
            environment=invocations.ENVIRONMENT,
            command_timeout=self.context.settings.command_timeout,
            server=self.stamp.name,
        )
        return token, data

    def make(self, data: str, *, or_off: bool = False) -> server.Server:
        """Have a server made, and wait until it runs.

        :param data: its user data, base64.
        :param or_off: it may have stopped itself by then.
        :raises Refused: the cloud does not want that.
        :raises InvalidInput: by its image it has volumes of others.
        :raises ServerFailed: it came to nothing.
        """
        monitor = self.context.monitor
        if self.has_volume:
            with monitor.step('make a volume of the base image'):
                self._make_volume()
        with monitor.step('make the server'):
            made = self.clients.compute.create_server(self._body(data))
            self.server = server.Server(
                self.clients.compute, made, *self._of_resources()
            )
            self.server.wait_for(
                'ACTIVE',
                self.limits.server_timeout,
                or_off=or_off,
                check=self._refuse_attached,
            )
            # Whoever owns the image may have changed it since it was looked
            # at, and before Nova did.
            _refuse_volumes(self._base_image())
        return self.server

    def _refuse_attached(self, found: Mapping[str, Any]) -> None:
        """Refuse a server that has volumes which are none of ours.

        :raises InvalidInput: the base image had Nova attach them.
        """
        own = set() if self.volume is None else {self.volume.id}
        if {each.get('id') for each in found.get(_ATTACHED) or ()} - own:
            raise exception.InvalidInput(
                'The server has volumes that this build has not made: the '
                f'base image names them (its property "{_VOLUMES}"). Servers '
                'are made of images with data only.'
            )

    def _base_image(self) -> images.GlanceImage:
        glance = self.context.settings.glance()
        return glance.get(self.context.base_image.id)

    def make_floating(self, made: server.Server) -> str:
        """Give a server a floating address, if the operator wants that.

        :returns: the address, or ''.
        :raises ServerFailed: none leads to it.
        """
        if not self.limits.floating_network:
            return ''
        with self.context.monitor.step('give the server a floating address'):
            self.floating = floating.made(
                self.clients.network, made.id, *self._of_resources()
            )
        return self.floating.address

    def _of_resources(
        self,
    ) -> tuple[artifacts.AttemptStamp, settings.SnapshotSettings, float]:
        return self.stamp, self.limits, self.context.settings.retry_timeout

    def _make_volume(self) -> None:
        kind = self._options.volume_type or self.limits.volume_type
        asked = volume.body(
            self.stamp,
            self.context.base_image.id,
            self._gib,
            kind,
            self.limits,
        )
        client = self.clients.block_storage
        try:
            made = client.create_volume(asked)
        except rest.Refused as error:
            if self._options.volume_type or self._options.volume_size:
                raise
            # What it is about is in the configuration.
            raise ServerFailed(reason=str(error)) from error
        self.volume = volume.Volume(client, made, *self._of_resources())
        self.volume.wait_until_made()

    def _body(self, data: str) -> dict[str, Any]:
        options, limits = self._options, self.limits
        networks = options.networks_with(limits)
        drive = (
            limits.config_drive
            if options.config_drive is None
            else options.config_drive
        )
        body: dict[str, Any] = {
            'name': self.stamp.name,
            'flavorRef': self._flavor['id'],
            **self._disk(),
            'metadata': self.stamp.properties(),
            'user_data': data,
            'networks': [{'uuid': each} for each in networks] or 'none',
            'config_drive': drive or not networks,
        }
        zone = options.availability_zone or limits.availability_zone
        if zone:
            body['availability_zone'] = zone
        if limits.security_groups and networks:
            body['security_groups'] = [
                {'name': each} for each in limits.security_groups
            ]
        return body

    def _disk(self) -> dict[str, Any]:
        """What the server boots from."""
        if self.volume is None:
            return {'imageRef': self.context.base_image.id}
        root = {
            'boot_index': 0,
            'uuid': self.volume.id,
            'source_type': 'volume',
            'destination_type': 'volume',
            # An image is made of it when the server is gone.
            'delete_on_termination': False,
        }
        return {'block_device_mapping_v2': [root]}

    # -- the image ----------------------------------------------------------

    def image(self, stopped: server.Server) -> str:
        """Have the image made.

        :returns: its id; it is active.
        :raises ServerFailed: it came to nothing.
        """
        monitor = self.context.monitor
        glance = self.context.settings.glance()
        if self.volume is None:
            with monitor.step('make an image of the server'):
                return stopped.snapshot(glance).id
        with monitor.step('delete the server'):
            stopped.delete(at_once=True)
            self.server = None
        with monitor.step('make an image of the volume'):
            self._image_id = self.volume.begin_image()
            made = self.volume.wait_for_image(glance, self._image_id)
            # Whatever the base image says: this disk has its own size.
            glance.update(made.id, min_disk=max(made.min_disk, self._gib))
            self._image_id = ''
        return made.id

    # -- the end ------------------------------------------------------------

    def give_up(self) -> None:
        """Delete everything but the image; what stays is reaped later."""
        if self.server is not None:
            made, self.server = self.server, None
            at_once = self.volume is not None
            self._try(lambda: made.delete(at_once=at_once))
        if self.floating is not None:
            self._try(self.floating.delete)
            self.floating = None
        if self._image_id:
            # As long as it is written the volume cannot be deleted.
            image_id, self._image_id = self._image_id, ''
            self._try(lambda: self.context.settings.glance().delete(image_id))
        if self.volume is not None:
            self._try(self.volume.delete)
            self.volume = None

    def _try(self, delete: Any) -> None:
        try:
            delete()
        except exception.ImageBuildError as error:
            LOG.warning('%s It is deleted later.', error)


def _refuse_volumes(image: images.GlanceImage) -> None:
    """Refuse an image by which Nova would attach volumes.

    Whose volumes they are is decided by the rights of this service's user,
    not of the one who made the image.

    :raises InvalidInput: it names some, or may.
    """
    if image.properties.get(_VOLUMES, '[]') != '[]':
        raise exception.InvalidInput(
            f'The base image names volumes (its property "{_VOLUMES}"): '
            'servers are made of images with data only.'
        )
