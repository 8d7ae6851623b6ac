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
"""What the resource asks of the service for its build."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from heat_plugin import schema
from imagebuild.client import Build
from imagebuild.client import Client
from imagebuild.client import exceptions

LOG = logging.getLogger(__name__)


def find_or_create(
    service: Client, request: Mapping[str, Any], *, repeated: bool
) -> Build:
    """Create a build, or find the one of an earlier request.

    :param repeated: an earlier request may have been accepted, and no other
        build has this name.
    :raises ClientError: the service refuses, or is unavailable.
    """
    if repeated:
        for build in service.builds.list(name=request[schema.NAME], limit=1):
            return build
    return service.builds.create(**request)


def cancel(service: Client, build_id: str) -> None:
    """Cancel a build; only logged if that fails."""
    try:
        service.builds.cancel(build_id)
    except (exceptions.Conflict, exceptions.NotFound):
        LOG.debug('The build %s has ended already', build_id)
    except exceptions.ClientError as error:
        # The build goes on; deleting the resource ends it.
        LOG.warning('The build %s could not be cancelled: %s', build_id, error)


def cancel_and_delete(
    service: Client, build_id: str, *, is_final: bool
) -> bool:
    """Have a build deleted, whatever its status; may be called again.

    :param is_final: raise a refusal, which may be for a passing reason.
    :returns: whether nothing more is to be done, although it is there: it is
        deleted when no channel has it any more.
    :raises NotFound: it is gone.
    :raises Conflict: its image is protected.
    """
    build = service.builds.get(build_id)
    if build.status == 'deleting':
        return False
    if build.delete_when_unused:
        return True
    try:
        if not build.finished:
            service.builds.cancel(build_id)
        service.builds.delete(build_id)
    except exceptions.Conflict:
        # Another change is in progress, the image is protected, or a channel
        # has it. The second does not pass, so report it before the stack
        # times out.
        if build.finished and not _leave_to_channels(service, build_id):
            if is_final:
                raise
    return False


def _leave_to_channels(service: Client, build_id: str) -> bool:
    """Have a build deleted when no channel has it any more.

    :returns: False when the service does not want that, either; or one of
        the release before does not know it.
    """
    try:
        service.builds.delete(build_id, when_unused=True)
    except (exceptions.Conflict, exceptions.BadRequest):
        return False
    return True
