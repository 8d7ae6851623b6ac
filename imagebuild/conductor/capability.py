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
"""What this conductor offers: what it can do, and what it has."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import pathlib
import threading
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import psutil
from oslo_config import cfg

from imagebuild import exception
from imagebuild.common import space
from imagebuild.common.placement import Capability
from imagebuild.conductor import base_files
from imagebuild.conductor import conductor_context
from imagebuild.conf import destination
from imagebuild.conf import disks
from imagebuild.conf import layers
from imagebuild.destinations import Destination
from imagebuild.drivers import host_state
from imagebuild.drivers import isolations
from imagebuild.drivers import overlay_disk
from imagebuild.drivers import registry
from imagebuild.drivers.base import Driver
from imagebuild.job import boot

LOG = logging.getLogger(__name__)

#: Seconds for which what changes by itself is not looked at again.
_FRESH = 5.0
#: The same, for what takes more than a moment to look at.
_CACHES_FRESH = 60.0


class CapabilityProvider:
    """The capability, looked up again on SIGHUP.

    What changes by itself (room, caches) is looked at when it is asked for,
    but not more often than every few seconds.

    :param conf: options, read at :meth:`reload`.
    :param installed: gives the drivers by name; tests bring their own.
    :ivar base_files: base images that are files of this host.
    :ivar repositories: ids of its repositories of finished images.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        installed: Callable[[], Mapping[str, Driver]] = registry.drivers,
    ) -> None:
        self._conf = conf
        self._installed = installed
        self._lock = threading.Lock()
        self._state_until = self._caches_until = 0.0
        self.base_files = base_files.BaseFiles(
            pathlib.Path(conf.state_path, 'base-digests')
        )
        self.repositories: tuple[str, ...] = ()
        self._capability = self._look()

    @property
    def capability(self) -> Capability:
        with self._lock:
            now = time.monotonic()
            if now >= self._caches_until:
                self._caches_until = now + _CACHES_FRESH
                self._capability = self._with_caches(self._capability)
            if now >= self._state_until:
                self._state_until = now + _FRESH
                self._capability = self._with_state(self._capability)
            return dataclasses.replace(
                self._capability,
                base_files=self.base_files.known(),
                repositories=self.repositories,
            )

    def driver(self, name: str) -> Driver | None:
        """A driver that is installed; None when there is none."""
        return self._installed().get(name)

    def offered(self) -> list[Driver]:
        """The drivers that can work here."""
        with self._lock:
            names = self._capability.drivers
        found = [self.driver(name) for name in names]
        return [each for each in found if each is not None]

    def problems(self) -> list[exception.InvalidInput]:
        """What is wrong with the options."""
        return driver_limit_problems(self._conf, self._installed)

    def reload(self) -> None:
        """Look again."""
        capability = self._look()
        with self._lock:
            self._capability = capability
            self._state_until = self._caches_until = 0.0

    def _look(self) -> Capability:
        section = self._conf.conductor
        setting = self._conf.guestfs.isolation
        installed = self._installed()
        drivers = tuple(_working(installed, section.drivers, setting))
        configured = _destinations(self._conf)
        destinations = {
            name: each for name, each in configured.items() if each.enabled
        }
        return Capability(
            name=section.name,
            drivers=drivers,
            operating_systems=tuple(section.operating_systems),
            architectures=(conductor_context.architecture(),),
            isolations=_isolations(setting),
            boot_tests=_boot_tests(self._conf, installed, drivers),
            destinations=tuple(destinations),
            deletions=tuple(configured),
            destination_documents={
                name: each.public() for name, each in destinations.items()
            },
            driver_schemas=_schemas(installed, drivers),
            slots=section.max_builds,
            driver_limits=dict(section.driver_limits),
        )

    def _with_state(self, capability: Capability) -> Capability:
        return dataclasses.replace(
            capability,
            free_disk=_free_disk(self._conf),
            free_memory=psutil.virtual_memory().available,
        )

    def _with_caches(self, capability: Capability) -> Capability:
        self.base_files.look_again()
        config = {
            'disks': disks.values(self._conf),
            'guestfs': dict(self._conf.guestfs),
            'layers': layers.values(self._conf),
        }
        return dataclasses.replace(
            capability,
            accelerator=host_state.known_accelerator(config),
            cached_bases=host_state.cached_bases(config),
            cached_layers=host_state.cached_layers(config),
        )


def driver_limit_problems(
    conf: cfg.ConfigOpts,
    installed: Callable[[], Mapping[str, Driver]] = registry.drivers,
) -> list[exception.InvalidInput]:
    """Limits of drivers that there are not: a typing error limits nothing."""
    known = {*installed(), *registry.installed().broken}
    return [
        exception.InvalidInput(
            f'[conductor] driver_limits: there is no driver "{name}"; '
            f'installed are: {", ".join(sorted(known)) or "none"}.'
        )
        for name in conf.conductor.driver_limits
        if name not in known
    ]


def _free_disk(conf: cfg.ConfigOpts) -> int | None:
    """Bytes for work; None where the directory cannot be looked at."""
    place = pathlib.Path(
        conf.conductor.work_dir or os.path.join(conf.state_path, 'work')
    )
    try:
        return space.free(place)
    except OSError:
        return None


def _isolations(setting: isolations.Setting) -> dict[str, tuple[str, ...]]:
    """In what disks can be opened here, each with what is missing for it."""
    found = {
        name: tuple(lacking)
        for name, lacking in overlay_disk.isolations_here().items()
    }
    if setting == 'appliance':
        found['sandbox'] = (
            *found['sandbox'],
            'disks are opened in the appliance only ([guestfs] isolation)',
        )
    return found


def _boot_tests(
    conf: cfg.ConfigOpts,
    installed: Mapping[str, Driver],
    drivers: Iterable[str],
) -> dict[str, tuple[str, ...]]:
    """What images are booted with, each with what is missing for it.

    Firmwares of machines of this host, and drivers that have a cloud do it.
    """
    found = boot.missing()
    found |= {name: [] for name in drivers if installed[name].boots}
    if not conf.boot_test.enabled:
        off = 'boot tests are switched off ([boot_test] enabled)'
        found = {name: [off] for name in found}
    return {name: tuple(lacking) for name, lacking in found.items()}


def _destinations(conf: cfg.ConfigOpts) -> dict[str, Destination]:
    """The clouds that can be used, besides this one; disabled ones, too."""
    found = {}
    for name in filter(None, destination.names(conf)):
        try:
            each = destination.get(conf, name)
            # Its cloud is found as well; nothing is contacted.
            conductor_context.job_config(conf, name)
        except exception.ImageBuildError as error:
            LOG.warning('The destination "%s" is not offered: %s', name, error)
        else:
            found[name] = each
    return found


def _schemas(
    installed: Mapping[str, Driver], names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The JSON schemas of drivers' options, as users are shown them."""
    found = {}
    for name in names:
        try:
            schema = installed[name].options.published()
            # Of another package: what is none must not keep us from telling
            # that we are there.
            found[name] = json.loads(json.dumps(schema))
        except Exception as error:
            LOG.warning(
                'The options of driver "%s" are not shown: %s', name, error
            )
    return found


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
