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
"""The resource as a template's author sees it.

Its properties and attributes, and everything that is done before anything is
built. :mod:`heat_plugin.image` has what is done with it.
"""

from __future__ import annotations

from typing import Any
from typing import Self

from heat.common import exception
from heat.engine import resource
from heat.engine import translation
from oslo_log import log as logging

from heat_plugin import exceptions
from heat_plugin import image_state
from heat_plugin import messages
from heat_plugin import request_body
from heat_plugin import schema
from heat_plugin import validation
from heat_plugin.clients import image_build
from heat_plugin.known_properties import KnownProperties
from imagebuild import client
from imagebuild.client import Client
from imagebuild.client import Plan

LOG = logging.getLogger(__name__)


class BaseImageFinder:
    """Looks up base images for Heat.

    :param plugin: our client plugin.
    """

    def __init__(self, plugin: Any) -> None:
        self._plugin = plugin

    def find(self, name: str) -> str:
        """Return the id of an image.

        :raises StackValidationFailed: Glance is unavailable or refuses the
            lookup. Heat would report Glance's own error as a fault of Heat,
            with the URLs of services in it. The name must not be used in
            place of the id: an update would see another base image and
            rebuild.
        """
        try:
            image_id: str = self._plugin.find_base_image(name)
        except (
            exceptions.GlanceUnavailable,
            exceptions.LookupFailed,
        ) as error:
            raise exception.StackValidationFailed(message=str(error)) from None
        return image_id


class DescribedImage(resource.Resource):
    """The description of an image, and what is known of it."""

    default_client_name = image_build.CLIENT_NAME
    entity = 'builds'
    properties_schema = schema.PROPERTIES
    # Copied: Heat adds "show" to it.
    attributes_schema = dict(schema.ATTRIBUTES_SCHEMA)

    _plan: Plan | None = None

    def translation_rules(self, properties: Any) -> list[Any]:
        return [
            translation.TranslationRule(
                properties,
                translation.TranslationRule.RESOLVE,
                [schema.BASE_IMAGE],
                client_plugin=BaseImageFinder(self.client_plugin()),
                finder='find',
            )
        ]

    # -- validation ---------------------------------------------------------

    def validate(self) -> None:
        super().validate()
        if not self.stack.strict_validate:
            # Parameters without values.
            return
        given = KnownProperties(self.properties)
        problems = [*validation.problems(given)]
        timeout = given[schema.TIMEOUT]
        limit = self.stack.timeout_secs()
        if timeout and timeout > limit:
            problems.append(messages.timeout_too_long(timeout, limit))
        if problems:
            raise self._invalid('; '.join(problems))
        self._plan_build(given)

    def _plan_build(self, given: KnownProperties) -> Plan | None:
        """Let the service check the description, if it can at once.

        Placeholders stand for values of resources that do not exist yet;
        problems of placeholders are not reported.

        :returns: None if the service cannot plan at once, or if not all
            values are known.
        :raises StackValidationFailed: the description has mistakes, or this
            user may not have such an image.
        """
        try:
            plan: Plan | None = self.client_plugin().plan(
                request_body.create(given, self.name)
            )
        except client.exceptions.BadRequest as error:
            reported = given.not_of_placeholders(error.errors)
            if error.errors and not reported:
                return None
            raise self._invalid(
                messages.clean(messages.problems(error, reported))
            ) from None
        except client.exceptions.ClientError as error:
            raise self._invalid(
                messages.request_failed(error, self.name)
            ) from None
        return plan if given.complete else None

    def _invalid(self, text: str) -> Exception:
        error: Exception = exception.StackValidationFailed(
            resource=self, message=messages.with_full_stop(text)
        )
        return error

    def preview(self) -> Self:
        try:
            self._plan = self._plan_build(KnownProperties(self.properties))
        except exception.StackValidationFailed as error:
            LOG.info('%s', error)
        return self

    # -- attributes ---------------------------------------------------------

    def get_reference_id(self) -> str:
        return str(self.data().get(schema.IMAGE_ID) or '')

    def _show_resource(self) -> dict[str, Any]:
        return dict(self._service().builds.get(self._id()).raw)

    def _resolve_attribute(self, name: str) -> Any:
        if self.resource_id is None:
            return self._preview_attribute(name)
        if name == schema.BUILD_ID:
            return self.resource_id
        if name == schema.IMAGE_ID:
            return self.get_reference_id()
        try:
            return self._fetch_attribute(name)
        except client.exceptions.NotFound:
            # Heat handles this itself: the attribute has no value.
            raise
        except client.exceptions.ClientError as error:
            raise exceptions.ImageBuildRefused(
                messages.request_failed(error, self._image_name())
            ) from None

    def _fetch_attribute(self, name: str) -> Any:
        build = self._service().builds.get(self._id())
        if name == schema.LOG:
            return image_state.log_tail(self._service(), build)
        if name == schema.OS_HASH_VALUE:
            return build.checksum.get('os_hash_value')
        if name in (schema.STATUS, schema.CONTENT_KEY, schema.SIZE):
            return getattr(build, name)
        return build.raw.get(name)

    def _preview_attribute(self, name: str) -> Any:
        """Return an attribute's value in a preview of a stack."""
        if self._plan is None:
            return None
        known = {
            schema.STATUS: messages.plan_summary(self._plan),
            schema.CONTENT_KEY: self._plan.content_key,
            schema.IMAGE_ID: messages.reused_image(self._plan),
        }
        return known.get(name)

    # -- helpers ------------------------------------------------------------

    def _service(self) -> Client:
        service: Client = self.client()
        return service

    def _id(self) -> str:
        return str(self.resource_id)

    def _image_name(self) -> str:
        name = self.properties[schema.NAME] or self.physical_resource_name()
        return str(name or self.name)
