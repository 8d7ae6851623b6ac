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
"""Client of Heat's stacks, as far as our scenario needs it.

Tempest has none, and its plugin for Heat is not always there.
"""

import json

from tempest.lib import exceptions as lib_exc
from tempest.lib.common import rest_client


class StacksClient(rest_client.RestClient):
    """Stacks; each is named by its name and id."""

    def create_stack(self, name, template, timeout_mins=None, **parameters):
        """Create a stack; nothing is rolled back.

        :param template: as a dict.
        :param parameters: of the template.
        :returns: with its id.
        """
        request = _request(template, timeout_mins, parameters)
        body = json.dumps({'stack_name': name, **request})
        resp, body = self.post('stacks', body)
        self.expected_success(201, resp.status)
        return self._one(resp, body, 'stack')

    def update_stack(self, stack, template, timeout_mins=None, **parameters):
        """Update a stack to another template."""
        request = _request(template, timeout_mins, parameters)
        resp, body = self.put(_path(stack), json.dumps(request))
        self.expected_success(202, resp.status)
        return rest_client.ResponseBody(resp)

    def show_stack(self, stack):
        """Show a stack, its outputs left out.

        :param stack: a dict with its name (stack_name) and id.
        """
        return self._show(f'{_path(stack)}?resolve_outputs=False', 'stack')

    def delete_stack(self, stack):
        """Begin to delete a stack."""
        resp, body = self.delete(_path(stack))
        self.expected_success(204, resp.status)
        return rest_client.ResponseBody(resp)

    def list_resources(self, stack):
        """The resources of a stack."""
        resp, body = self.get(f'{_path(stack)}/resources')
        self.expected_success(200, resp.status)
        return rest_client.ResponseBodyList(
            resp, json.loads(body)['resources']
        )

    def show_resource(self, stack, name):
        """One resource, with its attributes."""
        return self._show(f'{_path(stack)}/resources/{name}', 'resource')

    def list_failures(self, stack):
        """The resources that failed: "openstack stack failures list"."""
        return [
            one
            for one in self.list_resources(stack)
            if one['resource_status'].endswith('_FAILED')
        ]

    def show_outputs(self, stack):
        """The values of all outputs, by their names."""
        resp, body = self.get(f'{_path(stack)}/outputs')
        self.expected_success(200, resp.status)
        names = [one['output_key'] for one in json.loads(body)['outputs']]
        return {name: self._output(stack, name) for name in names}

    def is_resource_deleted(self, id):
        """Whether a stack is gone; its id will do."""
        try:
            resp, body = self.get(f'stacks/{id}?resolve_outputs=False')
        except lib_exc.NotFound:
            return True
        return json.loads(body)['stack']['stack_status'] == 'DELETE_COMPLETE'

    @property
    def resource_type(self):
        """What the id of wait_for_resource_deletion is of."""
        return 'stack'

    def _output(self, stack, name):
        found = self._show(f'{_path(stack)}/outputs/{name}', 'output')
        return found['output_value']

    def _show(self, path, key):
        resp, body = self.get(path)
        self.expected_success(200, resp.status)
        return self._one(resp, body, key)

    def _one(self, resp, body, key):
        return rest_client.ResponseBody(resp, json.loads(body)[key])


def _path(stack):
    return f'stacks/{stack["stack_name"]}/{stack["id"]}'


def _request(template, timeout_mins, parameters):
    request = {
        'template': template,
        'parameters': parameters,
        'disable_rollback': True,
    }
    if timeout_mins:
        request['timeout_mins'] = timeout_mins
    return request
