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
"""The arguments of a handler: parts of the service, and one request."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import logging
import os
import pathlib
import threading
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg
from oslo_policy import policy

from imagebuild import catalogue
from imagebuild import conf
from imagebuild import context
from imagebuild import db
from imagebuild import exception
from imagebuild.api import microversion
from imagebuild.api import route
from imagebuild.api import stale_cache
from imagebuild.common import host_paths
from imagebuild.common import image_properties
from imagebuild.exception import Problem
from imagebuild.messaging import notifications
from imagebuild.messaging import rpcapi

LOG = logging.getLogger(__name__)

#: A body, and what its schema finds wrong with it.
Body = tuple[Mapping[str, Any], Sequence[Problem]]


class CatalogueFile:
    """operating-systems.yaml, read again when it has changed.

    :param path: the file; without one there are no operating systems.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._content = catalogue.Catalogue({})

    def read(self) -> catalogue.Catalogue:
        """Return the current content of the file.

        :raises ServiceUnavailable: it cannot be read or is not valid. Users
            cannot correct that; the operator's log has the reason.
        """
        with self._lock:
            try:
                return self._read()
            except FileNotFoundError:
                return catalogue.Catalogue({})
            except (OSError, exception.InvalidManifest) as error:
                LOG.error('No operating system can be used: %s', error)
                raise exception.ServiceUnavailable(
                    service='image-build',
                    reason='its catalogue of operating systems cannot be read',
                ) from error

    def _read(self) -> catalogue.Catalogue:
        found = os.stat(self.path)
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp != self._stamp:
            self._content = catalogue.load(self.path)
            self._stamp = stamp
        return self._content


@dataclasses.dataclass(frozen=True)
class Service:
    """What all requests share.

    :ivar routes: the table of :mod:`imagebuild.api.routes`, which handlers
        cannot import: it imports them.
    :ivar bus_probe: calls conductors with a short time limit.
    :ivar health: the last result of /healthcheck, as of the other calls
        that need no token and read the database:
    :ivar scraped: of /metrics;
    :ivar driver_schemas: of /openapi.json.
    """

    conf: cfg.ConfigOpts
    routes: Sequence[route.Route]
    database: db.Database
    conductor_api: rpcapi.ConductorAPI
    bus_probe: rpcapi.ConductorAPI
    notifier: notifications.Notifier
    enforcer: policy.Enforcer
    catalogue: CatalogueFile
    health: stale_cache.StaleCache[Any] = dataclasses.field(
        default_factory=stale_cache.StaleCache
    )
    scraped: stale_cache.StaleCache[bytes] = dataclasses.field(
        default_factory=stale_cache.StaleCache
    )
    driver_schemas: stale_cache.StaleCache[Any] = dataclasses.field(
        default_factory=stale_cache.StaleCache
    )

    @property
    def recipe_paths(self) -> Sequence[pathlib.Path]:
        return [pathlib.Path(path) for path in self.conf.recipe_path]

    @property
    def paths(self) -> host_paths.HostPaths:
        """Replaces the paths of this host in answers."""
        return host_paths.HostPaths(conf.own_paths(self.conf))

    @property
    def property_rules(self) -> image_properties.Rules:
        """Which properties a request may give an image."""
        return image_properties.Rules.from_section(self.conf.glance)

    def conductors(self, *, accepting: bool = True) -> list[db.Conductor]:
        """Return the conductors that are up.

        :param accepting: only those that accept builds now; else also those
            that drain, after the others.
        """
        alive = self.database.list_conductors(
            alive_within=self.conf.conductor.dead_after
        )
        up = [each for each in alive if each.status == 'up']
        return (
            up
            if accepting
            else up + [each for each in alive if each not in up]
        )

    def absent_conductors(self) -> list[db.Conductor]:
        """Return those that are not up, and whom builds would wait for."""
        limit = self.conf.conductor.wait_for_conductor
        up = {each.name for each in self.conductors()}
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        return [
            each
            for each in self.database.list_conductors()
            if each.name not in up
            and (
                not limit or (now - each.heartbeat_at).total_seconds() < limit
            )
        ]


@dataclasses.dataclass(frozen=True)
class Call:
    """One request, let in and checked against the schemas of its route.

    :ivar context: identity of the user; empty for routes without a token.
    :ivar version: the microversion of the request.
    :ivar query: the parameters given, converted.
    :ivar read: reads the body and checks it against the schema; called once,
        for the first use of :attr:`body` or :attr:`problems`.
    :ivar root: URL of the service without a slash at the end.
    """

    service: Service
    context: context.RequestContext
    version: microversion.Version
    query: Mapping[str, Any]
    read: Callable[[], Body]
    root: str

    @functools.cached_property
    def _read(self) -> Body:
        # Not before a handler needs it: handlers check policies first, so
        # that nobody can have a large body parsed who may not send it.
        return self.read()

    @property
    def body(self) -> Mapping[str, Any]:
        """The body, empty where there is none."""
        return self._read[0]

    @property
    def problems(self) -> Sequence[Problem]:
        """What the schema finds wrong with the body."""
        return self._read[1]

    @property
    def database(self) -> db.Database:
        return self.service.database

    @property
    def conductor_api(self) -> rpcapi.ConductorAPI:
        context = self.context.to_dict()
        return self.service.conductor_api.with_context(context)
