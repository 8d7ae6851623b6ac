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
from heat.engine import stack as heat_stack
from oslo_log import log as logging

from heat_plugin import checks
from heat_plugin import failures
from heat_plugin import inspected
from heat_plugin import reality
from heat_plugin import schema
from heat_plugin import sentences
from heat_plugin import watch as watches
from imagebuild.client import Build
from imagebuild.client import exceptions

LOG = logging.getLogger(__name__)

#: Seconds between two looks at a build that is being deleted, at most.
_DELETE_DELAY = 5
#: Looks (about a minute) after which a refusal to delete is believed.
_DELETE_LOOKS = 15


class Image(inspected.InspectedImage):
    """Builds an image and keeps it in Glance.

    The image is built from a description: a base (an operating system of the
    service's catalogue, or an image of one's own), packages, files, and a
    recipe or manifest. The same content is built once in a project: a second
    request gets the same image at once.
    """

    # -- create -------------------------------------------------------------

    def handle_create(self) -> watches.Watch:
        watch = watches.Watch(
            request=checks.request(
                self.properties, self.physical_resource_name()
            )
        )
        self._post(watch)
        return watch

    def _post(self, watch: watches.Watch) -> None:
        """Ask for the image, unless the service is away for the moment.

        Asking twice makes no second image: the same content is built once.
        """
        request = watch.request
        if request is None:
            return
        name = request[schema.NAME]
        try:
            build = watch.ask(lambda: self._find_or_create(watch, request))
        except exceptions.ClientError as error:
            raise failures.ImageBuildRefused(
                sentences.refused(error, name)
            ) from None
        if build is not None:
            # At once: from here on a deleted stack deletes the build.
            self.resource_id_set(build.id)
            watch.request = None
            watch.build = build

    def _find_or_create(
        self, watch: watches.Watch, request: Mapping[str, Any]
    ) -> Build:
        builds = self._service().builds
        name = request[schema.NAME]
        if watch.lost and name == self.physical_resource_name():
            # Nobody else's name: the build whose answer was lost.
            for build in builds.list(name=name, limit=1):
                return build
        return builds.create(**request)

    def check_create_complete(self, watch: watches.Watch) -> bool:
        if watch.request is not None:
            self._post(watch)
        elif watch.build is None or not watch.build.finished:
            self._look(watch)
        build = watch.build
        if build is None or not (build.finished or build.status == 'deleting'):
            raise resource.PollDelay(watch.delay())
        return self._finish(build)

    def _look(self, watch: watches.Watch) -> None:
        try:
            build = watch.ask(lambda: self._service().builds.get(self._id()))
        except exceptions.NotFound:
            raise failures.ImageBuildFailed(
                sentences.gone(self._image_name())
            ) from None
        except exceptions.ClientError as error:
            raise failures.ImageBuildFailed(
                sentences.refused(error, self._image_name())
            ) from None
        watch.build = build or watch.build

    def _finish(self, build: Build) -> bool:
        if build.status != 'active':
            found: Sequence[Any] = ()
            if build.status == 'error':
                found = reality.steps(self._service(), build)
            raise failures.ImageBuildFailed(sentences.ended(build, found))
        self._remember(build)
        return True

    def _remember(self, build: Build) -> None:
        self.data_set(schema.IMAGE_ID, build.image_id)

    def handle_create_cancel(self, watch: watches.Watch | None) -> None:
        self._cancel()

    def handle_update_cancel(self, watch: watches.Watch | None) -> None:
        self._cancel()

    def handle_preempt(self) -> None:
        """A newer template arrives while the image is built.

        A build that the newer template wants as well goes on. Heat has set
        the action to that of the newer template by now, UPDATE or DELETE,
        without having stored it: what is being done it does not say. If
        that is not a build, there is nothing to cancel and the service says
        so. Nothing may be written to the database here.
        """
        if not self._still_wanted():
            self._cancel()

    def _still_wanted(self) -> bool:
        try:
            latest = heat_stack.Stack.load(
                self.context, stack_id=self.stack.id, force_reload=True
            )
            wanted = latest[self.name].properties
            return all(
                wanted[name] == self.properties[name]
                for name in schema.CONTENT
            )
        except Exception as error:
            # It does not have the resource, or not all values are known.
            LOG.debug('%s is not wanted any more: %s', self, error)
            return False

    def _cancel(self) -> None:
        if self.resource_id is None:
            return
        try:
            self._service().builds.cancel(self._id())
        except (exceptions.Conflict, exceptions.NotFound):
            LOG.debug('The build %s has ended already', self.resource_id)
        except exceptions.ClientError as error:
            # The build goes on; deleting the resource ends it.
            LOG.warning(
                'The build %s could not be cancelled: %s',
                self.resource_id,
                error,
            )

    # -- update -------------------------------------------------------------

    def handle_update(
        self, json_snippet: Any, tmpl_diff: Any, prop_diff: Mapping[str, Any]
    ) -> watches.Watch:
        changes = checks.changes(prop_diff, self.physical_resource_name())
        watch = watches.Watch(request=changes or None)
        self._patch(watch)
        return watch

    def check_update_complete(self, watch: watches.Watch) -> bool:
        self._patch(watch)
        if watch.request is not None:
            raise resource.PollDelay(watch.delay())
        return True

    def _patch(self, watch: watches.Watch) -> None:
        changes = watch.request
        if changes is None:
            return
        try:
            answer = watch.ask(
                lambda: self._service().builds.update(self._id(), **changes)
            )
        except exceptions.ClientError as error:
            raise failures.ImageBuildRefused(
                sentences.refused(error, self._image_name())
            ) from None
        if answer is not None:
            watch.request = None

    # -- delete -------------------------------------------------------------

    def handle_delete(self) -> watches.Watch | None:
        if self.resource_id is None:
            return None
        return watches.Watch()

    def check_delete_complete(self, watch: watches.Watch | None) -> bool:
        """Give up the build, whatever it is at, until it is gone.

        Nothing but its state is looked at, so it does not matter how often
        and from where deleting is tried.
        """
        if watch is None:
            return True
        try:
            watch.ask(lambda: self._give_up(watch))
        except exceptions.NotFound:
            return True
        except exceptions.ClientError as error:
            raise failures.ImageBuildRefused(
                sentences.refused(error, self._image_name())
            ) from None
        raise resource.PollDelay(watch.delay(last=_DELETE_DELAY))

    def _give_up(self, watch: watches.Watch) -> None:
        builds = self._service().builds
        build = builds.get(self._id())
        if build.status == 'deleting':
            return
        try:
            if not build.finished:
                builds.cancel(build.id)
            builds.delete(build.id)
        except exceptions.Conflict:
            # Something else happens to it just now, or it is protected: that
            # it will stay so must be said before the stack's time is up.
            if build.finished and watch.looks >= _DELETE_LOOKS:
                raise

    # -- adopt --------------------------------------------------------------

    def handle_adopt(self, resource_data: Any = None) -> watches.Watch:
        """Take over a build: that of an abandoned stack, or any other."""
        super().handle_adopt(resource_data)
        return watches.Watch()

    def check_adopt_complete(self, watch: watches.Watch) -> bool:
        return self.check_create_complete(watch)
