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
"""What the resources of this service share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from heat.engine import resource
from heat.engine import stack
from heat.engine import stk_defn
from oslo_log import log as logging

from heat_plugin import exceptions
from heat_plugin import messages
from heat_plugin.clients import image_build
from imagebuild import client
from imagebuild.client import Client

LOG = logging.getLogger(__name__)


class ServiceResource(resource.Resource):
    """A resource of Heat that stands for one of the service."""

    default_client_name = image_build.CLIENT_NAME

    def parse_live_resource_data(
        self, resource_properties: Any, resource_data: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See Heat's.

        :returns: nothing. That it is there is enough: the service adds
            defaults and masks.
        """
        return {}

    def _service(self) -> Client:
        # Assigned only for its type: Heat's methods have none.
        service: Client = self.client()
        return service

    def _id(self) -> str:
        return str(self.resource_id)

    def _newest(self, names: Iterable[str]) -> dict[str, Any]:
        """Return properties as the newest template of the stack has them.

        It may be newer than that of the action in progress.

        :raises Exception: the resource is not in it, or not all values are
            known.
        """
        # Assigned: resources have only a weak reference to it.
        latest = stack.Stack.load(
            self.context, stack_id=self.stack.id, force_reload=True
        )
        _know_needed(latest, self.name, set())
        properties = latest[self.name].properties
        return {name: properties[name] for name in names}

    def _is_same_wanted(self, names: Iterable[str]) -> bool:
        """Whether the newest template has these properties as stored here.

        For ``handle_preempt``: False where that is not known. What is stored
        is what the action in progress began with: with the values that other
        resources have by now, an older template would be as the newest.
        """
        try:
            begun = self.frozen_definition().properties(
                self.properties_schema, self.context
            )
            newest = self._newest(names)
            return all(value == begun[name] for name, value in newest.items())
        except Exception as error:
            # The newer template does not have the resource, or not all values
            # are known.
            LOG.debug('%s is not wanted any more: %s', self, error)
            return False

    def _shown_name(self) -> str:
        """What messages call it."""
        return str(self.name)

    @contextlib.contextmanager
    def _reported(
        self,
        kind: type[Exception] = exceptions.ImageBuildRefused,
        *,
        unless: type[Exception] | tuple[()] = (),
    ) -> Iterator[None]:
        """Report an error of the client to the user.

        :param kind: what is raised instead.
        :param unless: this passes as it is.
        """
        try:
            yield
        except unless:
            raise
        except client.exceptions.ClientError as error:
            # Asked for the name only now: a resource that is deleted may
            # have properties that are not valid.
            message = messages.request_failed(error, self._shown_name())
            raise kind(message) from None


def _know_needed(loaded: stack.Stack, name: str, known: set[str]) -> None:
    """Let a resource of a stack that was loaded see values of others.

    get_attr has no value there, and get_resource only the name in the
    template, until somebody asks those that it needs.

    :param known: names of those that were asked; they are added.
    """
    for needed in loaded[name].t.dependencies(loaded):
        if needed.name not in known:
            known.add(needed.name)
            _know_needed(loaded, needed.name, known)
            stk_defn.update_resource_data(
                loaded.defn, needed.name, needed.node_data()
            )
