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
"""The casts and calls that a conductor serves."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import Concatenate
from typing import ParamSpec

from imagebuild import exception
from imagebuild.conductor import claims
from imagebuild.conductor import image_update
from imagebuild.conductor import request_validation
from imagebuild.conductor import scheduler
from imagebuild.conductor import upload_rows
from imagebuild.conductor.conductor_context import ConductorContext
from imagebuild.messaging import bus
from imagebuild.messaging import rpcapi

LOG = logging.getLogger(__name__)

Context = Mapping[str, Any]
P = ParamSpec('P')

#: The answer on a fault of this host.
_NOT_FOR_USERS = (
    'A conductor cannot do this until its operator has repaired something; '
    'its log has the details.'
)


def _answered(
    method: Callable[Concatenate[Manager, P], object],
) -> Callable[Concatenate[Manager, P], dict[str, Any]]:
    """Have a method answer with its result or an error, as rpcapi reads it."""

    @functools.wraps(method)
    def call(
        manager: Manager, /, *args: P.args, **kwargs: P.kwargs
    ) -> dict[str, Any]:
        try:
            return {'result': method(manager, *args, **kwargs)}
        except exception.NotFound as error:
            kind, message = 'not_found', str(error)
        except exception.ServiceUnavailable as error:
            LOG.warning('Call failed: %s', error)
            kind, message = 'unavailable', str(error)
        except exception.ImageBuildError as error:
            # Its text is for operators: paths of this host, options.
            LOG.warning('Call failed: %s', error)
            kind, message = 'unavailable', _NOT_FOR_USERS
        except Exception as error:
            LOG.exception('Unexpected error in a call')
            kind = 'unavailable'
            message = f'Unexpected {type(error).__name__} in a conductor.'
        return {'error': {'kind': kind, 'message': message}}

    return call


class Manager:
    """The endpoint of :class:`imagebuild.messaging.rpcapi.ConductorAPI`.

    :param wake_scheduler: has it look for a job, in its turn; see
        :meth:`imagebuild.conductor.scheduler.Scheduler.call`.
    :param wake_reaper: has it sweep.
    :param wake_pipelines: has it look for runs of pipelines.
    :param wake_channels: has it look for channels that have changed.
    """

    target = bus.TARGET

    def __init__(
        self,
        context: ConductorContext,
        running: Mapping[str, scheduler.RunningJobs],
        validator: request_validation.RequestValidator,
        *,
        wake_scheduler: Callable[[str, int | None], None],
        wake_reaper: Callable[[], None],
        wake_pipelines: Callable[[], None],
        wake_channels: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = context.database
        self._running = running
        self._validator = validator
        self._open_store = context.open_store
        self._job_config = context.job_config
        self._hide = context.paths.hide
        self._wake_scheduler = wake_scheduler
        self._wake_reaper = wake_reaper
        self._wake_pipelines = wake_pipelines
        self._wake_channels = wake_channels

    # -- casts --------------------------------------------------------------

    def build(self, context: Context, build_id: str) -> None:
        self._wake_scheduler(build_id, context.get(rpcapi.TURN))

    def upload(self, context: Context, upload_id: str) -> None:
        self._wake_scheduler(upload_id, context.get(rpcapi.TURN))

    def cancel(self, _context: Context, build_id: str) -> None:
        for jobs in self._running.values():
            for each in jobs.of_build(build_id):
                each.stop(claims.Cancelled('cancelled on request'))

    def pipeline(self, _context: Context, pipeline_id: str) -> None:
        self._wake_pipelines()

    def channel(self, _context: Context, channel_id: str) -> None:
        self._wake_channels()
        # A build that waited for the channel may be deleted now.
        self._wake_reaper()

    def delete(self, _context: Context, build_id: str) -> None:
        self.cancel(_context, build_id)
        self._wake_reaper()

    # -- calls --------------------------------------------------------------

    @_answered
    def check_request(
        self,
        context: Context,
        request: Mapping[str, Any],
        entry: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        project_id = str(context.get('project_id') or '')
        found = self._validator.check_request(project_id, request, entry)
        return {**found, 'problems': self._shown(found['problems'])}

    @_answered
    def verify_image(self, _context: Context, image_row_id: str) -> bool:
        return self._validator.verify_image(image_row_id)

    @_answered
    def update_image(
        self, _context: Context, build_id: str, changes: Mapping[str, Any]
    ) -> list[dict[str, str]]:
        return self._shown(
            image_update.update_image(
                self._database, self._open_store, build_id, changes
            )
        )

    @_answered
    def protected_images(
        self, _context: Context, build_id: str, upload_id: str | None = None
    ) -> list[str]:
        return image_update.protected_images(
            self._database, self._open_store, build_id, upload_id
        )

    @_answered
    def plan_upload(
        self,
        _context: Context,
        build_id: str,
        destination: str,
        disk_format: str | None,
    ) -> dict[str, Any]:
        build = self._database.get_build(build_id)
        try:
            planned = upload_rows.plan(
                self._job_config, build, destination, disk_format
            )
        except exception.InvalidInput as error:
            problem = {'path': 'destination', 'message': str(error)}
            return {'problems': self._shown([problem]), 'upload': None}
        return {'problems': [], 'upload': planned}

    @_answered
    def read_log(
        self, _context: Context, build_id: str, offset: int, limit: int
    ) -> list[str | int]:
        return list(self._database.read_log(build_id, offset, limit))

    def _shown(self, problems: list[dict[str, str]]) -> list[dict[str, str]]:
        return [
            {name: self._hide(text) for name, text in problem.items()}
            for problem in problems
        ]
