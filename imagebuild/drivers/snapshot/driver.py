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
"""Images that Nova makes of servers.

A server is made of the base image, becomes what is described, is stopped, and
an image is made of it. Server and image are in the project of the service
user, until the image is adopted for the one that asked for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import secrets
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.boot import running
from imagebuild.clients import compute
from imagebuild.clients import rest
from imagebuild.clients import images
from imagebuild.common import config_options
from imagebuild.common import guest_program
from imagebuild.common import phases
from imagebuild.common import space
from imagebuild.drivers import attempt_images
from imagebuild.drivers import base
from imagebuild.drivers import isolations
from imagebuild.drivers.build_context import BaseImageKind
from imagebuild.drivers.snapshot import boot
from imagebuild.drivers.snapshot import disk
from imagebuild.drivers.snapshot import options as snapshot_options
from imagebuild.drivers.snapshot import server
from imagebuild.drivers.snapshot import settings
from imagebuild.drivers.snapshot import user_data
from imagebuild.drivers.snapshot.options import SnapshotOptions
from imagebuild.remotes import invocations

LOG = logging.getLogger(__name__)

#: Seconds for which a server may go when it is reaped. The twenty attempts of
#: one job have ten minutes: whoever is not gone is asked for again.
_REAPED = 20.0

#: Property of images by which Nova gives servers volumes.
_VOLUMES = 'block_device_mapping'


class SnapshotDriver(base.Driver):
    """Has Nova make images of servers.

    Its options are those of :class:`SnapshotOptions`, its configuration is
    :class:`settings.SnapshotSettings`.
    """

    name: ClassVar[str] = 'snapshot'
    wants_base: ClassVar[bool] = True
    base_kinds: ClassVar[Sequence[BaseImageKind]] = ('glance',)
    options: ClassVar[type[base.Options]] = SnapshotOptions
    by_default: ClassVar[bool] = False
    boots: ClassVar[bool] = True

    @classmethod
    def list_opts(cls) -> config_options.Pairs:
        """See :meth:`base.Driver.list_opts`."""
        return settings.list_opts()

    def missing(
        self, isolation: isolations.Setting = 'appliance'
    ) -> Sequence[str]:
        """See :meth:`base.Driver.missing`: all of it is elsewhere."""
        return ()

    def check_asked(
        self,
        asked: Mapping[str, Any],
        options: Mapping[str, Any],
        sections: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """See :meth:`base.Driver.check_asked`."""
        allowed = settings.SnapshotSettings.read(sections)
        problems = snapshot_options.asked_problems(asked, allowed)
        if not (options.get('flavor') or allowed.flavor):
            problems.append(
                exception.Problem(
                    'flavor', 'it is needed: the operator has set none'
                )
            )
        problems += snapshot_options.way_problems(options, allowed)
        if problems:
            raise base.InvalidDriverOptions(problems)

    def makes(self, options: Mapping[str, Any]) -> artifacts.Kind:
        """See :meth:`base.Driver.makes`."""
        return 'image'

    def runs_program(self, options: Mapping[str, Any]) -> bool:
        """See :meth:`base.Driver.runs_program`."""
        return bool(options.get('configure') != 'ssh')

    def works_in_cloud(
        self, sections: Mapping[str, Mapping[str, Any]]
    ) -> bool:
        """See :meth:`base.Driver.works_in_cloud`: where there is one."""
        keystone = sections.get('keystone', {})
        return bool(keystone.get('auth_url') or keystone.get('endpoint'))

    def reap(self, stamp: base.AttemptStamp, settings: base.Settings) -> int:
        """See :meth:`base.Driver.reap`.

        The server first: as long as it is there Nova may make its image.
        """
        client = _client(settings)
        limits = _limits(settings)
        limits = dataclasses.replace(
            limits, stop_timeout=min(limits.stop_timeout, _REAPED)
        )
        reaped = 0
        for found, server_id in [*server.left(client, stamp.service)]:
            if found == stamp:
                server.Server(
                    client, server_id, stamp, limits, settings.retry_timeout
                ).delete()
                LOG.info('Deleted server %s', server_id)
                reaped += 1
        return reaped + attempt_images.reap(settings.glance(), stamp)

    def left_behind(
        self, service: str, settings: base.Settings
    ) -> Iterable[tuple[str, int]]:
        """See :meth:`base.Driver.left_behind`."""
        for stamp, _ in server.left(_client(settings), service):
            yield stamp.build_id, stamp.attempt
        yield from attempt_images.left(settings.glance(), service)

    @contextlib.contextmanager
    def open(self, context: base.BuildContext) -> Iterator[base.OpenDisk]:
        """See :meth:`base.Driver.open`.

        A server that configures itself is made when there is a program.
        """
        if context.base_image.kind != 'glance':
            raise exception.InvalidInput(
                'A server is made of an image in Glance, and the base image '
                'of this build is none.'
            )
        parsed = SnapshotOptions.parse(context.options)
        attempt = Attempt(context, parsed)
        with contextlib.ExitStack() as stack:
            with context.monitor.step(
                'look for flavor and image', phase=phases.APPLIANCE
            ):
                opened: Any = attempt.opened()
            stack.callback(attempt.give_up)
            if parsed.configure == 'ssh':
                opened = disk.SshDisk(attempt, opened.virtual_size)
                stack.callback(opened.close)
            yield opened

    @contextlib.contextmanager
    def boot(
        self,
        context: base.BuildContext,
        made: artifacts.Artifact,
        user_data: str,
    ) -> Iterator[running.Running]:
        """See :meth:`base.Driver.boot`: in a server like the build's own."""
        attempt = Attempt(
            boot.context_of(context, made),
            SnapshotOptions.parse(context.options),
        )
        with contextlib.ExitStack() as stack:
            stack.callback(attempt.give_up)
            with context.monitor.step('make a server of the image'):
                attempt.opened()
                data = boot.packed(user_data)
                server = attempt.make(data, or_off=True)
            yield boot.Booted(server, attempt.limits.poll_interval)


