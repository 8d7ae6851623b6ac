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
"""What a driver gets to know of the conductor that it works for."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

from imagebuild import appliance
from imagebuild import artifacts
from imagebuild import exception
from imagebuild import layers
from imagebuild.common import space
from imagebuild.disks import base_images
from imagebuild.remotes import guest_settings

if TYPE_CHECKING:
    # imagebuild-bootstrap, which talks to nobody, starts without it.
    from imagebuild.clients import glance

    # It imports drivers.base, which imports this.
    from imagebuild.drivers import isolations

_MIB = 1024 * 1024
_APPLIANCE = (
    'memory',
    'cpus',
    'accelerator',
    'network',
    'allow_host_network',
    'launch_timeout',
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of one conductor.

    :ivar cache: the base images of this host.
    :ivar glance: makes a client that reads base images; called when one is
        needed.
    :ivar appliance: size and accelerator of the appliance.
    :ivar isolation: in what guests are opened: ``appliance``, ``sandbox`` or
        ``auto``; see :mod:`imagebuild.drivers.isolations`.
    :ivar command_timeout: seconds for one command in the guest.
    :ivar run_timeout: seconds until everything must be done, None for no
        limit but that of the job.
    :ivar retry_timeout: seconds for which a service that is away is waited
        for.
    :ivar space_reserve: bytes that are left free on the file system of the
        workspace.
    :ivar max_virtual_size: bytes that a disk may have, 0 for no limit.
    :ivar sections: of the configuration, those that drivers have declared
        (:meth:`Driver.list_opts`) among them: option to value, by their
        names.
    :ivar layers: of this build, for drivers that answer to
        :meth:`Driver.possible_isolations`; None for none.
    """

    cache: base_images.Cache
    glance: Callable[[], glance.Glance]
    appliance: appliance.ApplianceSettings = dataclasses.field(
        default_factory=appliance.ApplianceSettings
    )
    isolation: isolations.Setting = 'appliance'
    command_timeout: float = 1800.0
    run_timeout: float | None = None
    retry_timeout: float = 300.0
    space_reserve: int = 0
    max_virtual_size: int = 0
    sections: Mapping[str, Mapping[str, Any]] = dataclasses.field(
        default_factory=dict, repr=False
    )
    layers: layers.Session | None = None

    def stamp(self, build_id: str, attempt: int) -> artifacts.AttemptStamp:
        """What an attempt marks everything with that it makes in a cloud.

        :param build_id: of its build.
        :param attempt: its number.
        :raises ServiceUnavailable: Keystone is asked who this is, and is away.
        """
        return artifacts.AttemptStamp(self.service_id(), build_id, attempt)

    def service_id(self) -> str:
        """The id of this imagebuild service, as its images have it.

        :raises ServiceUnavailable: Keystone is asked who this is, and is away.
        """
        configured = self.sections.get('glance', {}).get('service_id')
        return str(configured or self.glance().user_id())

    def guest_facts(self) -> dict[str, Any]:
        """What of this a guest may notice; plain JSON."""
        return {'network': self.appliance.network}

    def check_size(self, size: int) -> None:
        """Refuse a disk larger than the operator allows.

        :param size: bytes that the guest would see.
        :raises InvalidInput: it is.
        """
        limit = self.max_virtual_size
        if limit and size > limit:
            raise exception.InvalidInput(
                f'The disk would have {space.human(size)}, and may have '
                f'{space.human(limit)}.'
            )

    def guest(self, root_filesystem: str = '') -> guest_settings.GuestSettings:
        """How a guest is opened.

        :param root_filesystem: device of the operating system that is meant,
            '' to find the only one.
        """
        return guest_settings.GuestSettings(
            appliance=self.appliance,
            root_filesystem=root_filesystem or None,
            command_timeout=self.command_timeout,
            run_timeout=self.run_timeout,
        )

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Mapping[str, Any]],
        *,
        run_timeout: float | None = None,
    ) -> Settings:
        """Read the sections that a job is given.

        :param config: ``guestfs`` and ``disks`` (their options by name;
            None and what is missing mean the default; ``disks.cache_dir``
            is required), ``keystone`` and ``glance`` as of
            :func:`imagebuild.conf.keystone.values` and
            :func:`imagebuild.conf.glance.values`.
        :param run_timeout: seconds that are left to the build.
        """
        section = config.get('guestfs', {})
        disks = config['disks']
        reserve = int(disks.get('space_reserve', 0)) * _MIB
        return cls(
            cache=base_images.Cache(
                pathlib.Path(disks['cache_dir']),
                max_bytes=int(disks.get('cache_size', 0)) * 1024 * _MIB,
                reserve=reserve,
            ),
            glance=lambda: _glance(config),
            appliance=appliance_settings(section),
            isolation=section.get('isolation') or 'appliance',
            command_timeout=float(section.get('command_timeout') or 1800),
            run_timeout=run_timeout,
            retry_timeout=float(
                config.get('glance', {}).get('retry_timeout', 300)
            ),
            space_reserve=reserve,
            max_virtual_size=int(disks.get('max_virtual_size') or 0)
            * 1024
            * _MIB,
            sections=config,
        )


def appliance_settings(
    section: Mapping[str, Any],
) -> appliance.ApplianceSettings:
    """Read the section ``guestfs``.

    :param section: option to value; None and what is missing mean the
        default.
    """
    return appliance.ApplianceSettings(
        **{
            name: section[name]
            for name in _APPLIANCE
            if section.get(name) is not None
        }
    )


def _glance(config: Mapping[str, Mapping[str, Any]]) -> glance.Glance:
    from imagebuild.clients import glance

    return glance.Glance.from_config(config)
