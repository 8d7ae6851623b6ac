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
"""A conductor as a process of its own: its signals.

We handle signals ourselves rather than with oslo.service's launcher: that one
forks workers, and the pipes of the jobs, the locks of the workspaces and the
drain belong to one process. With ``no_fork`` (4.8, threading backend)
SIGHUP ends the process, a second SIGTERM is ignored, and SIGINT as well as
the end of ``graceful_shutdown_timeout`` call ``os._exit()``: running builds
are not requeued, nor are their jobs ended.

=========  ==============================================================
SIGTERM    claim nothing more, wait graceful_shutdown_timeout for running
SIGINT     builds, requeue the rest, end; the second one: requeue now
SIGHUP     read mutable options and drivers again
SIGUSR2    print a guru meditation report (set up by the program)
=========  ==============================================================
"""

from __future__ import annotations

import contextlib
import logging
import queue
import signal
import threading
import time
from types import FrameType
from typing import Any

from oslo_config import cfg

from imagebuild import db
from imagebuild import exception
from imagebuild.common.counts import counted
from imagebuild.conductor import metrics
from imagebuild.conductor import service
from imagebuild.conf.database import connection
from imagebuild.conf.database import pool
from imagebuild.db import engine
from imagebuild.db import transaction
from imagebuild.messaging import bus
from imagebuild.messaging import notifications

LOG = logging.getLogger(__name__)

_DATABASE_RETRY_SECONDS = 3.0
_SIGNAL_CHECK_SECONDS = 1.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def from_conf(conf: cfg.ConfigOpts, **parts: Any) -> service.Conductor:
    """Make a conductor as configured.

    :param parts: instead of what is configured; see
        :class:`imagebuild.conductor.service.Conductor`.
    """
    return service.Conductor(
        conf,
        database(conf),
        bus.get_transport(conf),
        notifier=notifications.Notifier(
            conf, f'imagebuild-conductor.{conf.conductor.name}'
        ),
        **parts,
    )


def database(conf: cfg.ConfigOpts) -> db.Database:
    """The database of the service, as a conductor uses it.

    Its calls give up sooner than elsewhere: who must not do without an
    answer waits here anyway, and a build that is to be stopped must be
    noticed meanwhile.
    """
    return db.Database(
        connection(conf),
        pool=engine.PoolSettings(**pool(conf)),
        retries=transaction.Retries(
            seconds=min(_DATABASE_RETRY_SECONDS, conf.database.retry_for)
        ),
    )


class Process:
    """Runs a conductor until a signal ends it. For the main thread."""

    def __init__(
        self, conf: cfg.ConfigOpts, conductor: service.Conductor
    ) -> None:
        self._conf = conf
        self._conductor = conductor
        # Its put() may be called by a signal handler at any moment.
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Run it.

        :raises ImageBuildError: it cannot start.
        """
        before = {each: signal.signal(each, self._note) for each in _SIGNALS}
        try:
            self._serve_metrics()
            starting = threading.Thread(target=self._start, name='start')
            starting.start()
            self._until_told()
            self._drain()
            self._conductor.stop()
            starting.join()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._failure is not None:
            raise self._failure

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signals.put(number)

    def _start(self) -> None:
        try:
            self._conductor.start()
        except exception.TablesMissing as error:
            self._fail(error)
        except exception.DatabaseUnavailable as error:
            LOG.warning('Conductor did not start: %s', error)
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._signals.put(signal.SIGTERM)

    def _until_told(self) -> None:
        while self._next_signal() == signal.SIGHUP:
            try:
                self._conductor.reload()
            except Exception:
                LOG.exception('Configuration not reloaded')

    def _next_signal(self) -> int:
        # Python handles a signal when this thread runs its next bytecode. One
        # that comes just before the wait, or to another thread, does not end
        # the wait: without a limit it would be handled at the next signal.
        while True:
            with contextlib.suppress(queue.Empty):
                return self._signals.get(timeout=_SIGNAL_CHECK_SECONDS)

    def _drain(self) -> None:
        if self._failure is not None:
            return
        timeout = self._conf.conductor.graceful_shutdown_timeout
        LOG.info(
            'Draining: %s running',
            counted(len(self._conductor.running_builds), 'build'),
        )
        self._conductor.drain()
        deadline = time.monotonic() + timeout
        while not self._conductor.is_idle and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                if self._signals.get(timeout=0.2) != signal.SIGHUP:
                    return

    def _serve_metrics(self) -> None:
        section = self._conf.conductor
        if not section.metrics_port:
            return
        try:
            metrics.serve(section.metrics_port, section.metrics_host)
        except OSError as error:
            raise exception.EnvironmentFault(
                f'[conductor] metrics_port {section.metrics_port} is not '
                f'available: {error.strerror}.'
            ) from error
