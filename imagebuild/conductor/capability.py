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
"""What this conductor can do: drivers that work here, and what it has."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from imagebuild.conductor import conductor_context
from imagebuild.drivers import isolations
from imagebuild.drivers import overlay_disk
from imagebuild.drivers import registry
from imagebuild.drivers.base import Driver

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Capability:
    """What a conductor offers.

    :ivar drivers: names of drivers that lack nothing on this host.
    :ivar operating_systems: names; empty for all.
    :ivar isolations: in what this host can open disks, each with what is
        missing for it.
    """

    drivers: tuple[str, ...]
    operating_systems: tuple[str, ...]
    architecture: str
    slots: int
    isolations: Mapping[str, Sequence[str]] = dataclasses.field(
        default_factory=dict
    )

    def registration(self, name: str, version: str) -> dict[str, Any]:
        """What ``Database.register_conductor`` wants."""
        return {'name': name, 'version': version, **dataclasses.asdict(self)}


class CapabilityProvider:
    """The capability, looked up again on SIGHUP.

    :param conf: options, read at :meth:`reload`.
    :param installed: gives the drivers by name; tests bring their own.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        installed: Callable[[], Mapping[str, Driver]] = registry.drivers,
    ) -> None:
        self._conf = conf
        self._installed = installed
        self._lock = threading.Lock()
        self._capability = self._look()

    @property
    def capability(self) -> Capability:
        with self._lock:
            return self._capability

    def driver(self, name: str) -> Driver | None:
        """A driver that is installed; None when there is none."""
        return self._installed().get(name)

    def reload(self) -> None:
        """Look again."""
        capability = self._look()
        with self._lock:
            self._capability = capability

    def _look(self) -> Capability:
        section = self._conf.conductor
        return Capability(
            drivers=tuple(
                _working(
                    self._installed(),
                    section.drivers,
                    self._conf.guestfs.isolation,
                )
            ),
            operating_systems=tuple(section.operating_systems),
            architecture=conductor_context.architecture(),
            slots=section.max_builds,
            isolations=overlay_disk.isolations_here(),
        )


def _working(
    installed: Mapping[str, Driver],
    wanted: list[str],
    isolation: isolations.Setting,
) -> list[str]:
    """The drivers that can work here; logs why another one cannot."""
    found, reasons = registry.offered(
        installed, wanted, isolation, registry.installed().broken
    )
    # The usual ones may be missing, unless there is no other.
    level = logging.ERROR if wanted else logging.INFO
    for name, reason in reasons.items():
        LOG.log(level, 'The driver "%s" is not offered, %s', name, reason)
    if not found:
        LOG.error(
            'No driver can be used on this host: this conductor will build '
            'nothing (%s)',
            '; '.join(f'{name}: {why}' for name, why in reasons.items())
            or 'none is installed',
        )
    return found
