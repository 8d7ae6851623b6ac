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
"""Stacks of the cloud's Heat, as a member of a project makes them."""

import contextlib
import json
import pathlib
import time
import uuid
from collections.abc import Iterator
from typing import Any

import yaml
from heatclient import client as heatclient
from heatclient import exc

from tests.cloud import people
from tools.cloud import clouds
from tools.cloud import venv

GALLERY = venv.ROOT / 'templates' / 'heat'
IMAGE = 'OS::ImageBuild::Image'
#: Seconds after which what is over stays so.
_SETTLED = 60
_DROPPED = b'No replacement created - resource already locked by new traversal'


def template(**properties: Any) -> dict[str, Any]:
    """A stack with one image."""
    return {
        'heat_template_version': '2018-08-31',
        'resources': {'image': {'type': IMAGE, 'properties': properties}},
        'outputs': {
            'image_id': {'value': {'get_resource': 'image'}},
            'hash': {'value': {'get_attr': ['image', 'os_hash_value']}},
            'build_id': {'value': {'get_attr': ['image', 'build_id']}},
        },
    }


def with_server(**properties: Any) -> dict[str, Any]:
    """The same with a server that boots from it."""
    made = template(**properties)
    made['resources']['server'] = {
        'type': 'OS::Nova::Server',
        'properties': {
            'image': {'get_resource': 'image'},
            'flavor': 'm1.tiny',
            'networks': [{'allocate_network': 'none'}],
        },
    }
    made['outputs']['server_id'] = {'value': {'get_resource': 'server'}}
    return made


def with_pipeline(**properties: Any) -> dict[str, Any]:
    """A stack with a pipeline, and a server that has its image."""
    made = with_server()
    made['resources'] |= pipeline(**properties)['resources']
    made['outputs'] = {
        'image_id': {'value': {'get_resource': 'image'}},
        'server_id': {'value': {'get_resource': 'server'}},
    }
    return made


def pipeline(**properties: Any) -> dict[str, Any]:
    """A stack with one pipeline."""
    kind = 'OS::ImageBuild::Pipeline'
    return {
        'heat_template_version': '2018-08-31',
        'resources': {'image': {'type': kind, 'properties': properties}},
        'outputs': {'image_id': {'value': {'get_resource': 'image'}}},
    }


