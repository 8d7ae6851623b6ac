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
heartbeat      one row in the database every ``heartbeat_interval``
scheduler      claims jobs when woken, and every ``sweep_interval``
pipelines      begins runs of pipelines, and moves their tags
channels       moves the tags of channels, and repairs them
repository     which finished images are there, and which may go
leaks          images in the stores that no row knows
reaper         what dead conductors and failures left behind
attempts       what attempts at builds left in a cloud
build-<id>     one for each build: its job process, its rows
upload-<id>    one for each upload: the same, and the end of its build
deletion-<id>  one for each image that is deleted
validation-<id>  one for each validation of machines
job-<pid>-...  three for each job: one for each of its pipes
bus            waits for the broker, then serves the casts and calls of the API
=============  ==========================================================

None waits for another, so a database or broker that is away stops only who
needs it at that moment.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import pathlib
import threading
import time
from collections.abc import Sequence
from typing import Any
from typing import TypedDict
from typing import Unpack

from oslo_config import cfg

from imagebuild import catalogue
from imagebuild import db
from imagebuild import exception
from imagebuild import job
from imagebuild import repository
from imagebuild.common import host_paths
from imagebuild.common import release
from imagebuild.common import space
from imagebuild.conductor import attempt as attempts
from imagebuild.conductor import attempt_reaper
from imagebuild.conductor import attempt_workspace
from imagebuild.conductor import builds
from imagebuild.conductor import capability
from imagebuild.conductor import channels
from imagebuild.conductor import claims
from imagebuild.conductor import client_cache
from imagebuild.conductor import conductor_context
from imagebuild.conductor import deletions
from imagebuild.conductor import heartbeat
from imagebuild.conductor import leaks
from imagebuild.conductor import manager
from imagebuild.conductor import metrics
from imagebuild.conductor import periodic_task
from imagebuild.conductor import pipelines
from imagebuild.conductor import reaper
from imagebuild.conductor import repository_care
from imagebuild.conductor import request_validation
from imagebuild.conductor import retry_policy
from imagebuild.conductor import scheduler
from imagebuild.conductor import upload_attempt
from imagebuild.conductor import validation_attempt
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.conductor.conductor_context import OpenStore
from imagebuild.conf import own_paths
from imagebuild.messaging import bus
from imagebuild.messaging import rpcapi

LOG = logging.getLogger(__name__)

#: Seconds in which an attempt that is requeued must have ended.
_REQUEUE_TIMEOUT = 20.0
#: Seconds that a bus which has just been asked to start may take to end.
_BUS_TIMEOUT = 10.0
#: Seconds that the start waits for a broker. Builds need none.
_BUS_START = 10.0
_TICK = 0.02


class Parts(TypedDict, total=False):
    """What tests and benchmarks put in the place of a conductor's parts.

    :ivar capability_provider: what it can build.
    :ivar job_command: the program of a job.
    :ivar open_store: gives the store of a destination.
    """

    capability_provider: capability.CapabilityProvider
    job_command: Sequence[str]
    open_store: OpenStore


