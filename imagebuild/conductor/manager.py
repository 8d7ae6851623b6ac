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
"""What a conductor hears over the bus."""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import oslo_messaging

from imagebuild import db
from imagebuild import exception
from imagebuild.conductor import checks
from imagebuild.conductor import claims
from imagebuild.conductor import edits
from imagebuild.conductor import rpcapi
from imagebuild.conductor import scheduler
from imagebuild.conductor import services as service_kit

LOG = logging.getLogger(__name__)

Context = Mapping[str, Any]


class Manager:
    """The endpoint of :class:`imagebuild.conductor.rpcapi.ConductorAPI`.

    :param open_store: gives the store of a destination.
    :param hide: takes this host's paths out of a text.
    :param ring_scheduler: has it look for builds.
    :param ring_reaper: has it sweep.
    """

    target = oslo_messaging.Target(version=rpcapi.VERSION)

    def __init__(
        self,
        database: db.Database,
        places: scheduler.Places,
        checks: checks.Checks,
        *,
        open_store: service_kit.OpenStore,
        hide: Callable[[str], str] = str,
        ring_scheduler: Callable[[], None],
        ring_reaper: Callable[[], None],
    ) -> None:
        self._database = database
        self._places = places
        self._checks = checks
        self._open_store = open_store
        self._hide = hide
        self._ring_scheduler = ring_scheduler
        self._ring_reaper = ring_reaper

    # -- bells --------------------------------------------------------------

    def build(self, _context: Context, build_id: str) -> None:
        self._ring_scheduler()

    def upload(self, _context: Context, upload_id: str) -> None:
        self._ring_scheduler()

    def cancel(self, _context: Context, build_id: str) -> None:
        running = self._places.get(build_id)
        if running is not None:
            running.stop(claims.Cancelled('cancelled on request'))

    def delete(self, _context: Context, build_id: str) -> None:
        self.cancel(_context, build_id)
        self._ring_reaper()

    # -- questions ----------------------------------------------------------

    def check_request(
        self, context: Context, request: Mapping[str, Any]
    ) -> dict[str, Any]:
        project_id = str(context.get('project_id') or '')

        def check() -> dict[str, Any]:
            found = self._checks.check_request(project_id, request)
            return {**found, 'problems': self._shown(found['problems'])}

        return _answer(check)

    def verify_image(
        self, _context: Context, image_row_id: str
    ) -> dict[str, Any]:
        return _answer(lambda: self._checks.verify_image(image_row_id))

    def update_image(
        self, _context: Context, build_id: str, changes: Mapping[str, Any]
    ) -> dict[str, Any]:
        return _answer(
            lambda: self._shown(
                edits.update_image(
                    self._database, self._open_store, build_id, changes
                )
            )
        )

    def _shown(self, problems: list[dict[str, str]]) -> list[dict[str, str]]:
        return [
            {name: self._hide(text) for name, text in problem.items()}
            for problem in problems
        ]

    def protected_images(
        self, _context: Context, build_id: str
    ) -> dict[str, Any]:
        return _answer(
            lambda: edits.protected_images(
                self._database, self._open_store, build_id
            )
        )

    def read_log(
        self, _context: Context, build_id: str, offset: int, limit: int
    ) -> dict[str, Any]:
        return _answer(
            lambda: list(self._database.read_log(build_id, offset, limit))
        )


#: What who asked is told of a fault of this host.
_NOT_FOR_USERS = (
    'A conductor cannot do this until its operator has mended something; its '
    'log tells more.'
)


def _answer(question: Callable[[], Any]) -> dict[str, Any]:
    """An answer, or an error as rpcapi understands it."""
    try:
        return {'result': question()}
    except exception.NotFound as error:
        kind, message = 'not_found', str(error)
    except exception.ServiceUnavailable as error:
        LOG.warning('No answer: %s', error)
        kind, message = 'unavailable', str(error)
    except exception.ImageBuildError as error:
        # Its words are for operators: paths of this host, options.
        LOG.warning('No answer: %s', error)
        kind, message = 'unavailable', _NOT_FOR_USERS
    except Exception as error:
        LOG.exception('A defect of imagebuild')
        kind = 'unavailable'
        message = f'Unexpected {type(error).__name__} in a conductor.'
    return {'error': {'kind': kind, 'message': message}}