class Stacks:
    """Makes stacks and removes them at the end."""

    def __init__(self, cloud: clouds.Cloud, user: str = 'demo') -> None:
        self.cloud = cloud
        self.heat = heatclient.Client('1', session=people.session(cloud, user))
        self.names: list[str] = []

    def create(
        self, content: dict[str, Any], *, wait: bool = True, **more: Any
    ) -> str:
        """Make a stack.

        :returns: its name.
        """
        name = f'stack-{uuid.uuid4().hex[:8]}'
        self.names.append(name)
        self.heat.stacks.create(
            stack_name=name, template=content, **{'timeout_mins': 20, **more}
        )
        if wait:
            self.expect(name, 'CREATE_COMPLETE')
        return name

    def create_of(self, template: str, **parameters: Any) -> dict[str, Any]:
        """Make a stack of a template of the gallery.

        :returns: its outputs.
        """
        content = yaml.safe_load((GALLERY / f'{template}.yaml').read_text())
        name = self.create(content, parameters=parameters)
        return self.outputs(name)

    def update(
        self,
        name: str,
        content: dict[str, Any],
        end: str = 'UPDATE_COMPLETE',
        seconds: float = 600,
        **more: Any,
    ) -> None:
        """Update a stack, and wait until it is like this."""
        self.heat.stacks.update(
            name, template=content, **{'timeout_mins': 20, **more}
        )
        self.expect(name, end, seconds)

    def delete(self, name: str) -> None:
        """Delete a stack and see it gone."""
        self._ask_to_delete(name)
        self._wait_until_gone(name)

    def _ask_to_delete(self, name: str) -> None:
        with contextlib.suppress(exc.HTTPNotFound):
            self.heat.stacks.delete(name)

    def _wait_until_gone(self, name: str) -> None:
        def is_gone() -> bool:
            try:
                stack = self._look_at(name)
            except exc.HTTPNotFound:
                return True
            assert stack.stack_status != 'DELETE_FAILED', self.reasons(name)
            return bool(stack.stack_status == 'DELETE_COMPLETE')

        people.eventually(is_gone, 600, lambda: self.reasons(name))

    def _look_at(self, name: str) -> Any:
        """What Heat says of a stack; without outputs, which cost it much."""
        return self.heat.stacks.get(name, resolve_outputs=False)

    def expect(self, name: str, status: str, seconds: float = 600) -> None:
        """Wait until the stack is like this."""
        seen, since = '', 0.0

        def is_so() -> bool:
            nonlocal seen, since
            stack = self._look_at(name)
            if stack.stack_status != seen:
                seen, since = stack.stack_status, time.monotonic()
            over = seen.endswith(('_FAILED', '_COMPLETE'))
            # A rollback begins some time after the failure.
            settled = over and time.monotonic() - since > _SETTLED
            assert seen == status or not settled, self.reasons(name)
            return bool(seen == status)

        people.eventually(is_so, seconds, lambda: self.reasons(name))

    def reasons(self, name: str) -> str:
        stack = self._look_at(name)
        return f'{stack.stack_status}: {stack.stack_status_reason}'

    def outputs(self, name: str) -> dict[str, Any]:
        stack = self.heat.stacks.get(name)
        return {
            output['output_key']: output['output_value']
            for output in stack.outputs
        }

    def resource(self, name: str, resource: str = 'image') -> Any:
        return self.heat.resources.get(name, resource)

    def failures(self, name: str) -> str:
        """What ``openstack stack failures list`` prints."""
        return self.cloud.openstack('stack', 'failures', 'list', name)

    def remove_all(self) -> None:
        # All at once: most of it is waiting.
        for name in reversed(self.names):
            self._ask_to_delete(name)
        for name in self.names:
            self._wait_until_gone(name)


class DroppedCheck(Exception):
    """Heat has dropped a check; its stack waits for its time-out.

    A race of its own: the deletion of an old resource ends while a rollback
    is about to replace its successor.
    """


@contextlib.contextmanager
def noticing_dropped_checks(stacks: Stacks, name: str) -> Iterator[None]:
    """Tell that race, by what the engine says, from other failures.

    :raises DroppedCheck: instead of an AssertionError in the block.
    """
    log = pathlib.Path(stacks.cloud.service('heat-engine').log)
    before = log.stat().st_size
    try:
        yield
    except AssertionError as error:
        goes_on = stacks.reasons(name).partition(':')[0]
        said = log.read_bytes()[before:]
        if goes_on.endswith('_IN_PROGRESS') and _DROPPED in said:
            raise DroppedCheck(stacks.reasons(name)) from error
        raise


def using(cloud: clouds.Cloud) -> Iterator[Stacks]:
    """For a fixture."""
    stacks = Stacks(cloud)
    yield stacks
    stacks.remove_all()


def image_of(cloud: clouds.Cloud, image_id: str) -> Any:
    """What Glance says of an image, None when it has none."""
    found = [
        image
        for image in people.glance(cloud).images.list()
        if image['id'] == image_id
    ]
    return found[0] if found else None


def server_of(cloud: clouds.Cloud, server_id: str) -> dict[str, Any]:
    """What Nova says of a server of "demo"."""
    return people.nova(cloud, 'demo').server(server_id)


def actions(cloud: clouds.Cloud, server_id: str) -> list[str]:
    """What was done to a server, the last first."""
    found = json.loads(
        cloud.openstack('server', 'event', 'list', server_id, '-f', 'json')
    )
    return [event['Action'] for event in found]
