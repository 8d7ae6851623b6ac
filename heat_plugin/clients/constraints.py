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

Heat caches for a while that a value is valid, never that it is not.
"""

from __future__ import annotations

from typing import Any

from heat.engine import constraints
from heat.engine.clients import client_exception
from oslo_log import log as logging

from heat_plugin import exceptions
from heat_plugin import messages
from heat_plugin.clients import image_build
from imagebuild.client.exceptions import ClientError

LOG = logging.getLogger(__name__)


class _NameConstraint(constraints.BaseCustomConstraint):
    resource_client_name = image_build.CLIENT_NAME
    expected_exceptions: tuple[type[Exception], ...] = (
        exceptions.UnknownName,
        exceptions.LookupFailed,
    )

    def validate(self, value: str, context: Any) -> bool:
        """Return whether the service has a name; True while unavailable.

        Heat validates again when it creates the resource, which waits for
        the service. So a short outage fails no stack, and is not reported as
        a mistake of the value.
        """
        try:
            return bool(super().validate(value, context))
        except (
            *exceptions.UNAVAILABLE,
            exceptions.GlanceUnavailable,
        ) as error:
            # An error passes through Heat's cache, so True is not cached.
            LOG.warning('"%s" could not be looked up: %s', value, error)
            return True

    def validate_with_client(self, client: Any, resource_id: str) -> None:
        try:
            super().validate_with_client(client, resource_id)
        except exceptions.UNAVAILABLE:
            raise
        except ClientError as error:
            raise exceptions.LookupFailed(
                messages.lookup_failed(error)
            ) from None


class RecipeConstraint(_NameConstraint):
    """``imagebuild.recipe``: a recipe that the service has."""

    resource_getter_name = 'find_recipe'


class OsConstraint(_NameConstraint):
    """``imagebuild.os``: an operating system of the service's catalogue."""

    resource_getter_name = 'find_os'


class ChannelConstraint(_NameConstraint):
    """``imagebuild.channel``: a channel that can be promoted to."""

    resource_getter_name = 'find_channel'


class BaseImageConstraint(_NameConstraint):
    """``imagebuild.base_image``: an image in Glance, by its id or name."""

    expected_exceptions = (
        client_exception.EntityMatchNotFound,
        client_exception.EntityUniqueMatchNotFound,
        exceptions.LookupFailed,
    )
    resource_getter_name = 'find_base_image'
