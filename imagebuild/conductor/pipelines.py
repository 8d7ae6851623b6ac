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
"""Pipelines: images that are built again and again.

A thread looks for pipelines with something to do, as the database shows it,
so it does not matter who ended a build, or died meanwhile. It does three
things, in this order, and each can be done again:

#. take over how the build of the last run has ended;
#. give the tag of the current image to that image, *then* take it from the
   others, and delete those beyond the number that is kept;
#. begin the run that is due.

A conductor begins only runs that it could build itself: it resolves the base
image, for which it needs the driver. No API server is there to say what the
catalogue has: the file on the conductor's host says it, and without one the
entry that the API had when the pipeline's image was given.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib
import uuid
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Protocol

from imagebuild import catalogue
from imagebuild import channel_bases
from imagebuild import db
from imagebuild import description
from imagebuild import exception
from imagebuild import sealing
from imagebuild.catalogue import OperatingSystem
from imagebuild.common import boot_tests
from imagebuild.common import placement
from imagebuild.conductor import capability
from imagebuild.conductor import image_update
from imagebuild.conductor import periodic_task
from imagebuild.conductor import request_validation
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.conf import boot_test
from imagebuild.conf import quota
from imagebuild.db import pipeline_records

LOG = logging.getLogger(__name__)

#: Seconds for which a conductor that died keeps others from a pipeline.
_HOLD = 300.0
#: Seconds until what a service that is away has prevented is retried.
_LATER = 60.0
#: Seconds to wait for the work that is being done when it is stopped.
_STOP_TIMEOUT = 20.0
#: Problems that one message names.
_NAMED = 5
_NOT_FOR_USERS = (
    'a conductor cannot begin it until its operator has repaired something; '
    'its log has the details'
)


class Announce(Protocol):
    """See :meth:`imagebuild.messaging.rpcapi.ConductorAPI.build`."""

    def __call__(self, build_id: str, *, to: Sequence[str]) -> None: ...


class PipelineRunner:
    """A thread that runs pipelines.

    :param validator: checks requests and resolves base images.
    :param capability_provider: what this conductor can build.
    :param announce: says that a build was queued, to conductors by their
        names; to all when none is given.
    :param wake_reaper: says that an image may have no user left.
    """

    def __init__(
        self,
        context: ConductorContext,
        *,
        validator: request_validation.RequestValidator,
        capability_provider: capability.CapabilityProvider,
        announce: Announce,
        wake_reaper: Callable[[], None],
    ) -> None:
        self._context = context
        self._database = context.database
        self._validator = validator
        self._capability_provider = capability_provider
        self._announce = announce
        self._wake_reaper = wake_reaper
        #: None without a file here.
        self._catalogue: catalogue.Catalogue | None = None
        self._sweep_interval = float(context.conf.conductor.sweep_interval)
        self._task = periodic_task.PeriodicTask('pipelines', self._work)

    def start(self) -> None:
        self._task.start()

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._task.wake()

    def stop(self) -> None:
        """Begin nothing more."""
        self._task.stop(_STOP_TIMEOUT)

    def _work(self) -> float:
        try:
            self.sweep()
        except exception.DatabaseUnavailable as error:
            LOG.warning('No pipelines can be looked at now: %s', error)
        except Exception:
            LOG.exception('Unexpected error in the pipelines')
        return self._sweep_interval

    def sweep(self) -> None:
        """Do what is to be done for any pipeline, once.

        :raises DatabaseUnavailable: the rest is done the next time.
        """
        found = self._database.pipelines_to_attend(self._context.name)
        if found:
            self._read_catalogue()
        for work in found:
            if self._task.stopped:
                return
            if work.is_run and not self._is_able(work):
                continue
            held = self._database.hold_pipeline(
                work.id, self._context.name, _HOLD
            )
            if held is not None:
                self._attend(held)

    def _read_catalogue(self) -> None:
        """Read the catalogue of this host, if it has one."""
        path = self._context.conf.operating_systems_file
        self._catalogue = None
        if not os.path.exists(path):
            return
        try:
            self._catalogue = catalogue.load(path)
        except exception.InvalidManifest as error:
            # The entries that the API had will do until it is repaired.
            LOG.error('%s', error)

    def _attend(self, pipeline: db.Pipeline) -> None:
        """Do what is to be done for one that is held, and release it."""
        again_in = 0.0
        try:
            self._advance(pipeline)
        except exception.NotFound:
            # The pipeline was deleted meanwhile, or one of its builds.
            LOG.info('Pipeline %s: gone', pipeline.id)
        except exception.DatabaseUnavailable:
            raise
        except exception.ImageBuildError as error:
            LOG.warning('Pipeline %s is retried: %s', pipeline.id, error)
            again_in = _LATER
        except Exception:
            LOG.exception('Unexpected error in pipeline %s', pipeline.id)
            again_in = _LATER
        self._database.release_pipeline(
            pipeline.id, self._context.name, again_in
        )

    def _advance(self, pipeline: db.Pipeline) -> None:
        pipeline = self._database.refresh_pipeline(pipeline.id)
        if not pipeline.is_settled:
            self._settle(pipeline)
        self._run(pipeline)

    # -- images -------------------------------------------------------------

    def _settle(self, pipeline: db.Pipeline) -> None:
        """Move the tag to the current image, and delete old ones.

        :raises ServiceUnavailable: the store is away; it is done again.
        """
        builds = self._database.builds_of_pipeline(pipeline.id)
        current = [b for b in builds if b.id == pipeline.current_build_id]
        others = [b for b in builds if b.id != pipeline.current_build_id]
        problems = []
        tag, dropped = pipeline.current_tag, pipeline.dropped_tags
        # In this order: whoever looks for the tag finds two for a moment, of
        # which the newest is right, and never none.
        for build in current:
            problems += self._change_tags(build, add=[tag], remove=dropped)
        if not problems:
            for build in others:
                problems += self._change_tags(build, remove=[tag, *dropped])
        for build in others[max(0, pipeline.keep - len(current)) :]:
            problems += self._delete(build)
        self._database.settle_pipeline(
            pipeline.id, pipeline.revision, ' '.join(problems[:_NAMED])
        )

    def _change_tags(
        self,
        build: db.Build,
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
    ) -> list[str]:
        """Change tags of a build's image, unless it is so already.

        :returns: what the store has against it, as sentences.
        """
        tags = set(build.request.get('tags') or ())
        if tags.issuperset(add) and tags.isdisjoint(remove):
            return []
        try:
            problems = image_update.change_tags(
                self._database,
                self._context.open_store,
                build.id,
                add=add,
                remove=remove,
            )
        except exception.NotFound:
            return [f'The image of build {build.id} is gone.']
        return [
            f'The tags of the image of build {build.id} cannot be changed: '
            f'{self._context.paths.hide(problem["message"])}'
            for problem in problems
        ]

    def _delete(self, build: db.Build) -> list[str]:
        """Delete a build that is not kept, unless its image is protected.

        :returns: what stands in the way, as sentences.
        """
        protected = image_update.protected_images(
            self._database, self._context.open_store, build.id
        )
        if protected:
            return [
                f'Image {protected[0]} is protected and stays, although more '
                'images are there than are kept.'
            ]
        # One that a channel has stays until no channel has it any more.
        self._database.delete_build(build.id, when_unused=True)
        self._wake_reaper()
        LOG.info(
            'Build %s is deleted, when no channel has it: its pipeline keeps '
            'newer ones',
            build.id,
        )
        return []

    # -- runs ---------------------------------------------------------------

    def _entry(
        self, pipeline: pipeline_records.PipelineWork | db.Pipeline
    ) -> OperatingSystem | None:
        """The entry of the catalogue; None when it was removed there."""
        if not pipeline.os:
            # Of a base image it has the architecture, at most.
            return OperatingSystem.from_dict({'name': '', **pipeline.entry})
        if self._catalogue is None:
            return OperatingSystem.from_dict(pipeline.entry)
        return self._catalogue.get(pipeline.os)

    def _is_able(
        self, pipeline: pipeline_records.PipelineWork | db.Pipeline
    ) -> bool:
        """Whether this conductor could build it."""
        entry = self._entry(pipeline)
        if entry is None:
            return False
        needs = placement.Needs(
            driver=pipeline.driver or entry.driver,
            os=pipeline.os,
            architecture=entry.architecture,
        )
        offered = dataclasses.asdict(self._capability_provider.capability)
        return not placement.missing(
            needs,
            placement.Capability.from_dict(
                {'name': self._context.name, **offered}
            ),
        )

    def _run(self, pipeline: db.Pipeline) -> None:
        """Begin a run, if one is due and can be built here.

        :raises ServiceUnavailable: something that is needed is away; it is
            retried.
        """
        # Whether it is due is decided in start_run: this only saves work.
        if not pipeline.is_due(self._database.now()):
            return
        if not self._is_able(pipeline):
            return
        try:
            build = self._database.start_run(
                pipeline.id,
                self._context.name,
                self._build_values(pipeline),
                quotas=quota.limits(self._context.conf),
            )
        except (exception.InvalidInput, exception.StepError) as error:
            self._refuse(pipeline, self._context.paths.hide(_summary(error)))
            return
        except (
            exception.ServiceUnavailable,
            exception.DatabaseUnavailable,
        ):
            raise
        except exception.EnvironmentFault as error:
            LOG.error('Pipeline %s cannot run: %s', pipeline.id, error)
            self._refuse(pipeline, _NOT_FOR_USERS)
            return
        if build is not None:
            LOG.info('Pipeline %s: build %s begins', pipeline.id, build.id)
            self._announce(build.id, to=self._to_wake(build.id))

    def _to_wake(self, build_id: str) -> list[str]:
        try:
            found: list[str] = self._database.conductors_for(
                build_id, alive_within=self._context.conf.conductor.dead_after
            )
        except exception.DatabaseUnavailable:
            # It is queued all the same.
            return []
        return found

    def _refuse(self, pipeline: db.Pipeline, reason: str) -> None:
        LOG.info('Pipeline %s cannot run: %s', pipeline.id, reason)
        self._database.refuse_run(pipeline.id, self._context.name, reason)

    def _build_values(self, pipeline: db.Pipeline) -> dict[str, Any]:
        """Resolve what a build of now would be made from.

        :returns: its columns.
        :raises InvalidRequest: the request has become wrong.
        :raises ServiceUnavailable: the image service is away.
        :raises SealingFailed: the keys do not fit.
        """
        entry = self._entry(pipeline) or OperatingSystem('')
        named = channel_bases.of_request(
            self._database, pipeline.project_id, pipeline.request
        )
        if named is not None and named.problem:
            raise exception.InvalidRequest(named.problems())
        described, request = self._described(
            pipeline,
            {
                **pipeline.request,
                'reuse': 'never',
                'driver': pipeline.driver or entry.driver,
                # It may be required by now.
                **self._boot_test(pipeline.request),
            },
        )
        if named is not None:
            request = named.within(named.without(request))
            entry = named.entry(entry)
        answer = self._checked(pipeline, request, entry)
        if answer['boots']:
            request = boot_tests.left_to_driver(request)
        base, content_key = description.resolve(
            described,
            request,
            answer['base'],
            entry.architecture,
            entry.min_disk,
        )
        if pipeline.secrets:
            keys = self._context.conf.encryption_keys
            content_key = sealing.digest(keys, content_key)
        return {
            'project_id': pipeline.project_id,
            'user_id': pipeline.user_id,
            'name': request['name'],
            'os': pipeline.os,
            'driver': request['driver'],
            'architecture': entry.architecture,
            'request': request,
            'secrets': pipeline.secrets,
            'content_key': content_key,
            'base': base,
            'reuse': 'never',
            'timeout': request.get(
                'timeout', self._context.conf.conductor.build_timeout
            ),
            'request_id': f'req-{uuid.uuid4()}',
        }

    def _described(
        self, pipeline: db.Pipeline, request: dict[str, Any]
    ) -> tuple[description.Description, dict[str, Any]]:
        """Load what a request describes, with its hidden arguments.

        :returns: it, and the request with what it includes pinned.
        """
        whole = dict(request)
        if pipeline.secrets:
            secrets = sealing.unseal(
                self._context.conf.encryption_keys, pipeline.secrets
            )
            whole['arguments'] = {**request['arguments'], **secrets}
        paths = map(pathlib.Path, self._context.conf.recipe_path)
        described = description.load(whole, recipe_paths=list(paths))
        return described, description.pinned(described, request)

    def _boot_test(self, request: Mapping[str, Any]) -> dict[str, Any]:
        rules = boot_test.rules(self._context.conf)
        wanted = rules.normalized(request.get(boot_tests.FIELD))
        return {boot_tests.FIELD: wanted} if wanted else {}

    def _checked(
        self,
        pipeline: db.Pipeline,
        request: Mapping[str, Any],
        entry: OperatingSystem,
    ) -> dict[str, Any]:
        answer = self._validator.check_request(
            pipeline.project_id, request, entry.to_dict()
        )
        if answer['problems']:
            raise exception.InvalidRequest(
                exception.Problem(problem['path'], problem['message'])
                for problem in answer['problems']
            )
        return answer


def _summary(error: exception.ImageBuildError) -> str:
    if not isinstance(error, exception.InvalidManifest):
        return str(error)
    return '; '.join(str(problem) for problem in error.errors[:_NAMED])
