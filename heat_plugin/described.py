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

from heat_plugin import checks
from heat_plugin import failures
from heat_plugin import reality
from heat_plugin import schema
from heat_plugin import sentences
from heat_plugin import unknown
from heat_plugin.clients import image_build
from imagebuild.client import Client
from imagebuild.client import Plan
from imagebuild.client import exceptions

LOG = logging.getLogger(__name__)


class BaseImages:
    """Looks up base images for Heat.

    :param plugin: our client plugin.
    """

    def __init__(self, plugin: Any) -> None:
        self._plugin = plugin

    def find(self, name: str) -> str:
        """Return the id of an image.

        :raises StackValidationFailed: Glance does not say, which Heat would
            tell as a defect of its own, with the addresses of services. The
            name is not taken for the id then: an update would see another
            base image in it and build anew.
        """
        try:
            found: str = self._plugin.find_base_image(name)
        except (failures.GlanceAway, failures.NotLookedUp) as error:
            raise exception.StackValidationFailed(message=str(error)) from None
        return found


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
                client_plugin=BaseImages(self.client_plugin()),
                finder='find',
            )
        ]

    # -- before anything is built -------------------------------------------

    def validate(self) -> None:
        super().validate()
        if not self.stack.strict_validate:
            # Parameters without values.
            return
        given = unknown.Given(self.properties)
        problems = [*checks.problems(given)]
        timeout = given[schema.TIMEOUT]
        limit = self.stack.timeout_secs()
        if timeout and timeout > limit:
            problems.append(sentences.too_long(timeout, limit))
        if problems:
            raise self._invalid('; '.join(problems))
        self._ask_plan(given)

    def _ask_plan(self, given: unknown.Given) -> Plan | None:
        """Let the service look at the description, if it has the time.

        Values of resources that are not there yet are replaced by others,
        and what is said of those is not passed on.

        :returns: None if it has not, or if not all values are known.
        :raises StackValidationFailed: it found mistakes, or does not let
            this user have such an image.
        """
        try:
            plan: Plan | None = self.client_plugin().plan(
                checks.request(given, self.name)
            )
        except exceptions.BadRequest as error:
            told = given.about_known(error.errors)
            if error.errors and not told:
                return None
            raise self._invalid(
                sentences.clean(sentences.problems(error, told))
            ) from None
        except exceptions.ClientError as error:
            raise self._invalid(sentences.refused(error, self.name)) from None
        return plan if given.complete else None

    def _invalid(self, text: str) -> Exception:
        failed: Exception = exception.StackValidationFailed(
            resource=self, message=sentences.sentence(text)
        )
        return failed

    def preview(self) -> Self:
        try:
            self._plan = self._ask_plan(unknown.Given(self.properties))
        except exception.StackValidationFailed as error:
            LOG.info('%s', error)
        return self

    # -- what templates see -------------------------------------------------

    def get_reference_id(self) -> str:
        return str(self.data().get(schema.IMAGE_ID) or '')

    def _show_resource(self) -> dict[str, Any]:
        return dict(self._service().builds.get(self._id()).raw)

    def _resolve_attribute(self, name: str) -> Any:
        if self.resource_id is None:
            return self._planned(name)
        if name == schema.BUILD_ID:
            return self.resource_id
        if name == schema.IMAGE_ID:
            return self.get_reference_id()
        try:
            return self._ask_attribute(name)
        except exceptions.NotFound:
            # Heat takes it for a value that there is not.
            raise
        except exceptions.ClientError as error:
            raise failures.ImageBuildRefused(
                sentences.refused(error, self._image_name())
            ) from None

    def _ask_attribute(self, name: str) -> Any:
        build = self._service().builds.get(self._id())
        if name == schema.LOG:
            return reality.log_tail(self._service(), build)
        if name == schema.OS_HASH_VALUE:
            return build.checksum.get('os_hash_value')
        if name in (schema.STATUS, schema.CONTENT_KEY, schema.SIZE):
            return getattr(build, name)
        return build.raw.get(name)

    def _planned(self, name: str) -> Any:
        """What a preview tells."""
        if self._plan is None:
            return None
        known = {
            schema.STATUS: sentences.planned(self._plan),
            schema.CONTENT_KEY: self._plan.content_key,
            schema.IMAGE_ID: sentences.reused_image(self._plan),
        }
        return known.get(name)

    # -- help ---------------------------------------------------------------

    def _service(self) -> Client:
        service: Client = self.client()
        return service

    def _id(self) -> str:
        return str(self.resource_id)

    def _image_name(self) -> str:
        name = self.properties[schema.NAME] or self.physical_resource_name()
        return str(name or self.name)