class Attempt:
    """One attempt: what it asks Nova for."""

    def __init__(
        self, context: base.BuildContext, options: SnapshotOptions
    ) -> None:
        self.context = context
        self.stamp = context.stamp()
        self.limits = _limits(context.settings)
        self.client = _client(context.settings)
        self.server: server.Server | None = None
        self._options = options
        self._flavor: dict[str, Any] = {}

    def opened(self) -> disk.ProgramDisk:
        """Look at what Nova has for it.

        :raises InvalidInput: the flavor is not there, or too small.
        """
        settings = self.context.settings
        name = self._options.flavor or self.limits.flavor
        self._flavor = self._known_flavor(name)
        size = int(self._flavor['disk']) * space.GIB
        image = settings.glance().get(self.context.base_image.id)
        _refuse_volumes(image)
        needed = max(image.virtual_size, image.min_disk * space.GIB)
        if size and needed > size:
            raise exception.InvalidInput(
                f'The base image needs a disk of {space.human(needed)}, and '
                f'the flavor "{name}" has {space.human(size)}.'
            )
        settings.check_size(size or needed)
        return disk.ProgramDisk(self, size or needed)

    def _known_flavor(self, name: str) -> dict[str, Any]:
        try:
            return self.client.flavor(name)
        except rest.Refused as error:
            if self._options.flavor:
                raise
            raise server.ServerFailed(
                reason=f'[snapshot] flavor: {error.kwargs["reason"]}'
            ) from error

    def start(self, program: guest_program.GuestProgram) -> str:
        """Have a server made that runs a program; wait until it runs.

        :returns: the token by which what it says is known.
        :raises InvalidInput: the program is too long.
        :raises Refused: Nova does not want that.
        :raises ServerFailed: it came to nothing.
        """
        token = secrets.token_hex(16)
        data = user_data.made(
            program,
            token,
            environment=invocations.ENVIRONMENT,
            command_timeout=self.context.settings.command_timeout,
            server=self.stamp.name,
        )
        self.make(data)
        return token

    def make(self, data: str, *, or_off: bool = False) -> server.Server:
        """Have a server made, and wait until it runs.

        :param data: its user data, base64.
        :param or_off: it may have stopped itself by then.
        :raises Refused: Nova does not want that.
        :raises ServerFailed: it came to nothing.
        """
        made = self.client.create_server(self._body(data))
        self.server = server.Server(
            self.client,
            made,
            self.stamp,
            self.limits,
            self.context.settings.retry_timeout,
        )
        self.server.wait_for(
            'ACTIVE', self.limits.server_timeout, or_off=or_off
        )
        return self.server

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
            'imageRef': self.context.base_image.id,
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

    def give_up(self) -> None:
        """Delete the server; what does not go is reaped later."""
        if self.server is None:
            return
        try:
            self.server.delete()
        except exception.ImageBuildError as error:
            LOG.warning('%s It is deleted later.', error)
        self.server = None


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


def _client(settings: base.Settings) -> compute.Compute:
    return compute.Compute.from_config(settings.sections, 'snapshot')


def _limits(of: base.Settings) -> settings.SnapshotSettings:
    return settings.SnapshotSettings.read(of.sections)
