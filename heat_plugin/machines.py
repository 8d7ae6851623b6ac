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
"""``OS::ImageBuild::Validation``: running machines that are looked at.

The resource is created when every machine is as described; otherwise it fails,
and the stack with it, with the steps that do not hold. A change of a property
makes another validation.
"""

from __future__ import annotations

import contextlib
from typing import Any

from heat.common import exception
from heat.engine import resource
from oslo_log import log as logging

from heat_plugin import exceptions
from heat_plugin import machines_schema
from heat_plugin import messages
from heat_plugin import request_body
from heat_plugin import service_resource
from heat_plugin import validation
from heat_plugin.known_properties import KnownProperties
from heat_plugin.poll_state import PollState
from imagebuild import client

LOG = logging.getLogger(__name__)

_DELETE_DELAY = 5


class Validation(service_resource.ServiceResource):
    """Looks at running machines, or reconciles them.

    The resource is created when every machine is as described.
    """

    entity = 'validations'
    properties_schema = machines_schema.PROPERTIES
    # A copy, because Heat adds "show" to it.
    attributes_schema = dict(machines_schema.ATTRIBUTES_SCHEMA)

    def validate(self) -> None:
        super().validate()
        if not self.stack.strict_validate:
            return
        given = self.properties.data
        if not given.get(machines_schema.SERVERS) and not given.get(
            machines_schema.HOSTS
        ):
            raise self._invalid('either "servers" or "hosts" is needed.')
        if not any(given.get(name) for name in machines_schema.CONTENT):
            raise self._invalid(
                'there is nothing that is to be true of the machines.'
            )
        problems = [
            *validation.file_problems(KnownProperties(self.properties))
        ]
        if problems:
            raise self._invalid(f'{"; ".join(problems)}.')

    def _invalid(self, text: str) -> Exception:
        error: Exception = exception.StackValidationFailed(
            resource=self, message=text
        )
        return error

    # -- create -------------------------------------------------------------

    def handle_create(self) -> PollState:
        state = PollState(request=self._request())
        self._post(state)
        return state

    def _request(self) -> dict[str, Any]:
        properties = self.properties
        given = properties[machines_schema.HOST_KEYS] or {}
        keys = {str(name).strip(): key for name, key in given.items()}
        hosts = []
        for kind, names in (
            ('server', properties[machines_schema.SERVERS]),
            ('address', properties[machines_schema.HOSTS]),
        ):
            # A comma_delimited_list keeps the blanks after its commas.
            for name in map(str.strip, names):
                host = {
                    kind: name,
                    'user': properties[machines_schema.USER],
                    'port': properties[machines_schema.PORT],
                }
                if name in keys:
                    host['host_key'] = keys[name]
                hosts.append(host)
        credential = properties[machines_schema.CREDENTIAL]
        request = {
            'name': properties[machines_schema.NAME]
            or self.physical_resource_name(),
            'hosts': hosts,
            'credential': {
                name: value
                for name, value in credential.items()
                if value is not None
            },
            'reconcile': properties[machines_schema.RECONCILE],
            **request_body.of_validation(properties),
        }
        if properties[machines_schema.TIMEOUT] is not None:
            request['timeout'] = properties[machines_schema.TIMEOUT]
        return request

    def _post(self, state: PollState) -> None:
        request = state.request
        if request is None:
            return
        with self._reported():
            made = state.call(
                lambda: self._service().validations.create(**request)
            )
        if made is not None:
            self.resource_id_set(made.id)
            state.request = None

    def check_create_complete(self, state: PollState) -> bool:
        self._post(state)
        if state.request is None:
            with self._reported():
                found = state.call(self._get)
            if found is not None and found.finished:
                if found.status == 'passed':
                    return True
                raise exceptions.MachinesNotAsDescribed(
                    messages.machines_failed(found)
                )
        raise resource.PollDelay(state.delay())

    def handle_create_cancel(self, state: PollState | None) -> None:
        """The time of the stack is up, or somebody stops it.

        What is reconciled would go on changing machines.
        """
        self._cancel()

    def handle_preempt(self) -> None:
        """A newer template arrives while machines are looked at.

        If it wants the same of the same machines, that goes on. See
        ``Image.handle_preempt`` for the state in which Heat calls this.
        """
        if not self._is_same_wanted(self.properties_schema):
            self._cancel()

    def _cancel(self) -> None:
        """Cancel the validation; only logged if that fails."""
        if self.resource_id is None:
            return
        try:
            self._service().validations.cancel(self._id())
        except (client.exceptions.Conflict, client.exceptions.NotFound):
            LOG.debug('The validation %s has ended already', self._id())
        except client.exceptions.ClientError as error:
            # It goes on; deleting the resource ends it.
            LOG.warning(
                'The validation %s could not be cancelled: %s',
                self._id(),
                error,
            )

    # -- the others ---------------------------------------------------------

    def _show_resource(self) -> dict[str, Any]:
        return dict(self._get().raw)

    def _resolve_attribute(self, name: str) -> Any:
        if self.resource_id is None:
            return None
        # Heat handles NotFound itself: the attribute has no value.
        with self._reported(unless=client.exceptions.NotFound):
            return getattr(self._get(), name)

    def handle_delete(self) -> PollState | None:
        return None if self.resource_id is None else PollState()

    def check_delete_complete(self, state: PollState | None) -> bool:
        if state is None:
            return True
        with self._reported():
            try:
                state.call(self._delete)
                self._get()
            except client.exceptions.NotFound:
                return True
        raise resource.PollDelay(state.delay(last=_DELETE_DELAY))

    def _delete(self) -> None:
        service = self._service().validations
        with contextlib.suppress(client.exceptions.Conflict):
            service.delete(self._id())
            return
        # It runs: it is cancelled, and deleted at a later poll.
        with contextlib.suppress(client.exceptions.Conflict):
            service.cancel(self._id())

    # -- helpers ------------------------------------------------------------

    def _get(self) -> client.Validation:
        return self._service().validations.get(self._id())
