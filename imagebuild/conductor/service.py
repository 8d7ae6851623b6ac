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
"""A conductor: its threads, put together.

=============  ==========================================================
thread         what it does
=============  ==========================================================
heart          one row in the database every ``heartbeat_interval``
scheduler      claims builds when rung, and every ``sweep_interval``
reaper         what dead conductors and failures left behind
build-<id>     one for each build: its jobs, its rows, its end
job-<pid>-...  three for each job: one for each of its pipes
bus            waits for the broker, then serves the questions of the API
=============  ==========================================================

None waits for another, so a database or broker that is away stops only who
needs it at that moment.
"""

from __future__ import annotations

import logging
import os
import pathlib
import threading
import time
from collections.abc import Sequence
from typing import Any

import oslo_messaging
from oslo_config import cfg

from imagebuild import conf as imagebuild_conf
from imagebuild import db
from imagebuild import exception
from imagebuild import host_paths
from imagebuild import release
from imagebuild.clients import glance as glance_client
from imagebuild.conductor import builds
from imagebuild.conductor import capability
from imagebuild.conductor import checks
from imagebuild.conductor import child
from imagebuild.conductor import claims
from imagebuild.conductor import heartbeat
from imagebuild.conductor import kept
from imagebuild.conductor import manager
from imagebuild.conductor import metrics
from imagebuild.conductor import reaper
from imagebuild.conductor import room
from imagebuild.conductor import rpcapi
from imagebuild.conductor import scheduler
from imagebuild.conductor import services as service_kit
from imagebuild.conductor import workspace
from imagebuild.disks import space
from imagebuild.stores import registry as stores

LOG = logging.getLogger(__name__)

#: Seconds in which a build that is handed back must have ended.
_HAND_BACK = 20.0


