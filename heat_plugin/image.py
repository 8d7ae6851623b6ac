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
"""``OS::ImageBuild::Image``: an image as a resource of a template.

The resource's id in Heat is that of the *build*; what ``get_resource`` gives
is the id of the *Glance image*, or '' until that is known. '' and not the
name of the resource, as Heat does by default: a server that refers to the
image is validated before there is one, and Nova's plugin would look for an
image that happens to have that name.

A build is what a stack holds of an image: the service deletes the image with
the last build that uses it. So several stacks may have the same image, and
deleting a resource, as Heat does when it rolls back, takes it from nobody
else.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Self

from heat.common import exception
from heat.engine import resource
from oslo_log import log as logging

from heat_plugin import attributes
from heat_plugin import base_image
from heat_plugin import builds
from heat_plugin import exceptions
from heat_plugin import image_state
from heat_plugin import messages
from heat_plugin import request_body
from heat_plugin import schema
from heat_plugin import service_resource
from heat_plugin import validation
from heat_plugin.known_properties import KnownProperties
from heat_plugin.poll_state import PollState
from imagebuild import client
from imagebuild.client import Build
from imagebuild.client import Plan

LOG = logging.getLogger(__name__)

#: Maximum seconds between two polls of a build that is being deleted.
_DELETE_DELAY = 5
#: Polls (about a minute) after which a refusal to delete is final.
_DELETE_POLLS = 15


class Image(service_resource.ServiceResource):
    """Builds an image and keeps it in Glance.

    The image is built from a description: a base (an operating system of the
    service's catalogue, or an image of one's own), packages, files, and a
    recipe or manifest. The same content is built once in a project: a second
    request gets the same image at once.
    """

    entity = 'builds'
    properties_schema = schema.PROPERTIES
    # A copy, because Heat adds "show" to it.
    attributes_schema = dict(schema.ATTRIBUTES_SCHEMA)

    _plan: Plan | None = None

    # -- validation ---------------------------------------------------------

    def translation_rules(self, properties: Any) -> list[Any]:
        return [base_image.translation_rule(properties, self.client_plugin())]

    def validate(self) -> None:
        super().validate()
        if not self.stack.strict_validate:
            # Heat validates the template alone: its parameters have no values.
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
            # With placeholders the service may refuse what is right.
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
        return dict(self._get().raw)

    def _resolve_attribute(self, name: str) -> Any:
        if self.resource_id is None:
            return attributes.preview(self._plan, name)
        if name == schema.BUILD_ID:
            return self.resource_id
        if name == schema.IMAGE_ID:
            return self.get_reference_id()
        # Heat handles NotFound itself: the attribute has no value.
        with self._reported(
            exceptions.ImageBuildRefused,
            unless=client.exceptions.NotFound,
        ):
            return attributes.fetch(self._service(), self._id(), name)

    # -- create -------------------------------------------------------------

    def handle_create(self) -> PollState:
        state = PollState(
            request=request_body.create(
                self.properties, self.physical_resource_name()
            ),
            promotion=request_body.promotion(self.properties),
        )
        self._post(state)
        return state

    def _post(self, state: PollState) -> None:
        """Request the build, unless the service is unavailable just now.

        A repeated request makes no second image: the service builds the same
        content once.
        """
        request = state.request
        if request is None:
            return
        # Heat made a physical name unique: what has it is the build whose
        # response was lost.
        repeated = (
            state.response_lost
            and request[schema.NAME] == self.physical_resource_name()
        )
        with self._reported(exceptions.ImageBuildRefused):
            build = state.call(
                lambda: builds.find_or_create(
                    self._service(), request, repeated=repeated
                )
            )
        if build is not None:
            # At once: from here on a deleted stack deletes the build.
            self.resource_id_set(build.id)
            state.request = None
            state.build = build

    def check_create_complete(self, state: PollState) -> bool:
        if state.request is not None:
            self._post(state)
        elif state.build is None or not state.build.finished:
            self._poll(state)
        build = state.build
        # "deleting" does not end as "finished": the build is gone after it.
        if build is None or not (build.finished or build.status == 'deleting'):
            # Heat calls again after the delay; returning False would poll
            # every second.
            raise resource.PollDelay(state.delay())
        return self._finish(build) and self._promoted(state)

    def _promoted(self, state: PollState) -> bool:
        """Promote the image, if it is to be and is not yet.

        :raises PollDelay: the service is away; it is retried.
        """
        promotion = state.promotion
        if promotion is not None:
            with self._reported(exceptions.ImageBuildRefused):
                answer = state.call(
                    lambda: self._service().channels.promote(
                        self._id(), **promotion
                    )
                )
            if answer is None:
                raise resource.PollDelay(state.delay())
            state.promotion = None
            self.data_set(schema.CHANNEL, promotion[schema.CHANNEL])
        return True

    def _poll(self, state: PollState) -> None:
        with self._reported(exceptions.ImageBuildFailed):
            try:
                build = state.call(self._get)
            except client.exceptions.NotFound:
                raise exceptions.ImageBuildFailed(
                    messages.build_deleted(self._shown_name())
                ) from None
        state.build = build or state.build

    def _finish(self, build: Build) -> bool:
        if build.status != 'active':
            found: Sequence[Any] = ()
            if build.status == 'error':
                found = image_state.steps(self._service(), build)
            raise exceptions.ImageBuildFailed(
                messages.build_failed(build, found)
            )
        self._store_image_id(build)
        return True

    def _store_image_id(self, build: Build) -> None:
        # In Heat's database, so that get_resource needs no service later.
        self.data_set(schema.IMAGE_ID, build.image_id)

    def handle_create_cancel(self, state: PollState | None) -> None:
        self._cancel()

    def handle_update_cancel(self, state: PollState | None) -> None:
        self._cancel()

    def handle_preempt(self) -> None:
        """A newer template arrives while the image is built.

        A build that the newer template wants as well goes on. Heat has set
        the action to that of the newer template by now, UPDATE or DELETE,
        without storing it, so the action does not tell what is in progress.
        If that is not a build, there is nothing to cancel and the service
        answers so. Nothing may be written to the database here.
        """
        if not self._is_same_wanted(schema.CONTENT):
            self._cancel()

    def _cancel(self) -> None:
        if self.resource_id is not None:
            builds.cancel(self._service(), self._id())

    # -- update -------------------------------------------------------------

    def handle_update(
        self, json_snippet: Any, tmpl_diff: Any, prop_diff: Mapping[str, Any]
    ) -> PollState:
        changes = request_body.update(prop_diff, self.physical_resource_name())
        state = PollState(
            request=changes or None, promotion=self._promotion(prop_diff)
        )
        self._patch(state)
        return state

    def check_update_complete(self, state: PollState) -> bool:
        self._patch(state)
        if state.request is not None:
            raise resource.PollDelay(state.delay())
        return self._promoted(state)

    def _promotion(
        self, prop_diff: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """What an update has to promote: what changes, or has failed."""
        wanted = request_body.promotion(self.properties, prop_diff)
        if wanted is None:
            return None
        done = self.data().get(schema.CHANNEL) == wanted[schema.CHANNEL]
        changed = any(name in prop_diff for name in schema.PROMOTION)
        return wanted if changed or not done else None

    def _patch(self, state: PollState) -> None:
        changes = state.request
        if changes is None:
            return
        with self._reported(exceptions.ImageBuildRefused):
            answer = state.call(
                lambda: self._service().builds.update(self._id(), **changes)
            )
        if answer is not None:
            state.request = None

    # -- delete -------------------------------------------------------------

    def handle_delete(self) -> PollState | None:
        if self.resource_id is None:
            return None
        return PollState()

    def check_delete_complete(self, state: PollState | None) -> bool:
        """Cancel and delete the build, whatever its status, until it is gone.

        What a channel has stays there, and is deleted when no channel has it.
        Only the status of the build is looked at, so deleting may be retried
        any number of times, by any engine.
        """
        if state is None:
            return True
        with self._reported(exceptions.ImageBuildRefused):
            try:
                left = state.call(
                    lambda: builds.cancel_and_delete(
                        self._service(),
                        self._id(),
                        is_final=state.polls >= _DELETE_POLLS,
                    )
                )
            except client.exceptions.NotFound:
                return True
        if left:
            return True
        raise resource.PollDelay(state.delay(last=_DELETE_DELAY))

    # -- adopt --------------------------------------------------------------

    def handle_adopt(self, resource_data: Any = None) -> PollState:
        """Take over a build: that of an abandoned stack, or any other."""
        super().handle_adopt(resource_data)
        return PollState()

    def check_adopt_complete(self, state: PollState) -> bool:
        return self.check_create_complete(state)

    # -- check --------------------------------------------------------------

    def handle_check(self) -> None:
        with self._reported(exceptions.ImageNotAsBuilt):
            problems = self._image_problems()
        if problems:
            raise exceptions.ImageNotAsBuilt(
                messages.with_full_stop('; '.join(problems))
            )

    def _image_problems(self) -> list[str]:
        if self.resource_id is None:
            return ['no build was made']
        try:
            build = self._get()
        except client.exceptions.NotFound:
            return [f'the build {self.resource_id} is gone']
        return [
            *image_state.problems(build, self._glance_image(build.image_id))
        ]

    def _glance_image(self, image_id: str) -> Any | None:
        if not image_id:
            return None
        image: Any | None = self.client_plugin().find_image(image_id)
        return image

    def get_live_resource_data(self) -> dict[str, Any]:
        """Return the image's properties as Glance has them.

        :raises EntityNotFound: the image is gone or is not what was built;
            Heat then replaces the resource.
        """
        try:
            build = self._get()
        except client.exceptions.NotFound:
            raise exception.EntityNotFound(
                entity='Resource', name=self.name
            ) from None
        if not (build.finished or build.status == 'deleting'):
            # A newer template arrived during the build: with nothing to
            # compare, Heat goes on to handle_preempt.
            return {}
        image = self._glance_image(build.image_id)
        problems = [*image_state.problems(build, image)]
        if problems:
            LOG.info('%s is replaced: %s', self, '; '.join(problems))
            raise exception.EntityNotFound(entity='Resource', name=self.name)
        return image_state.live_properties(build, image)

    def parse_live_resource_data(
        self, resource_properties: Any, resource_data: Mapping[str, Any]
    ) -> dict[str, Any]:
        return image_state.compared(resource_properties, resource_data)

    def needs_replace_failed(self) -> bool:
        """Return whether a failed resource needs another build.

        Not if the image exists: then only an update of its name, tags or the
        like failed. But if it is to be promoted and is not: Heat takes a
        failed resource of the same template for complete. The other build
        gets the same image.
        """
        if self.resource_id is None or schema.IMAGE_ID not in self.data():
            return True
        if self._promotion({}) is not None:
            return True
        try:
            return bool(self._image_problems())
        except Exception as error:
            # An error of the service, Glance or Keystone. Without an answer
            # replacing is the safe choice, and cheap if it was not needed: the
            # service does not build the same content twice.
            LOG.info('%s is replaced: %s', self, error)
            return True

    # -- helpers ------------------------------------------------------------

    def _get(self) -> Build:
        return self._service().builds.get(self._id())

    def _shown_name(self) -> str:
        name = self.properties[schema.NAME] or self.physical_resource_name()
        return str(name or self.name)
