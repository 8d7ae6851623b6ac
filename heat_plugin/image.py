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

from heat.engine import resource
from heat.engine import stack
from oslo_log import log as logging

from heat_plugin import exceptions
from heat_plugin import image_state
from heat_plugin import inspected
from heat_plugin import messages
from heat_plugin import poll_state
from heat_plugin import request_body
from heat_plugin import schema
from imagebuild import client
from imagebuild.client import Build

LOG = logging.getLogger(__name__)

#: Maximum seconds between two polls of a build that is being deleted.
_DELETE_DELAY = 5
#: Polls (about a minute) after which a refusal to delete is final.
_DELETE_POLLS = 15


class Image(inspected.InspectedImage):
    """Builds an image and keeps it in Glance.

    The image is built from a description: a base (an operating system of the
    service's catalogue, or an image of one's own), packages, files, and a
    recipe or manifest. The same content is built once in a project: a second
    request gets the same image at once.
    """

    # -- create -------------------------------------------------------------

    def handle_create(self) -> poll_state.PollState:
        state = poll_state.PollState(
            request=request_body.create(
                self.properties, self.physical_resource_name()
            )
        )
        self._post(state)
        return state

    def _post(self, state: poll_state.PollState) -> None:
        """Request the build, unless the service is unavailable just now.

        A repeated request makes no second image: the service builds the same
        content once.
        """
        request = state.request
        if request is None:
            return
        name = request[schema.NAME]
        try:
            build = state.call(lambda: self._find_or_create(state, request))
        except client.exceptions.ClientError as error:
            raise exceptions.ImageBuildRefused(
                messages.request_failed(error, name)
            ) from None
        if build is not None:
            # At once: from here on a deleted stack deletes the build.
            self.resource_id_set(build.id)
            state.request = None
            state.build = build

    def _find_or_create(
        self, state: poll_state.PollState, request: Mapping[str, Any]
    ) -> Build:
        builds = self._service().builds
        name = request[schema.NAME]
        if state.response_lost and name == self.physical_resource_name():
            # Heat made this name unique: it is the build whose response was
            # lost.
            for build in builds.list(name=name, limit=1):
                return build
        return builds.create(**request)

    def check_create_complete(self, state: poll_state.PollState) -> bool:
        if state.request is not None:
            self._post(state)
        elif state.build is None or not state.build.finished:
            self._poll(state)
        build = state.build
        if build is None or not (build.finished or build.status == 'deleting'):
            raise resource.PollDelay(state.delay())
        return self._finish(build)

    def _poll(self, state: poll_state.PollState) -> None:
        try:
            build = state.call(lambda: self._service().builds.get(self._id()))
        except client.exceptions.NotFound:
            raise exceptions.ImageBuildFailed(
                messages.build_deleted(self._image_name())
            ) from None
        except client.exceptions.ClientError as error:
            raise exceptions.ImageBuildFailed(
                messages.request_failed(error, self._image_name())
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
        self.data_set(schema.IMAGE_ID, build.image_id)

    def handle_create_cancel(self, state: poll_state.PollState | None) -> None:
        self._cancel()

    def handle_update_cancel(self, state: poll_state.PollState | None) -> None:
        self._cancel()

    def handle_preempt(self) -> None:
        """A newer template arrives while the image is built.

        A build that the newer template wants as well goes on. Heat has set
        the action to that of the newer template by now, UPDATE or DELETE,
        without storing it, so the action does not tell what is in progress.
        If that is not a build, there is nothing to cancel and the service
        answers so. Nothing may be written to the database here.
        """
        if not self._still_wanted():
            self._cancel()

    def _still_wanted(self) -> bool:
        try:
            latest = stack.Stack.load(
                self.context, stack_id=self.stack.id, force_reload=True
            )
            wanted = latest[self.name].properties
            return all(
                wanted[name] == self.properties[name]
                for name in schema.CONTENT
            )
        except Exception as error:
            # The newer template does not have the resource, or not all values
            # are known.
            LOG.debug('%s is not wanted any more: %s', self, error)
            return False

    def _cancel(self) -> None:
        if self.resource_id is None:
            return
        try:
            self._service().builds.cancel(self._id())
        except (client.exceptions.Conflict, client.exceptions.NotFound):
            LOG.debug('The build %s has ended already', self.resource_id)
        except client.exceptions.ClientError as error:
            # The build goes on; deleting the resource ends it.
            LOG.warning(
                'The build %s could not be cancelled: %s',
                self.resource_id,
                error,
            )

    # -- update -------------------------------------------------------------

    def handle_update(
        self, json_snippet: Any, tmpl_diff: Any, prop_diff: Mapping[str, Any]
    ) -> poll_state.PollState:
        changes = request_body.update(prop_diff, self.physical_resource_name())
        state = poll_state.PollState(request=changes or None)
        self._patch(state)
        return state

    def check_update_complete(self, state: poll_state.PollState) -> bool:
        self._patch(state)
        if state.request is not None:
            raise resource.PollDelay(state.delay())
        return True

    def _patch(self, state: poll_state.PollState) -> None:
        changes = state.request
        if changes is None:
            return
        try:
            answer = state.call(
                lambda: self._service().builds.update(self._id(), **changes)
            )
        except client.exceptions.ClientError as error:
            raise exceptions.ImageBuildRefused(
                messages.request_failed(error, self._image_name())
            ) from None
        if answer is not None:
            state.request = None

    # -- delete -------------------------------------------------------------

    def handle_delete(self) -> poll_state.PollState | None:
        if self.resource_id is None:
            return None
        return poll_state.PollState()

    def check_delete_complete(
        self, state: poll_state.PollState | None
    ) -> bool:
        """Cancel and delete the build, whatever its status, until it is gone.

        Only the status of the build is looked at, so deleting may be retried
        any number of times, by any engine.
        """
        if state is None:
            return True
        try:
            state.call(lambda: self._cancel_and_delete(state))
        except client.exceptions.NotFound:
            return True
        except client.exceptions.ClientError as error:
            raise exceptions.ImageBuildRefused(
                messages.request_failed(error, self._image_name())
            ) from None
        raise resource.PollDelay(state.delay(last=_DELETE_DELAY))

    def _cancel_and_delete(self, state: poll_state.PollState) -> None:
        builds = self._service().builds
        build = builds.get(self._id())
        if build.status == 'deleting':
            return
        try:
            if not build.finished:
                builds.cancel(build.id)
            builds.delete(build.id)
        except client.exceptions.Conflict:
            # Another change is in progress, or the image is protected. The
            # latter does not pass, so report it before the stack times out.
            if build.finished and state.polls >= _DELETE_POLLS:
                raise

    # -- adopt --------------------------------------------------------------

    def handle_adopt(self, resource_data: Any = None) -> poll_state.PollState:
        """Take over a build: that of an abandoned stack, or any other."""
        super().handle_adopt(resource_data)
        return poll_state.PollState()

    def check_adopt_complete(self, state: poll_state.PollState) -> bool:
        return self.check_create_complete(state)
