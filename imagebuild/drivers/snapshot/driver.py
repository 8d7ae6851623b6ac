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
import itertools
import logging
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.boot import running
from imagebuild.common import config_options
from imagebuild.common import phases
from imagebuild.common import space
from imagebuild.drivers import attempt_images
from imagebuild.drivers import base
from imagebuild.drivers import isolations
from imagebuild.drivers.build_context import BaseImageKind
from imagebuild.drivers.snapshot import attempt as attempts
from imagebuild.drivers.snapshot import boot
from imagebuild.drivers.snapshot import disk
from imagebuild.drivers.snapshot import floating
from imagebuild.drivers.snapshot import options as snapshot_options
from imagebuild.drivers.snapshot import server
from imagebuild.drivers.snapshot import settings
from imagebuild.drivers.snapshot import volume
from imagebuild.drivers.snapshot.options import SnapshotOptions

LOG = logging.getLogger(__name__)

#: Seconds in which a server, and then its volume, may go when they are
#: reaped. The twenty attempts of one job have ten minutes: whoever is not gone
#: is asked for again.
_REAPED = 12.0


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
        problems += _volume_problems(options, allowed, sections)
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

        The server first: as long as it is there Nova may make its image, and
        has its volume; then the image, which Cinder may still be writing. A
        service that is away keeps nothing of those before it.
        """
        clients = attempts.Clients.of(settings)
        limits = _limits(settings)
        limits = dataclasses.replace(
            limits, stop_timeout=min(limits.stop_timeout, _REAPED)
        )
        rest = stamp, limits, settings.retry_timeout
        reaped = 0
        for each in _of(stamp, server.left(clients.compute, stamp.service)):
            server.Server(clients.compute, each, *rest).delete(at_once=True)
            LOG.info('Deleted server %s', each)
            reaped += 1
        reaped += attempt_images.reap(settings.glance(), stamp)
        for each in _of(stamp, floating.left(clients.network, stamp.service)):
            floating.FloatingAddress(clients.network, each, *rest).delete()
            LOG.info('Deleted floating address %s', each)
            reaped += 1
        storage = clients.block_storage
        for each in _of(stamp, volume.left(storage, stamp.service)):
            volume.Volume(storage, each, *rest).delete()
            LOG.info('Deleted volume %s', each)
            reaped += 1
        return reaped

    def left_behind(
        self, service: str, settings: base.Settings
    ) -> Iterable[tuple[str, int]]:
        """See :meth:`base.Driver.left_behind`."""
        clients = attempts.Clients.of(settings)
        found = itertools.chain(
            server.left(clients.compute, service),
            floating.left(clients.network, service),
            volume.left(clients.block_storage, service),
        )
        for stamp, _ in found:
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
        attempt = attempts.Attempt(context, parsed)
        with contextlib.ExitStack() as stack:
            with context.monitor.step(
                'look for flavor and image', phase=phases.APPLIANCE
            ):
                size = attempt.look()
            stack.callback(attempt.give_up)
            if parsed.configure != 'ssh':
                yield disk.ProgramDisk(attempt, size)
                return
            opened = disk.SshDisk(attempt, size)
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
        attempt = attempts.Attempt(
            boot.context_of(context, made),
            SnapshotOptions.parse(context.options),
        )
        with contextlib.ExitStack() as stack:
            stack.callback(attempt.give_up)
            with context.monitor.step('look for what the image boots in'):
                attempt.look()
            server = attempt.make(boot.packed(user_data), or_off=True)
            yield boot.Booted(server, attempt.limits.poll_interval)


def _volume_problems(
    options: Mapping[str, Any],
    allowed: settings.SnapshotSettings,
    sections: Mapping[str, Mapping[str, Any]],
) -> list[exception.Problem]:
    """What is against the volume of the server, as far as is known now.

    :raises ServiceUnavailable: Keystone is asked what there is, and is away.
    """
    largest = int(sections.get('disks', {}).get('max_virtual_size') or 0)
    problems = snapshot_options.volume_problems(
        options, allowed, largest * space.GIB
    )
    parsed = SnapshotOptions.parse(options)
    if problems or not parsed.boots_from_volume(allowed):
        return problems
    if attempts.storage_of(sections).is_there():
        return []
    return [
        exception.Problem(
            'boot_from',
            'servers cannot boot from volumes here: this cloud has no '
            'block-storage service in its catalogue',
        )
    ]


def _of(
    stamp: base.AttemptStamp,
    found: Iterable[tuple[base.AttemptStamp, str]],
) -> list[str]:
    return [each for of, each in found if of == stamp]


def _limits(of: base.Settings) -> settings.SnapshotSettings:
    return settings.SnapshotSettings.read(of.sections)