class Conductor:
    """A conductor inside of this process.

    :param conf: options, all registered and read.
    :param database: of the service.
    :param transport: of :func:`imagebuild.conductor.rpcapi.get_transport`.
    :param notifier: told when builds begin and end.
    :param offer: what it can build; by default what is installed.
    :param job_command: the program of a job; tests bring their own.
    :param open_store: gives stores; by default what is configured.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        database: db.Database,
        transport: Any,
        *,
        notifier: service_kit.Notifier,
        offer: capability.Offer | None = None,
        job_command: Sequence[str] = child.JOB_COMMAND,
        open_store: service_kit.OpenStore | None = None,
    ) -> None:
        self._conf = conf
        self._transport = transport
        self.offer = offer or capability.Offer(conf)
        self._hurry = threading.Event()
        self._server: Any = None
        self._name_lock: int | None = None
        self._clients = kept.Kept()
        self.places = scheduler.Places()
        self.services = service_kit.Services(
            conf=conf,
            name=conf.conductor.name,
            database=database,
            patience=claims.Patience(self._hurry),
            notifier=notifier,
            open_store=open_store or self._open_store,
            job_command=tuple(job_command),
            job_config=lambda: job_config(conf),
            work_dir=work_dir(conf),
            paths=host_paths.HostPaths(imagebuild_conf.own_paths(conf)),
        )
        self.heart = self._make_heart()
        self.scheduler = self._make_scheduler()
        self.reaper = reaper.Reaper(
            self.services,
            running=self.places.ids,
            steady_for=lambda: self.heart.steady_for,
            on_release=self.scheduler.ring,
        )

    def _make_heart(self) -> heartbeat.Heart:
        return heartbeat.Heart(
            self.services.database,
            self.services.name,
            release.version(),
            offer=lambda: self.offer.capability,
            running=lambda: len(self.places),
            interval=self._conf.conductor.heartbeat_interval,
        )

    def _make_scheduler(self) -> scheduler.Scheduler:
        return scheduler.Scheduler(
            self.services.database,
            self.services.name,
            offer=lambda: self.offer.capability,
            running_limit=lambda: running_limit(self._conf),
            places=self.places,
            begin=self._begin,
            sweep_interval=self._conf.conductor.sweep_interval,
            has_room=lambda: room.for_another(
                self._conf, self.services.work_dir
            ),
            declined=self.services.declined.ids,
        )

    # -- its life -----------------------------------------------------------

    def start(self) -> None:
        """Start; returns when builds may be claimed.

        :raises InvalidManifest: the catalogue has problems.
        :raises EnvironmentFault: another conductor here has the name.
        :raises DatabaseUnavailable: :meth:`stop` was called meanwhile.
        """
        self.offer.load()
        self._name_lock = workspace.take_name(
            self.services.work_dir, self.services.name
        )
        self.reaper.sweep_workspaces()
        insist = self.services.patience.insist
        missing = insist('the start', self._missing_tables)
        if missing is not None:
            raise missing
        insist('the start', self.reaper.release_former_life)
        insist('the start', self.heart.beat)
        self.heart.start()
        self.reaper.start()
        self.scheduler.start()
        threading.Thread(target=self._serve, name='bus', daemon=True).start()
        LOG.info('Conductor %s is up', self.services.name)

    def _missing_tables(self) -> exception.TablesMissing | None:
        # Returned, not raised: to wait for them would be to wait for ever.
        try:
            self.services.database.check_tables()
        except exception.TablesMissing as error:
            return error
        return None

    def drain(self) -> None:
        """Claim nothing more, and say so; running builds go on."""
        self.heart.drain()
        self.scheduler.stop()

    def wait(self, seconds: float) -> bool:
        """Wait for the running builds.

        :returns: whether all have ended.
        """
        deadline = time.monotonic() + seconds
        return all(
            running.join(max(0.0, deadline - time.monotonic()))
            for running in self.places.all()
        )

    def stop(self) -> None:
        """Hand back what still runs, and go."""
        self.scheduler.stop()
        for running in self.places.all():
            running.stop(
                claims.HandedBack(f'Conductor {self.services.name} stops.')
            )
        self._hurry.set()
        if not self.wait(_HAND_BACK):
            LOG.error('Builds are left to the others: %s', self.places.ids())
        self.reaper.stop()
        self.heart.stop()
        if self._server is not None:
            self._server.stop()
            self._server.wait()
        if self._name_lock is not None:
            os.close(self._name_lock)
            self._name_lock = None
        LOG.info('Conductor %s is down', self.services.name)

    def reload(self) -> None:
        """Take over changed options, drivers and the catalogue (SIGHUP)."""
        self._conf.mutate_config_files()
        self._clients.forget()
        self.offer.reload()
        self.heart.beat_now()
        self.scheduler.ring()
        LOG.info('Configuration read again')

    # -- its parts ----------------------------------------------------------

    def _begin(self, build: db.Build) -> None:
        attempt = builds.Attempt(self.services, build, self._ended)
        self.places.add(build.id, attempt)
        metrics.RUNNING.inc()
        attempt.start()

    def _ended(self, build_id: str) -> None:
        self.places.remove(build_id)
        metrics.RUNNING.dec()
        self.scheduler.ring()

    def _open_store(self, destination: str) -> Any:
        if destination:
            raise exception.InvalidInput(
                f'There is no destination "{destination}".'
            )
        conf = self._conf
        return self._clients.get(
            'store',
            lambda: stores.load(conf.conductor.store, job_config(conf)),
        )

    def _open_glance(self) -> glance_client.Glance:
        config = job_config(self._conf)
        checks.needs_glance(config)
        return self._clients.get(
            'glance', lambda: glance_client.Glance.from_config(config)
        )

    def _serve(self) -> None:
        """Serve the bus; the broker may come up later than we do."""
        endpoint = manager.Manager(
            self.services.database,
            self.places,
            checks.Checks(
                self.services.database,
                self.offer,
                open_store=self.services.open_store,
                open_glance=self._open_glance,
                max_virtual_size=lambda: (
                    self._conf.disks.max_virtual_size * space.GIB
                ),
            ),
            open_store=self.services.open_store,
            hide=self.services.paths.hide,
            ring_scheduler=self.scheduler.ring,
            ring_reaper=self.reaper.ring,
        )
        target = oslo_messaging.Target(
            topic=rpcapi.TOPIC, server=self.services.name
        )
        # Threads are what it takes when nothing is monkey patched; to ask
        # for them by name is deprecated.
        server = oslo_messaging.get_rpc_server(
            self._transport, target, [endpoint]
        )
        while not self._hurry.is_set():
            try:
                server.start()
                self._server = server
                return
            except Exception as error:
                LOG.warning('The bus cannot be served yet: %s', error)
                self._hurry.wait(5)


def work_dir(conf: cfg.ConfigOpts) -> pathlib.Path:
    """Where the workspaces are."""
    return pathlib.Path(
        conf.conductor.work_dir or os.path.join(conf.state_path, 'work')
    )


def job_config(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """The part of the configuration that jobs and stores work with."""
    return {
        'DEFAULT': {
            'recipe_path': list(conf.recipe_path),
            'state_path': conf.state_path,
            'debug': conf.get('debug', False),
        },
        **imagebuild_conf.for_jobs(conf),
    }


def running_limit(conf: cfg.ConfigOpts) -> int:
    """How many builds of one project may run at once, -1 for no limit."""
    return int(conf.quota.running)
