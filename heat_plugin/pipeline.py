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
"""``OS::ImageBuild::Pipeline``: an image that is built again and again.

``get_resource`` gives the id of the *current* image, as the service has it at
that moment. So a server that refers to the pipeline gets another image with
the next update of the stack after a run, and Heat does what its
``image_update_policy`` says. Between two updates the stack does not change.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from heat.common import exception
from heat.engine import resource
from heat.objects import resource_data as resource_data_objects
from heat.objects import stack as stack_objects
from oslo_log import log as logging

from heat_plugin import builds
from heat_plugin import exceptions
from heat_plugin import messages
from heat_plugin import pipeline_checks
from heat_plugin import pipeline_schema
from heat_plugin import request_body
from heat_plugin import schema
from heat_plugin.poll_state import PollState
from imagebuild import client

LOG = logging.getLogger(__name__)

#: Digests that Heat keeps: of the image that an action in progress wants, or
#: that one wanted which has failed; and of that which was built last.
_WANTED = 'image_wanted'
_BUILT = 'image_built'
#: Polls after which a refusal to delete is believed to last.
_DELETE_POLLS = 15
_DELETE_DELAY = 5
#: Seconds for which the id of the current image is not asked for again.
_MEMORY = 5.0


@dataclasses.dataclass
class _State(PollState):
    """What an action remembers from one poll to the next.

    :ivar wants_run: a run is still to be asked for.
    :ivar waits: the action ends when no run is under way.
    :ivar enough: no run is wanted if the current image is this one; '' for
        none.
    """

    wants_run: bool = False
    waits: bool = False
    enough: str = ''


class Pipeline(pipeline_checks.CheckedPipeline):
    """Builds an image again and again, by a schedule.

    The newest image that succeeded is the current one. The resource is
    created when there is one.
    """

    entity = 'pipelines'
    properties_schema = pipeline_schema.PROPERTIES
    # A copy, because Heat adds "show" to it.
    attributes_schema = dict(pipeline_schema.ATTRIBUTES_SCHEMA)

    #: Heat's: by default a check that fails makes the next update replace the
    #: resource. Names are unique, so another one of the name is refused.
    always_replace_on_check_failed = False

    _current: tuple[float, str] | None = None

    # -- attributes ---------------------------------------------------------

    def get_reference_id(self) -> str:
        """Return the id of the current image, '' until there is one."""
        if self.resource_id is None:
            # Not the name of the resource: Nova's plugin would look for an
            # image that has it.
            return ''
        now = time.monotonic()
        if self._current is None or now - self._current[0] > _MEMORY:
            self._current = (now, self._asked())
        return self._current[1]

    def _asked(self) -> str:
        try:
            return self._get().current_image_id
        except client.exceptions.ClientError as error:
            LOG.warning('%s: its image is not known now: %s', self, error)
            return str(self.data().get(schema.IMAGE_ID) or '')

    def _show_resource(self) -> dict[str, Any]:
        return dict(self._get().raw)

    def _resolve_attribute(self, name: str) -> Any:
        if self.resource_id is None:
            return None
        # Heat handles NotFound itself: the attribute has no value.
        with self._reported(unless=client.exceptions.NotFound):
            return getattr(self._get(), name)

    # -- create -------------------------------------------------------------

    def handle_create(self) -> _State:
        values = {
            name: self.properties[name]
            for name in pipeline_schema.VALUES
            if self.properties[name] is not None
        }
        state = _State(
            request={
                pipeline_schema.NAME: self._name(),
                pipeline_schema.IMAGE: self._image(self.properties),
                **values,
            },
            # Of an age the first run is due at once.
            wants_run=values.get(pipeline_schema.MAX_AGE) is None
            or bool(values.get(pipeline_schema.PAUSED)),
            waits=True,
        )
        self._begin(self.properties[pipeline_schema.IMAGE])
        self._post(state)
        return state

    def _begin(self, image: Mapping[str, Any]) -> None:
        # Read by handle_preempt in another process, and by the next update.
        # It may hold secrets, so Heat encrypts their digest, too.
        self.data_set(_WANTED, request_body.digest(image), redact=True)

    def _post(self, state: _State) -> None:
        request = state.request
        if request is None:
            return
        with self._reported():
            try:
                made = state.call(
                    lambda: self._service().pipelines.create(**request)
                )
            except client.exceptions.Conflict:
                # Names are unique: an earlier request was accepted, and its
                # response was lost.
                if not state.response_lost:
                    raise
                made = self._service().pipelines.find(self._name())
        if made is not None:
            self.resource_id_set(made.id)
            state.request = None

    def check_create_complete(self, state: _State) -> bool:
        self._post(state)
        if state.request is not None:
            raise resource.PollDelay(state.delay())
        return self._check_run(state)

    def _check_run(self, state: _State) -> bool:
        """Ask for a run where one is wanted, and wait for its end.

        :raises PollDelay: it has not ended.
        :raises ImageBuildFailed: it failed, or nobody waits for it any more.
        """
        if self._has_enough(state) or (
            not state.wants_run and self._has_run(state)
        ):
            self.data_delete(_WANTED)
            return True
        if self._is_superseded():
            self._cancel_run()
            raise exceptions.ImageBuildFailed(
                messages.pipeline_superseded(self._name())
            )
        if state.wants_run and not state.enough:
            self._ask_for_run(state)
        raise resource.PollDelay(state.delay())

    def _has_enough(self, state: _State) -> bool:
        """Whether the image that is wanted is still the current one."""
        if not state.enough:
            return False
        with self._reported():
            found = state.call(self._get)
        if found is None or found.is_running:
            return False
        if found.current_image_id == state.enough:
            return True
        state.enough = ''
        return False

    def _ask_for_run(self, state: _State) -> None:
        with self._reported(), contextlib.suppress(client.exceptions.Conflict):
            # One that is under way may be that of an earlier description.
            asked = state.call(
                lambda: self._service().pipelines.run(self._id())
            )
            state.wants_run = asked is None

    def _has_run(self, state: _State) -> bool:
        """Whether there is a current image, and no run is under way.

        :raises ImageBuildFailed: the last run failed.
        """
        with self._reported():
            found = state.call(self._get)
        if found is None or found.is_running:
            return False
        if found.failures or found.status == 'error':
            raise exceptions.ImageBuildFailed(messages.pipeline_failed(found))
        # Of a build that was cancelled or deleted an earlier one is current.
        if found.current_build_id and (
            found.current_build_id == found.last_build_id
        ):
            self._current = None
            # For a time when the service cannot be asked.
            self.data_set(schema.IMAGE_ID, found.current_image_id)
            wanted = self.data().get(_WANTED, '')
            self.data_set(_BUILT, wanted, redact=True)
            return True
        if found.last_run_at:
            raise exceptions.ImageBuildFailed(
                messages.pipeline_cancelled(found)
            )
        return False

    # -- what stops it ------------------------------------------------------

    def handle_create_cancel(self, state: _State | None) -> None:
        """The time of the stack is up, or somebody stops it.

        A run that began before this action goes on.
        """
        if state is not None and state.waits and not state.wants_run:
            self._cancel_run()

    def handle_update_cancel(self, state: _State | None) -> None:
        self.handle_create_cancel(state)

    def handle_preempt(self) -> None:
        """A newer template arrives while this one waits for an image.

        A run of an image that the newer template wants as well goes on. See
        ``Image.handle_preempt`` for the state in which Heat calls this: while
        an update is in progress, the properties are those before it. Nothing
        may be written to the database here.

        Heat also calls this when it has sent two checks of one template, and
        the other one has begun since this resource was loaded. So what is
        stored is read again, and after the run: what has begun later is not
        cancelled.
        """
        running = self._running_build()
        if not running:
            return
        try:
            wanted = resource_data_objects.ResourceData.get_val(self, _WANTED)
        except exception.NotFound:
            # Nobody waits for it.
            return
        try:
            is_wanted = self._is_wanted(wanted)
        except Exception as error:
            # The newer template does not have the resource, or not all values
            # are known.
            LOG.debug('%s is not wanted any more: %s', self, error)
            is_wanted = False
        if not is_wanted:
            builds.cancel(self._service(), running)

    def _is_wanted(self, digest: str | None) -> bool:
        """Whether the newest template wants the image of a digest.

        :raises KeyError: it does not have the resource.
        :raises Exception: that is not known.
        """
        newest = self._newest([pipeline_schema.IMAGE])
        image = newest[pipeline_schema.IMAGE]
        return bool(request_body.digest(image) == digest)

    def _is_superseded(self) -> bool:
        """Whether nobody waits any more.

        A run that has not begun cannot be cancelled, and one that is cancelled
        may have been in the way of that of this action only: handle_preempt
        does not end these waits.
        """
        try:
            found = stack_objects.Stack.get_by_id(self.context, self.stack.id)
            return (
                found is not None
                and found.current_traversal != self.stack.current_traversal
                and not self._is_wanted(self.data().get(_WANTED))
            )
        except KeyError:
            return True
        except Exception as error:
            # A service that others need may be away: the next poll looks.
            LOG.debug('%s: not known whether it is wanted: %s', self, error)
            return False

    def _cancel_run(self) -> None:
        """Cancel the run that is under way; only logged if that fails."""
        running = self._running_build()
        if running:
            builds.cancel(self._service(), running)

    def _running_build(self) -> str | None:
        """The id of the build that is under way, if that is known."""
        if self.resource_id is None:
            return None
        try:
            return self._get().running_build_id or None
        except client.exceptions.ClientError as error:
            LOG.warning('%s: its run is not cancelled: %s', self, error)
            return None

    # -- update -------------------------------------------------------------

    def _needs_update(self, *args: Any, **options: Any) -> bool:
        """Return whether Heat is to call handle_update.

        Also where nothing differs from before an update that has failed, as
        in a rollback: the service may have what that update wanted.
        """
        needed = super()._needs_update(*args, **options)
        return bool(needed or self.status == self.FAILED)

    def handle_update(
        self, json_snippet: Any, tmpl_diff: Any, prop_diff: Mapping[str, Any]
    ) -> _State:
        done = self.data()
        unfinished = (
            _WANTED in done
            or schema.IMAGE_ID not in done
            or self._is_stored_otherwise(done)
        )
        wanted = {
            name: prop_diff.get(name, self.properties[name])
            for name in (*pipeline_schema.VALUES, pipeline_schema.IMAGE)
        }
        # What the service has after a failure is not known.
        changes = wanted if unfinished else prop_diff
        builds_image = unfinished or pipeline_schema.IMAGE in prop_diff
        state = _State(
            request=request_body.pipeline_update(changes, self._name())
            or None,
            wants_run=builds_image,
            waits=builds_image,
        )
        image = wanted[pipeline_schema.IMAGE]
        if done.get(_BUILT) == request_body.digest(image):
            state.enough = str(done.get(schema.IMAGE_ID) or '')
        if not unfinished:
            self._note_current()
        self._begin(image)
        self._patch(state)
        return state

    def _is_stored_otherwise(self, done: Mapping[str, str]) -> bool:
        """Whether the service has had another image than Heat has stored.

        So when an engine ends between the end of an update and what Heat
        stores of that.
        """
        stored = self.frozen_definition().properties(
            self.properties_schema, self.context
        )
        built = request_body.digest(stored[pipeline_schema.IMAGE])
        return done.get(_BUILT, built) != built

    def _note_current(self) -> None:
        """Note the current image before the service has another description.

        Runs since the last action have made it; a rollback needs no other.
        """
        try:
            current = self._get().current_image_id
        except client.exceptions.ClientError as error:
            LOG.info('%s: its image is not known now: %s', self, error)
            return
        if current:
            self.data_set(schema.IMAGE_ID, current)

    def check_update_complete(self, state: _State) -> bool:
        self._patch(state)
        if state.request is not None:
            raise resource.PollDelay(state.delay())
        if state.waits:
            return self._check_run(state)
        self.data_delete(_WANTED)
        return True

    def _patch(self, state: _State) -> None:
        changes = state.request
        if changes is None:
            return
        with self._reported():
            answer = state.call(
                lambda: self._service().pipelines.update(self._id(), **changes)
            )
        if answer is not None:
            state.request = None

    def needs_replace_failed(self) -> bool:
        """Return whether a failed resource needs another pipeline."""
        if self.resource_id is None:
            return True
        try:
            self._get()
        except client.exceptions.NotFound:
            return True
        except client.exceptions.ClientError as error:
            LOG.info('%s: not known whether it is there: %s', self, error)
        return False

    # -- delete, check ------------------------------------------------------

    def handle_delete(self) -> PollState | None:
        if self.resource_id is None:
            return None
        return PollState()

    def check_delete_complete(self, state: PollState | None) -> bool:
        if state is None:
            return True
        with self._reported():
            try:
                state.call(self._delete)
                self._get()
            except client.exceptions.NotFound:
                return True
            except client.exceptions.Conflict:
                # An image is protected, or its server is being deleted now.
                if state.polls >= _DELETE_POLLS:
                    raise
            except exceptions.UNAVAILABLE:
                LOG.info('%s: not known whether it is gone', self)
        raise resource.PollDelay(state.delay(last=_DELETE_DELAY))

    def _delete(self) -> None:
        self._service().pipelines.delete(
            self._id(),
            delete_images=bool(self.properties[pipeline_schema.DELETE_IMAGES]),
        )

    def handle_check(self) -> None:
        with self._reported():
            try:
                found = self._get()
            except client.exceptions.NotFound:
                raise exceptions.ImageNotAsBuilt(
                    f'The pipeline {self.resource_id} is gone.'
                ) from None
        if found.status == 'error':
            # The next update sends all of it again, so that it goes on.
            if _WANTED not in self.data() and found.current_image_id:
                self.data_set(schema.IMAGE_ID, found.current_image_id)
            self._begin(self.properties[pipeline_schema.IMAGE])
            raise exceptions.ImageNotAsBuilt(messages.pipeline_failed(found))

    # -- helpers ------------------------------------------------------------

    def _get(self) -> client.Pipeline:
        return self._service().pipelines.get(self._id())

    def _name(self) -> str:
        name = self.properties[pipeline_schema.NAME]
        return str(name or self.physical_resource_name())

    def _image(self, properties: Any) -> dict[str, Any]:
        return request_body.of_pipeline(properties[pipeline_schema.IMAGE])
