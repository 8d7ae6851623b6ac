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
"""Clients of other services, made at the first use and kept.

A new one would log in at Keystone, and connect, for each call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import TypeVar

from oslo_config import cfg

from imagebuild import exception
from imagebuild.clients.glance import Glance
from imagebuild.conductor import conductor_context
from imagebuild.conf import destination as destination_section
from imagebuild.destinations import HERE
from imagebuild.stores import image_signature
from imagebuild.stores import registry
from imagebuild.stores.base import Store

T = TypeVar('T')


class ClientCache:
    """The clients of a conductor; used by all threads.

    :param conf: options, read when a client is made.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def store(self, destination: str) -> Store:
        """The store of a destination, '' for this cloud.

        :raises InvalidInput: there is no such destination, or it cannot be
            used as it is configured.
        :raises MissingDependency: something for it is not installed here.
        """
        return self._get(
            f'store:{destination}', lambda: self._open_store(destination)
        )

    def _open_store(self, destination: str) -> Store:
        config = conductor_context.job_config(self._conf, destination)
        return registry.load(config['destination']['store'], config)

    def problems(self) -> list[exception.ImageBuildError]:
        """What is wrong with further destinations, and with [signing].

        Nothing is contacted.
        """
        found: list[exception.ImageBuildError] = []
        try:
            signer = image_signature.Signer.from_section(
                conductor_context.job_config(self._conf)['signing']
            )
            if signer is not None:
                signer.check()
        except image_signature.SigningFailed as error:
            found.append(error)
        for name in destination_section.names(self._conf):
            if name == HERE:
                continue
            try:
                self.store(name)
            except exception.ImageBuildError as error:
                found.append(_of_destination(name, error))
        return found

    def glance(self) -> Glance:
        """Glance, as the service user sees it.

        :raises InvalidInput: this service has none.
        """
        config = conductor_context.job_config(self._conf)
        needs_glance(config)
        return self._get('glance', lambda: Glance.from_config(config))

    def forget(self) -> None:
        """Make all again when they are next used."""
        with self._lock:
            self._clients.clear()

    def _get(self, name: str, make: Callable[[], T]) -> T:
        # What make() raises is raised, and nothing kept.
        with self._lock:
            # Made under the lock: many builds that start at once log in once.
            if name not in self._clients:
                self._clients[name] = make()
            client: T = self._clients[name]
            return client


def _of_destination(
    name: str, error: exception.ImageBuildError
) -> exception.ImageBuildError:
    """The same error, with the section of the file that it is about."""
    title = f'[{destination_section.section(name)}]'
    if title in str(error):
        return error
    kind = (
        exception.InvalidInput
        if isinstance(error, exception.InvalidInput)
        else exception.EnvironmentFault
    )
    return kind(f'{title}: {error}')


def needs_glance(config: Mapping[str, Mapping[str, Any]]) -> None:
    """Pass where there is an Image service to ask.

    :raises InvalidInput: none is configured; trying again will not help.
    """
    section = config.get('keystone', {})
    kind = section.get('auth_type') or 'password'
    if kind in ('password', 'v3password') and not section.get('auth_url'):
        raise exception.InvalidInput(
            'this service has no Image service to take a base image from'
        )
