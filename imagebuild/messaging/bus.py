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
"""The message bus, and what oslo.messaging makes for it."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

import oslo_messaging
from oslo_config import cfg

from imagebuild import exception

LOG = logging.getLogger(__name__)

TOPIC = 'imagebuild.conductor'
#: What conductors serve, and callers ask for.
#: What conductors of this release serve. 1.1: ``check_request`` with the
#: entry of the catalogue.
TARGET = oslo_messaging.Target(topic=TOPIC, version='1.1')
#: What those of the release before serve as well.
OLDEST = oslo_messaging.Target(topic=TOPIC, version='1.0')

#: Messages that wait for a broker that is away; further ones are dropped.
_MAX_WAITING = 1000


def get_transport(conf: cfg.ConfigOpts, url: str | None = None) -> Any:
    """The bus that ``transport_url`` names; ``fake://`` is in memory.

    :param conf: of the program; oslo.messaging registers its options in it.
    :param url: instead of what the option says.
    :raises InvalidInput: it names no bus that there is.
    """
    _register_measures(conf)
    try:
        return oslo_messaging.get_rpc_transport(conf, url=url)
    except (
        oslo_messaging.DriverLoadFailure,
        oslo_messaging.InvalidTransportURL,
    ) as error:
        # Not its text alone: that may quote the URL and with it a password.
        known = (
            f'its kind "{error.driver}" is not known'
            if isinstance(error, oslo_messaging.DriverLoadFailure)
            else 'it is not a URL'
        )
        raise exception.InvalidInput(
            f'[DEFAULT] transport_url cannot be used: {known}.'
        ) from None


def get_notifier(conf: cfg.ConfigOpts, publisher: str) -> Any:
    """An oslo.messaging notifier; see imagebuild.messaging.notifications."""
    transport = oslo_messaging.get_notification_transport(conf)
    return oslo_messaging.Notifier(transport, publisher_id=publisher, retry=1)


def get_rpc_server(transport: Any, name: str, endpoint: object) -> Any:
    """A server of the calls and casts to conductors, not yet started.

    :param transport: of :func:`get_transport`.
    :param name: of the conductor.
    :param endpoint: its methods are what can be called.
    """
    target = oslo_messaging.Target(topic=TOPIC, server=name)
    # Threads are what it takes when nothing is monkey patched; to ask for
    # them by name is deprecated.
    return oslo_messaging.get_rpc_server(transport, target, [endpoint])


def _register_measures(conf: cfg.ConfigOpts) -> None:
    """Register what oslo.messaging registers in the global object only.

    Its client (18.3) reads the sections [oslo_messaging_tracing] and
    [oslo_messaging_metrics] of the configuration it was given, and fails
    where that is not ``cfg.CONF``.
    """
    for part in ('tracing', 'metrics'):
        with contextlib.suppress(ImportError, AttributeError):
            name = f'oslo_messaging_{part}'
            module = importlib.import_module(f'oslo_messaging._{part}.client')
            conf.register_opts(getattr(module, name), group=name)


class Sender:
    """Sends messages from a thread of its own.

    oslo.messaging waits seconds, or as long as it takes, for a broker that
    is away; who only sends a message does not.
    """

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[str, Callable[[], object]]] = (
            queue.Queue(_MAX_WAITING)
        )
        self._lock = threading.Lock()
        self._pid = 0

    def send(self, what: str, act: Callable[[], object]) -> None:
        """Have something sent soon; never raises, never waits.

        :param what: for the log.
        """
        with self._lock:
            # Started by the first message: a web server forks before.
            if self._pid != os.getpid():
                self._pid = os.getpid()
                threading.Thread(
                    target=self._run, name='sender', daemon=True
                ).start()
        try:
            self._waiting.put_nowait((what, act))
        except queue.Full:
            LOG.warning('%s was dropped: the message bus is unavailable', what)

    def _run(self) -> None:
        while True:
            what, act = self._waiting.get()
            try:
                act()
            except Exception as error:
                LOG.warning('%s was not sent: %s', what, error)