class Conductor:
    """A conductor inside of this process.

    :param conf: options, all registered and read.
    :param database: of the service.
    :param transport: of :func:`imagebuild.messaging.bus.get_transport`.
    :param notifier: told when builds begin and end.
    :param parts: instead of what is installed and configured.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        database: db.Database,
        transport: Any,
        *,
        notifier: conductor_context.Notifier,
        **parts: Unpack[Parts],
    ) -> None:
        self._conf = conf
        self._transport = transport
        self.capability_provider = parts.get(
            'capability_provider'
        ) or capability.CapabilityProvider(conf)
        self._shutting_down = threading.Event()
        self._server: Any = None
        self._serving = threading.Lock()
        self._listens = threading.Event()
        self._bus = threading.Thread(target=self._serve, name='bus')
        self._bus.daemon = True
        self._name_lock: int | None = None
        self._clients = client_cache.ClientCache(conf)
        self.running_builds = scheduler.RunningJobs()
        self.running_uploads = scheduler.RunningJobs()
        self.running_deletions = scheduler.RunningJobs()
        self.running_validations = scheduler.RunningJobs()
        self.context = self._make_context(database, notifier, parts)
        self._images = repository_care.RepositoryCare(
            self.context.repository, database, self.context.name
        )
        self.capability_provider.repositories = (self.context.repository.id,)
        self._deletions = deletions.Deletions(
            self.context,
            self.running_deletions,
            on_end=lambda after: self.scheduler.wake_after(after),
        )
        self.heartbeat = self._make_heartbeat()
        self.scheduler = self._make_scheduler()
        self.capability_provider.base_files.on_read = self.scheduler.wake
        self.reaper = reaper.Reaper(
            self.context,
            running=self._running,
            pauses=self._deletions.pauses,
            database_stable_for=lambda: self.heartbeat.database_stable_for,
            on_release=self.scheduler.wake,
        )
        self.leaks = leaks.LeakFinder(self.context)
        self.attempts = attempt_reaper.AttemptReaper(
            self.context, self.capability_provider.offered
        )
        self.channels = channels.ChannelCare(self.context)
        self.validator = self._make_validator()
        self.pipelines = pipelines.PipelineRunner(
            self.context,
            validator=self.validator,
            capability_provider=self.capability_provider,
            announce=rpcapi.ConductorAPI(transport).build,
            wake_reaper=self._wake_deletion,
        )

    def _make_context(
        self,
        database: db.Database,
        notifier: conductor_context.Notifier,
        parts: Parts,
    ) -> ConductorContext:
        conf = self._conf
        return ConductorContext(
            conf=conf,
            name=conf.conductor.name,
            database=database,
            retry=retry_policy.RetryPolicy(self._shutting_down),
            notifier=notifier,
            open_store=parts.get('open_store', self._clients.store),
            job_command=tuple(parts.get('job_command') or job.command()),
            job_config=functools.partial(conductor_context.job_config, conf),
            work_dir=work_dir(conf),
            paths=host_paths.HostPaths(own_paths(conf)),
            repository=repository.Settings.from_config(
                conductor_context.job_config(conf)
            ).open(),
        )

    def _wake_deletion(self) -> None:
        """Say that a build was deleted, perhaps."""
        self.scheduler.wake()
        self.reaper.wake()
        self._images.wake()

    def _make_validator(self) -> request_validation.RequestValidator:
        return request_validation.RequestValidator(
            self.context.database,
            self.capability_provider,
            open_store=self.context.open_store,
            open_glance=self._clients.glance,
            of_host=request_validation.HostConfiguration(
                max_virtual_size=lambda: (
                    self._conf.disks.max_virtual_size * space.GIB
                ),
                isolation=lambda: self._conf.guestfs.isolation,
                sections=self.context.job_config,
                read_catalogue=lambda: catalogue.load(
                    self._conf.operating_systems_file
                ),
            ),
        )

    def _make_heartbeat(self) -> heartbeat.Heartbeat:
        return heartbeat.Heartbeat(
            self.context.database,
            self.context.name,
            release.version(),
            get_capability=lambda: self.capability_provider.capability,
            running=lambda: len(self.running_builds),
            interval=self._conf.conductor.heartbeat_interval,
        )

    def _make_scheduler(self) -> scheduler.Scheduler:
        return scheduler.Scheduler(
            self.context,
            get_capability=lambda: self.capability_provider.capability,
            running=self._running,
            begin=self._begin,
            has_base=self.capability_provider.base_files.has,
            may_begin=self._deletions.may_begin,
        )

    @property
    def _running(self) -> dict[str, scheduler.RunningJobs]:
        return {
            'build': self.running_builds,
            'upload': self.running_uploads,
            'delete': self.running_deletions,
            'validate': self.running_validations,
        }

    def _running_jobs(self) -> list[scheduler.Running]:
        return [each for kind in self._running.values() for each in kind.all()]

    # -- lifecycle ---------------------------------------------------------

    def start(self) -> None:
        """Start; returns when builds may be claimed.

        :raises InvalidInput: a destination cannot be used, or a driver has a
            limit and is not installed.
        :raises EnvironmentFault: it cannot for what is missing here, or
            another conductor here has the name.
        :raises DatabaseUnavailable: :meth:`stop` was called meanwhile.
        """
        for problem in self._problems():
            raise problem
        self._name_lock = attempt_workspace.take_name(
            self.context.work_dir, self.context.name
        )
        self.reaper.sweep_workspaces()
        until_available = self.context.retry.until_available
        missing = until_available('the start', self._missing_tables)
        if missing is not None:
            raise missing
        until_available('the start', self.reaper.requeue_own_builds)
        # Before anybody is told that we are up: what is sent to a queue that
        # is not there yet is lost, and its sender waits in vain.
        self._bus.start()
        self._wait_for_bus()
        until_available('the start', self.heartbeat.send)
        self.heartbeat.start()
        self._images.start()
        self.reaper.start()
        self.scheduler.start()
        self.pipelines.start()
        self.channels.start()
        self.leaks.start()
        self.attempts.start()
        LOG.info('Conductor %s is up', self.context.name)

    def _problems(self) -> list[exception.ImageBuildError]:
        return [
            *self._clients.problems(),
            *self.capability_provider.problems(),
        ]

    def _missing_tables(self) -> exception.TablesMissing | None:
        # Returned, not raised: to wait for them would be to wait for ever.
        try:
            self.context.database.check_tables()
        except exception.TablesMissing as error:
            return error
        return None

    def drain(self) -> None:
        """Claim no more builds, and say so.

        Running builds go on, and so do the uploads of what they make.
        """
        self.heartbeat.drain()
        self.scheduler.drain()
        self.pipelines.stop()

    def wait(self, seconds: float) -> bool:
        """Wait for the running jobs.

        :returns: whether all have ended.
        """
        deadline = time.monotonic() + seconds
        # The uploads of a build follow it.
        while running := self._running_jobs():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            running[0].join(left)
            time.sleep(_TICK)
        return True

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs here."""
        return not self._running_jobs()

    def stop(self) -> None:
        """Requeue what still runs, and shut down."""
        self.scheduler.end()
        # First: what else ends here may take its time, and what is to be
        # requeued would run on meanwhile, or be killed with this process.
        self._requeue_running()
        periodic_task.stop_all(
            self._images.stop,
            self.leaks.stop,
            self.attempts.stop,
            self.pipelines.stop,
            self.channels.stop,
            self.scheduler.stop,
        )
        # What was being claimed when the scheduler was told.
        self._requeue_running()
        # Not before they know why they end: from here on nobody waits for a
        # database that is away, and each has one call to requeue itself.
        self._shutting_down.set()
        if not self.wait(_REQUEUE_TIMEOUT):
            LOG.error(
                'Jobs left to other conductors: %s',
                {id for kind in self._running.values() for id in kind.ids()},
            )
        self.reaper.stop()
        # Last, or others would requeue what is being requeued here.
        self.heartbeat.stop()
        with self._serving:
            server = self._server
        if server is not None:
            server.stop()
            server.wait()
        elif self._bus.ident is not None:
            self._bus.join(_BUS_TIMEOUT)
        if self._name_lock is not None:
            os.close(self._name_lock)
            self._name_lock = None
        LOG.info('Conductor %s is down', self.context.name)

    def _requeue_running(self) -> None:
        """Tell what runs to go back to the queue; returns at once."""
        for running in self._running_jobs():
            running.stop(
                claims.Requeued(f'Conductor {self.context.name} stops.')
            )

    def reload(self) -> None:
        """Take over changed options and drivers (SIGHUP)."""
        self._conf.mutate_config_files()
        self._clients.forget()
        for problem in self._problems():
            LOG.error('%s', problem)
        self.capability_provider.reload()
        self.heartbeat.send_now()
        self.scheduler.wake()
        LOG.info('Configuration reloaded')

    # -- its parts ----------------------------------------------------------

    def _begin(self, job: db.Job) -> None:
        if job.kind == 'delete':
            self._deletions.begin(job)
            return
        if job.kind == 'validate':
            self._validate(job)
            return
        build = self.context.database.get_build(job.build_id or job.id)
        attempt: attempts.Attempt
        if job.kind == 'upload':
            row = self.context.database.get_upload(job.id)
            attempt = upload_attempt.UploadAttempt(
                self.context, job, build, row, self._upload_ended
            )
            self.running_uploads.add(job.id, attempt)
        else:
            attempt = builds.BuildAttempt(
                self.context, build, self._build_ended
            )
            self.running_builds.add(job.id, attempt)
            metrics.RUNNING.inc()
        attempt.start()

    def _validate(self, job: db.Job) -> None:
        attempt = validation_attempt.ValidationAttempt(
            self.context,
            job,
            self.context.database.get_validation(job.id),
            self._validation_ended,
        )
        self.running_validations.add(job.id, attempt)
        attempt.start()

    def _validation_ended(self, attempt: attempts.Attempt) -> None:
        self.running_validations.remove(attempt.id, attempt)
        self.scheduler.wake()

    def _build_ended(self, attempt: attempts.Attempt) -> None:
        # Its uploads before it is gone: who waits for what runs here must not
        # see nothing in between.
        with contextlib.suppress(exception.DatabaseUnavailable):
            self.scheduler.claim_all()
        self.running_builds.remove(attempt.id, attempt)
        metrics.RUNNING.dec()
        self.scheduler.wake()
        # It may be that of a pipeline.
        self.pipelines.wake()

    def _upload_ended(self, attempt: attempts.Attempt) -> None:
        self.running_uploads.remove(attempt.id, attempt)
        self.scheduler.wake_after(attempt.retry_after)
        # The build that ends with it may be that of a pipeline.
        self.pipelines.wake()

    def _wait_for_bus(self) -> None:
        end = time.monotonic() + _BUS_START
        while not self._listens.wait(_TICK):
            if self._shutting_down.is_set() or time.monotonic() > end:
                return

    def _serve(self) -> None:
        """Serve the bus; the broker may come up later than we do."""
        endpoint = manager.Manager(
            self.context,
            self._running,
            self.validator,
            wake_scheduler=self.scheduler.call,
            wake_reaper=self._wake_deletion,
            wake_pipelines=self.pipelines.wake,
            wake_channels=self.channels.wake,
        )
        server = bus.get_rpc_server(
            self._transport, self.context.name, endpoint
        )
        while not self._shutting_down.is_set():
            try:
                server.start()
                self._listens.set()
                break
            except Exception as error:
                LOG.warning('RPC server not started yet: %s', error)
                self._shutting_down.wait(5)
        else:
            return
        with self._serving:
            if not self._shutting_down.is_set():
                self._server = server
                return
        # Stopped while it started: nobody else knows of it.
        server.stop()
        server.wait()


def work_dir(conf: cfg.ConfigOpts) -> pathlib.Path:
    """Where the workspaces are."""
    return pathlib.Path(
        conf.conductor.work_dir or os.path.join(conf.state_path, 'work')
    )
