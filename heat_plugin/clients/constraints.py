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
"""Constraints that templates may use, on parameters too.

Heat remembers for a while that a value was found, never that it was not.
"""

from __future__ import annotations

from typing import Any

from heat.engine import constraints
from heat.engine.clients import client_exception
from oslo_log import log as logging

from heat_plugin import failures
from heat_plugin import sentences
from heat_plugin.clients import image_build
from imagebuild.client import exceptions

LOG = logging.getLogger(__name__)


class _NameConstraint(constraints.BaseCustomConstraint):
    resource_client_name = image_build.CLIENT_NAME
    expected_exceptions: tuple[type[Exception], ...] = (
        failures.UnknownName,
        failures.NotLookedUp,
    )

    def validate(self, value: str, context: Any) -> bool:
        """Tell whether the service has a name; True while it is away.

        Heat asks again when it creates the resource, which waits for the
        service. So a short absence fails no stack, and is not laid at the
        door of the value.
        """
        try:
            return bool(super().validate(value, context))
        except (*failures.AWAY, failures.GlanceAway) as error:
            # Not remembered as found: it passed through Heat's cache.
            LOG.warning('"%s" could not be looked up: %s', value, error)
            return True

    def validate_with_client(self, client: Any, resource_id: str) -> None:
        try:
            super().validate_with_client(client, resource_id)
        except failures.AWAY:
            raise
        except exceptions.ClientError as error:
            raise failures.NotLookedUp(
                sentences.not_looked_up(error)
            ) from None


class RecipeConstraint(_NameConstraint):
    """``imagebuild.recipe``: a recipe that the service has."""

    resource_getter_name = 'find_recipe'


class OsConstraint(_NameConstraint):
    """``imagebuild.os``: an operating system of the service's catalogue."""

    resource_getter_name = 'find_os'


class BaseImageConstraint(_NameConstraint):
    """``imagebuild.base_image``: an image in Glance, by its id or name."""

    expected_exceptions = (
        client_exception.EntityMatchNotFound,
        client_exception.EntityUniqueMatchNotFound,
        failures.NotLookedUp,
    )
    resource_getter_name = 'find_base_image'
